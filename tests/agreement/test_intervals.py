"""Intervals over candidates: ends, symmetry, coverage in simulation; and of a mean, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretune.agreement import candidate_interval, mean_interval, spearman
from foretune.agreement.ranks import rank_correlation
from foretune.tasks.errors import InputError

EXACT = 1e-12


class TestCandidateInterval:
    @pytest.mark.parametrize("seed", range(3))
    def test_holds_rho_and_is_mirrored_with_it(self, seed):
        x, y = np.random.default_rng(seed).normal(size=(2, 7))
        low, high = candidate_interval(x, y)
        assert -1 <= low < spearman(x, y).rho < high <= 1
        assert candidate_interval(-x, y) == pytest.approx((-high, -low), rel=EXACT)
        assert candidate_interval(np.exp(x), y**3) == (low, high)

    def test_no_correlation_has_a_symmetric_interval(self):
        low, high = candidate_interval([1, 2, 3, 4, 5], [3, 5, 1, 4, 2])
        assert spearman([1, 2, 3, 4, 5], [3, 5, 1, 4, 2]).rho == pytest.approx(-0.3)
        assert low < -0.3 < high
        low, high = candidate_interval([1, 2, 3, 4], [2, 4, 1, 3])  # rho is 0
        assert low == pytest.approx(-high, rel=EXACT)
        assert 0.8 < high < 1

    def test_a_perfect_ranking(self):
        lows = []
        for n in (4, 6, 9):
            low, high = candidate_interval(range(n), range(n))
            assert high == 1.0
            lows.append(low)
        assert lows == sorted(lows)
        assert lows[0] < 0.5
        assert lows[-1] > 0.8

    def test_more_candidates_and_lower_levels_are_narrower(self):
        def width(n, **options):
            low, high = candidate_interval(range(n), [i ^ 1 for i in range(n)], **options)
            return high - low

        assert width(12) < width(8) < width(4)
        assert width(8, level=0.5) < width(8, level=0.9) < width(8)

    def test_ties(self):
        low, high = candidate_interval([1, 1, 2, 3, 3, 4], [1, 2, 2, 4, 3, 4])
        assert low < spearman([1, 1, 2, 3, 3, 4], [1, 2, 2, 4, 3, 4]).rho < high

    @pytest.mark.parametrize(
        ("x", "y"), [([1, 2, 3], [1, 2, 3]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [0, 0, 0, 0])]
    )
    def test_none(self, x, y):
        assert candidate_interval(x, y) is None

    def test_lengths(self):
        with pytest.raises(InputError, match="5 candidates, but values: 4"):
            candidate_interval([1, 2, 3, 4, 5], [1, 2, 3, 4])

    @pytest.mark.parametrize("correlation", [0.0, 0.8, 0.95])
    def test_covers(self, correlation):
        rng = np.random.default_rng(1)
        truth, held, studies = 6 / math.pi * math.asin(correlation / 2), 0, 400
        for _ in range(studies):
            x = rng.normal(size=8)
            y = correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=8)
            low, high = candidate_interval(x, y)
            held += low <= truth <= high
        # 95 %, 3 binomial standard errors of 400 studies (1.1 %), and 2 % since few candidates have few rho
        assert 0.90 <= held / studies <= 0.995


class TestMeanInterval:
    def test_of_one_is_its_own(self):
        x, y = [1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]
        found = mean_interval([spearman(x, y).rho], [6])
        assert found == pytest.approx(tuple(candidate_interval(x, y)), rel=1e-9)

    def test_of_four_alike_it_is_half_as_wide_as_of_one(self):
        # two alike stand for one, whose own interval is not by a normal distribution
        low, high = mean_interval([0.3] * 2, [8] * 2)
        narrow, wide = mean_interval([0.3] * 8, [8] * 8)
        assert low + high == pytest.approx(narrow + wide, rel=1e-9)
        assert high - low == pytest.approx(2 * (wide - narrow), rel=1e-9)

    def test_no_correlation(self):
        # of n candidates without any relation ρ has the variance 1/(n - 1), and n/(n - 2) is put on that
        low, high = mean_interval([0.0] * 4, [9] * 4)
        assert low == pytest.approx(-high, rel=1e-9)
        assert high == pytest.approx(1.96 * math.sqrt(1 / 8 * 9 / 7 / 4), rel=0.1)

    def test_mirrored(self):
        low, high = mean_interval([0.5, 0.9, -0.2], [9, 13, 9])
        assert low < 0.4 < high
        assert mean_interval([-0.5, -0.9, 0.2], [9, 13, 9]) == pytest.approx((-high, -low), rel=1e-9)

    def test_a_perfect_mean(self):
        low, high = mean_interval([1.0, 1.0], [9, 9])
        assert high == 1.0
        assert 0.9 < low < 1

    def test_covers(self):
        rng = np.random.default_rng(0)
        correlations = [0.2, 0.6, 0.9, 0.95]
        truth = np.mean([6 / math.pi * math.asin(r / 2) for r in correlations])
        studies, held = 300, 0
        for _ in range(studies):
            rho = []
            for r in correlations:
                x = rng.normal(size=8)
                rho.append(rank_correlation(x, r * x + math.sqrt(1 - r**2) * rng.normal(size=8)))
            low, high = mean_interval(rho, [8] * 4)
            held += low <= truth <= high
        # 95 %, and 3 binomial standard errors of 300 studies (1.3 %)
        assert 0.91 <= held / studies <= 0.99
