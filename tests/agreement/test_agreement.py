"""Rank statistics: hand-worked cases, the naive permutation test, and simulation under the null."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.agreement import (
    DRAWS,
    EXACT_TO,
    kendall_tau,
    regret,
    smooth_p_value,
    spearman,
    weighted_tau,
)
from foretune.tasks.errors import InputError

EXACT = 1e-12


def naive_spearman(x, y):
    """Pearson's correlation of average ranks, and the share of all permutations that reach it."""

    def ranks(values):
        return [sum(v < u for v in values) + (sum(v == u for v in values) + 1) / 2 for u in values]

    def pearson(a, b):
        a, b = np.array(a), np.array(b)
        a, b = a - a.mean(), b - b.mean()
        return float(a @ b / math.sqrt((a @ a) * (b @ b)))

    a, b = ranks(x), ranks(y)
    rho = pearson(a, b)
    null = [pearson(a, permuted) for permuted in itertools.permutations(b)]
    return rho, sum(abs(value) >= abs(rho) - EXACT for value in null) / len(null)


class TestSpearman:
    @pytest.mark.parametrize(("n", "p"), [(2, 1), (3, 1 / 3), (6, 1 / 360), (9, 2 / math.factorial(9))])
    def test_a_perfect_ranking_has_two_permutations_that_reach_it(self, n, p):
        agreement = spearman(range(n), np.exp(range(n)))
        assert agreement.rho == 1.0
        assert agreement.p_value == agreement.smallest_p_value == p
        assert spearman(range(n), range(n, 0, -1)).rho == -1.0

    def test_scipy_says_zero_where_it_is_one_third(self):
        assert scipy.stats.spearmanr([1, 2, 3], [1, 2, 3]).pvalue == 0.0  # the reason for this module
        assert spearman([1, 2, 3], [1, 2, 3]).p_value == 1 / 3

    def test_by_hand(self):
        # ranks 1 2 3 4 against 2 1 4 3: sum of squared differences 4, rho = 1 - 6·4/(4·15) = 0.6.
        # |rho| of the 24 permutations: 1 for 2, 0.8 for 6, 0.6 for 2, 0.4 for 8, 0.2 for 4, 0 for 2.
        agreement = spearman([1, 2, 3, 4], [20, 10, 40, 30])
        assert agreement.rho == pytest.approx(0.6, rel=EXACT)
        assert agreement.p_value == pytest.approx(10 / 24, rel=EXACT)
        assert (agreement.candidates, agreement.p_value_error, agreement.defined) == (4, 0.0, True)

    @settings(max_examples=40, deadline=None)
    @given(
        st.integers(2, 6).flatmap(
            lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n)] * 2)
        )
    )
    def test_equals_the_naive_definition_with_and_without_ties(self, pair):
        x, y = pair
        agreement = spearman(x, y)
        if len(set(x)) == 1 or len(set(y)) == 1:
            assert (agreement.rho, agreement.p_value, agreement.defined) == (0.0, 1.0, False)
            return
        rho, p = naive_spearman(x, y)
        assert agreement.rho == pytest.approx(rho, rel=1e-9, abs=EXACT)
        assert agreement.p_value == pytest.approx(p, rel=1e-9)

    def test_rho_is_scipys(self):
        rng = np.random.default_rng(3)
        for n in (5, 12, 40):
            x, y = rng.normal(size=n), rng.integers(0, 4, size=n)
            assert spearman(x, y).rho == pytest.approx(scipy.stats.spearmanr(x, y).statistic, rel=1e-9)

    def test_exact_at_its_largest_agrees_with_many_random_permutations(self):
        x = np.arange(EXACT_TO)
        y = np.random.default_rng(1).permutation(EXACT_TO) + 0.4 * x
        agreement = spearman(x, y)
        rng = np.random.default_rng(2)
        ranks = scipy.stats.rankdata(y)
        drawn = rng.permuted(np.broadcast_to(ranks, (200_000, EXACT_TO)), axis=1)
        null = np.abs((drawn - ranks.mean()) @ (x - x.mean()))
        reached = np.mean(null >= abs((ranks - ranks.mean()) @ (x - x.mean())) - 1e-9)
        assert 0.001 < agreement.p_value < 0.9  # neither end, where everything would agree
        assert reached == pytest.approx(agreement.p_value, abs=4 * math.sqrt(0.25 / 200_000))

    def test_more_candidates_are_drawn_and_the_error_covers_scipys_value(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=30)
        y = x + 3 * rng.normal(size=30)
        agreement = spearman(x, y)
        assert agreement == spearman(x, y)
        assert 0 < agreement.p_value_error < 0.002
        assert agreement.smallest_p_value == 1 / (DRAWS + 1)
        asymptotic = scipy.stats.spearmanr(x, y).pvalue  # good at n = 30
        assert abs(agreement.p_value - asymptotic) < 5 * agreement.p_value_error + 0.002
        assert spearman(x, x).p_value == 1 / (DRAWS + 1)

    def test_invariances(self):
        rng = np.random.default_rng(5)
        x, y = rng.normal(size=8), rng.normal(size=8)
        agreement = spearman(x, y)
        order = rng.permutation(8)
        assert spearman(x[order], y[order]) == agreement
        assert spearman(np.exp(x), y**3) == agreement
        assert spearman(y, x) == agreement
        assert spearman(-x, y).rho == -agreement.rho
        assert spearman(-x, y).p_value == agreement.p_value

    def test_a_five_percent_test_rejects_at_most_five_percent_under_the_null(self):
        # The exact size at n = 6: the attainable level below 0.05 is 0.0333 (24 of 720: |rho| >= 0.886).
        studies, n = 2000, 6
        rng = np.random.default_rng(11)
        rejected = sum(
            spearman(rng.normal(size=n), rng.normal(size=n)).p_value <= 0.05 for _ in range(studies)
        )
        level = 24 / 720
        assert abs(rejected / studies - level) < 3.5 * math.sqrt(level * (1 - level) / studies)

    def test_at_ten_candidates_the_level_is_five_percent(self):
        studies = 2000
        rng = np.random.default_rng(12)
        rejected = sum(
            spearman(rng.normal(size=10), rng.normal(size=10)).p_value <= 0.05 for _ in range(studies)
        )
        assert 0.04 < rejected / studies < 0.06

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            ([1.0], [1.0], "needs at least two"),
            ([1, 2, 3], [1, 2], "3 candidates, but values: 2"),
            ([1, float("nan"), 3], [1, 2, 3], "scores: NaN or infinity at 1"),
            ([1, 2, 3], [1, 2, float("inf")], "values: NaN or infinity at 2"),
            ([[1, 2]], [1, 2], r"scores: shape \(1, 2\)"),
        ],
    )
    def test_errors(self, x, y, message):
        for function in (spearman, smooth_p_value, kendall_tau, weighted_tau, regret):
            with pytest.raises(InputError, match=message):
                function(x, y)


