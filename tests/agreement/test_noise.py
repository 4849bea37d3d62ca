"""What noise does to ρ: no noise, shared noise, noise that decides all; seeds against seeds by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from foretune.agreement import ceiling, seed_interval, split_half, utterance_interval
from foretune.tasks.errors import InputError

EXACT = 1e-12
SCORES = [0.1, 0.5, 0.3, 0.9, 0.7, 0.8]
VALUES = [10.0, 40.0, 20.0, 30.0, 60.0, 50.0]
RHO = scipy.stats.spearmanr(SCORES, VALUES).statistic


def study(rng, *, n=9, correlation=0.8, noise=0.4, seeds=3):
    """Return scores, true values, means over seeds, their standard deviations and the runs."""
    true = rng.normal(size=n)
    scores = correlation * true + np.sqrt(1 - correlation**2) * rng.normal(size=n)
    runs = true[:, None] + noise * np.sqrt(seeds) * rng.normal(size=(n, seeds))
    return scores, true, runs.mean(axis=1), runs.std(axis=1, ddof=1), runs


class TestSeedInterval:
    @pytest.mark.parametrize("deviation", [0.0, 1e-6])
    def test_without_noise_it_is_rho(self, deviation):
        found = seed_interval(SCORES, VALUES, [deviation] * 6, [3] * 6)
        assert found == pytest.approx((RHO, RHO), rel=EXACT)

    def test_ties_without_noise(self):
        values = [1, 1, 2, 3, 3, 4]
        rho = scipy.stats.spearmanr(SCORES, values).statistic
        assert seed_interval(SCORES, values, [0.0] * 6, [2] * 6) == pytest.approx((rho, rho), rel=EXACT)

    def test_more_noise_is_wider_and_more_seeds_are_narrower(self):
        def width(deviation, seeds):
            low, high = seed_interval(SCORES, VALUES, [deviation] * 6, [seeds] * 6, seed=1)
            return high - low

        assert width(3.0, 3) < width(10.0, 3) < width(60.0, 3)
        assert width(10.0, 30) < width(10.0, 3)

    def test_neither_unit_nor_scale_of_scores_matters(self):
        deviations = [5.0, 8.0, 3.0, 9.0, 6.0, 7.0]
        found = seed_interval(SCORES, VALUES, deviations, [3] * 6)
        percent = seed_interval(
            np.exp(SCORES), np.array(VALUES) / 100 - 5, np.array(deviations) / 100, [3] * 6
        )
        assert percent == pytest.approx(found, rel=1e-9)
        assert found == seed_interval(SCORES, VALUES, deviations, [3] * 6)  # seeded

    @pytest.mark.parametrize(
        ("scores", "deviations", "seeds"),
        [
            (SCORES, [1.0, None, 1.0, 1.0, 1.0, 1.0], [3, 1, 3, 3, 3, 3]),
            ([1.0] * 6, [1.0] * 6, [3] * 6),
        ],
    )
    def test_none(self, scores, deviations, seeds):
        assert seed_interval(scores, VALUES, deviations, seeds) is None
        assert seed_interval([1, 2, 3], [1, 2, 3], [0.1] * 3, [3] * 3) is None

    @pytest.mark.parametrize("correlation", [0.0, 0.95])
    def test_covers_where_resampling_the_seeds_does_not(self, correlation):
        rng = np.random.default_rng(0)
        studies, held, held_by_resampling = 150, 0, 0
        for _ in range(studies):
            scores, true, means, deviations, runs = study(rng, correlation=correlation)
            rho = scipy.stats.spearmanr(scores, true).statistic
            low, high = seed_interval(scores, means, deviations, [3] * 9, draws=200)
            held += low - EXACT <= rho <= high + EXACT
            drawn = rng.integers(3, size=(200, 9, 3))
            resampled = np.take_along_axis(runs[None], drawn, axis=2).mean(axis=2)
            ranks = scipy.stats.rankdata(resampled, axis=1) - 5
            found = ranks @ (scipy.stats.rankdata(scores) - 5) / 60
            low, high = np.quantile(found, [0.025, 0.975])
            held_by_resampling += low - EXACT <= rho <= high + EXACT
        # 95 % less 3 binomial standard errors of 150 studies (1.8 %)
        assert held / studies >= 0.895
        if correlation:
            assert held_by_resampling / studies < 0.895


class TestUtteranceInterval:
    def test_without_errors_it_is_rho(self):
        for errors in (np.zeros(6), np.zeros((6, 4))):
            assert utterance_interval(SCORES, VALUES, errors) == pytest.approx((RHO, RHO), rel=EXACT)

    def test_errors_that_all_candidates_share_do_not_change_their_order(self):
        groups = np.array([2.0, -1.0, 0.5, -3.0])
        shared = np.tile(groups, (6, 1))
        assert utterance_interval(SCORES, VALUES, shared) == pytest.approx((RHO, RHO), rel=EXACT)
        low, _ = utterance_interval(SCORES, VALUES, np.sqrt((shared**2).sum(axis=1)))
        assert low < RHO - 0.2  # taken as each one's own, the same errors drown the order

    def test_groups_of_one_candidate_each_are_independent_errors(self):
        apart = np.hstack([np.eye(6) * 0.2 / 5] * 25)  # so many that their errors are as good as known
        low, high = utterance_interval(SCORES, VALUES, apart, draws=4000)
        alone = utterance_interval(SCORES, VALUES, [0.2] * 6, draws=4000)
        assert low < RHO < high
        assert (low, high) == pytest.approx(tuple(alone), abs=0.12)  # two steps of ρ

    def test_the_unit_of_scores_does_not_matter(self):
        errors = np.random.default_rng(0).normal(size=(6, 5)) / 5
        found = utterance_interval(SCORES, VALUES, errors)
        scaled = utterance_interval(1000 * np.array(SCORES) - 7, VALUES, 1000 * errors)
        assert scaled == pytest.approx(found, rel=1e-9)

    def test_none(self):
        assert utterance_interval([2.0] * 6, VALUES, [0.1] * 6) is None
        assert utterance_interval([1, 2, 3], [1, 2, 3], [0.1] * 3) is None

    def test_covers(self):
        rng = np.random.default_rng(0)
        studies, held = 150, 0
        for _ in range(studies):
            values, true, *_ = study(rng)
            errors = rng.normal(size=(9, 8)) * 0.4 / np.sqrt(8)
            observed = true + errors @ rng.normal(size=8)  # as groups are drawn
            rho = scipy.stats.spearmanr(true, values).statistic
            low, high = utterance_interval(observed, values, errors, draws=200)
            held += low - EXACT <= rho <= high + EXACT
        assert held / studies >= 0.895


class TestCeiling:
    def test_without_noise_it_is_one(self):
        assert ceiling(VALUES, [0.0] * 6, [3] * 6) == pytest.approx(1.0, rel=EXACT)
        assert ceiling(VALUES, [0.01] * 6, [3] * 6) == pytest.approx(1.0, rel=1e-3)

    def test_where_seeds_decide_all_it_is_near_nothing(self):
        rng = np.random.default_rng(0)
        _, _, means, deviations, _ = study(rng, n=12, noise=30.0)
        assert ceiling(means, deviations, [3] * 12) < 0.6

    def test_falls_with_noise(self):
        found = [ceiling(VALUES, [deviation] * 6, [3] * 6) for deviation in (1.0, 10.0, 30.0)]
        assert found == sorted(found, reverse=True)

    def test_is_the_rho_of_the_true_values_on_average(self):
        rng = np.random.default_rng(0)
        found, reached = [], []
        for _ in range(150):
            _, true, means, deviations, _ = study(rng)
            found.append(ceiling(means, deviations, [3] * 9, draws=100))
            reached.append(scipy.stats.spearmanr(true, means).statistic)
        # the standard error of the mean difference is 0.01
        assert np.mean(found) == pytest.approx(np.mean(reached), abs=0.04)

    def test_none(self):
        assert ceiling(VALUES, [None] * 6, [1] * 6) is None
        assert ceiling([3.0] * 6, [0.1] * 6, [3] * 6) is None
        assert ceiling([1, 2], [0.1] * 2, [3] * 2) is None


class TestSplitHalf:
    def test_two_seeds_by_hand(self):
        # ranks 1 2 3 4 and 2 1 4 3: rho 0.6; two seeds for one: 2 · 0.6 / 1.6
        assert split_half([[1, 20], [2, 10], [3, 40], [4, 30]]) == pytest.approx(0.75, rel=EXACT)

    def test_three_seeds_by_hand(self):
        # rho 0.6, 0.8 and 0.8 between one seed and another: mean r; three for one: 3 r / (1 + 2 r)
        runs = np.array([[1, 2, 1], [2, 1, 3], [3, 4, 2], [4, 3, 4]])
        pairs = [scipy.stats.spearmanr(runs[:, i], runs[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))]
        mean = np.mean(pairs)
        assert split_half(runs) == pytest.approx(3 * mean / (1 + 2 * mean), rel=EXACT)

    def test_halves_of_four_seeds_are_means_of_two(self):
        runs = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6)[:, None]
        halves = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
        mean = np.mean(
            [
                scipy.stats.spearmanr(runs[:, a].mean(axis=1), runs[:, b].mean(axis=1)).statistic
                for a, b in halves
            ]
        )
        assert split_half(runs) == pytest.approx(2 * mean / (1 + mean), rel=EXACT)

    def test_limits(self):
        assert split_half([[1, 1], [2, 2], [3, 3]]) == 1.0
        assert split_half([[1, 3], [2, 2], [3, 1]]) == 0.0
        assert split_half([[1, 5], [2, 5], [3, 5]]) == 0.0
        assert split_half([[1], [2], [3]]) is None

    def test_not_finite(self):
        with pytest.raises(InputError, match="NaN or infinity"):
            split_half([[1, np.nan], [2, 3]])
