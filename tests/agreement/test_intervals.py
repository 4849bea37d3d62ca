"""Intervals over candidates: ends, symmetry, coverage in simulation; and of a mean, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretune.agreement import candidate_interval, mean_interval, spearman
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
    def test_by_hand(self):
        # distances below 0.3 and 0.4, above 0.3 and 0: roots of the sums of squares 0.5 and 0.3, over 2
        low, high = mean_interval([0.5, 1.0], [(0.2, 0.8), (0.6, 1.0)])
        assert (low, high) == pytest.approx((0.75 - 0.25, 0.75 + 0.15), rel=EXACT)

    def test_of_one_is_its_own(self):
        assert mean_interval([0.5], [(0.1, 0.75)]) == pytest.approx((0.1, 0.75), rel=EXACT)

    def test_many_settings_tell_more_than_one(self):
        low, high = mean_interval([0.5] * 9, [(0.2, 0.8)] * 9)
        assert (low, high) == pytest.approx((0.4, 0.6), rel=1e-9)