class TestSmoothPValue:
    def test_a_straight_curve(self):
        # Rho of 0..n-1 with its own shifts reaches 1 only for the identity and the reversal.
        assert smooth_p_value(range(12), range(12)) == 2 / 24

    def test_equals_the_naive_definition(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=7).cumsum(), rng.normal(size=7).cumsum()
        curves = [
            [ordered[(i + shift) % 7] for i in range(7)] for ordered in (y, y[::-1]) for shift in range(7)
        ]
        rhos = [abs(scipy.stats.spearmanr(x, curve).statistic) for curve in curves]
        expected = np.mean([rho >= rhos[0] - EXACT for rho in rhos])
        assert smooth_p_value(x, y) == pytest.approx(expected)

    def test_is_not_fooled_by_smooth_curves_as_the_permutation_test_is(self):
        rng = np.random.default_rng(7)
        permutation = smooth = 0
        for _ in range(400):
            phases = rng.uniform(0, 2 * np.pi, size=2)
            x, y = (np.sin(2 * np.pi * np.arange(12) / 12 + phase) for phase in phases)
            permutation += spearman(x, y).p_value <= 0.09
            smooth += smooth_p_value(x, y) <= 0.09
        assert permutation > 160  # claims 9 %, rejects over 40 %
        assert smooth < 52  # at most 9 % and 3 standard errors

    def test_constant_curve(self):
        assert smooth_p_value([1, 1, 1], [1, 2, 3]) == 1.0


class TestTaus:
    def test_by_hand(self):
        # Pairs of 1 2 3 against 1 3 2: two agree, one does not.
        assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)

    def test_a_mistake_among_the_best_weighs_more(self):
        values = [1, 2, 3, 4, 5]
        assert weighted_tau([1, 2, 3, 5, 4], values) < weighted_tau([2, 1, 3, 4, 5], values) < 1
        assert kendall_tau([1, 2, 3, 5, 4], values) == kendall_tau([2, 1, 3, 4, 5], values)

    def test_undefined_is_zero(self):
        for function in (kendall_tau, weighted_tau):
            assert function([2, 2, 2], [1, 2, 3]) == 0.0
            assert function([1, 2, 3], [5, 5, 5]) == 0.0


class TestRegret:
    VALUES = (0.5, 0.9, 0.7, 0.6)

    def test_by_hand(self):
        scores = [0.1, 0.2, 0.4, 0.3]  # picks 0.7, then 0.6, then the best
        assert regret(scores, self.VALUES) == pytest.approx(0.2)
        assert regret(scores, self.VALUES, k=2) == pytest.approx(0.2)
        assert regret(scores, self.VALUES, k=3) == 0.0

    def test_negated_error_rates(self):
        assert regret([2.0, 1.0], [-0.30, -0.25]) == pytest.approx(0.05)

    @pytest.mark.parametrize("k", [1, 2, 3, 4])
    @pytest.mark.parametrize("scores", [(1, 1, 1, 1), (1, 1, 1, 2), (2, 1, 1, 1), (1, 2, 2, 3)])
    def test_ties_are_the_mean_over_every_order_that_breaks_them(self, scores, k):
        costs = []
        for order in itertools.permutations(range(4)):
            ranked = sorted(order, key=lambda i: -scores[i])  # stable: `order` breaks the ties
            costs.append(max(self.VALUES) - max(self.VALUES[i] for i in ranked[:k]))
        assert regret(scores, self.VALUES, k) == pytest.approx(np.mean(costs), abs=EXACT)

    @pytest.mark.parametrize("k", [0, 5])
    def test_k_out_of_range(self, k):
        with pytest.raises(InputError, match=f"k is {k}, must be 1 to 4"):
            regret([1, 2, 3, 4], self.VALUES, k)
