"""Pearson's correlation and recall among the best: by hand, by naive definitions, and at the limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.agreement import pearson, top_recall
from foretune.tasks.errors import InputError

EXACT = 1e-12


def naive_recall(scores, values, k):
    """The mean, over all orders of the candidates that break ties, of the share in both tops."""

    def tops(given):
        for order in itertools.permutations(range(len(given))):
            yield set(sorted(order, key=lambda i: -given[i])[:k])  # stable: the order breaks ties

    by_score, by_value = list(tops(scores)), list(tops(values))
    shares = [len(a & b) / k for a in by_score for b in by_value]
    return sum(shares) / len(shares)


class TestPearson:
    def test_by_hand(self):
        # deviations -1 0 1 and -2 1 1: products 3, squares 2 and 6
        assert pearson([1, 2, 3], [0, 3, 3]) == pytest.approx(3 / np.sqrt(12), rel=EXACT)

    def test_equals_numpy(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, 11))
        assert pearson(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-9)

    @pytest.mark.parametrize("scale", [1e-300, 1e-8, 1e150, 1e300])
    def test_neither_scale_nor_place_matters(self, scale):
        x, y = [0.1, 0.7, 0.3, 0.9], [3.0, 1.0, 4.0, 1.5]
        assert pearson(np.array(x) * scale, y) == pytest.approx(pearson(x, y), rel=1e-9)
        assert pearson(x, np.array(y) + 100) == pytest.approx(pearson(x, y), rel=1e-9)
        assert pearson(x, -np.array(y)) == pytest.approx(-pearson(x, y), rel=1e-9)

    def test_limits(self):
        assert pearson([1, 2, 3], [10, 20, 30]) == pytest.approx(1.0, rel=EXACT)
        assert pearson([1, 2, 3], [5, 5, 5]) == 0.0
        assert pearson([7, 7], [1, 2]) == 0.0

    def test_not_finite(self):
        with pytest.raises(InputError, match="values: NaN or infinity at 1"):
            pearson([1, 2], [3, np.inf])


class TestTopRecall:
    def test_by_hand(self):
        values = [9, 8, 7, 1, 2]
        assert top_recall([5, 4, 3, 2, 1], values) == 1.0
        assert top_recall([5, 4, 1, 3, 2], values) == pytest.approx(2 / 3, rel=EXACT)
        assert top_recall([5, 4, 1, 3, 2], values, k=1) == 1.0
        assert top_recall([1, 2, 3, 5, 4], values, k=2) == 0.0

    def test_ties(self):
        # two of the three tied scores stand beside the sure one; the sure one and each of the tied in 2 of 3
        assert top_recall([9, 5, 5, 5, 1], [5, 4, 3, 2, 1], k=3) == pytest.approx(
            (1 + 2 / 3 * 2) / 3, rel=EXACT
        )

    def test_constant_scores_choose_at_random(self):
        assert top_recall([0] * 8, range(8)) == pytest.approx(3 / 8, rel=EXACT)

    def test_three_candidates_are_always_the_best_three(self):
        assert top_recall([1, 2, 3], [3, 2, 1]) == 1.0

    @settings(max_examples=15, deadline=None)
    @given(
        st.integers(2, 4).flatmap(
            lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2, st.integers(1, n))
        )
    )
    def test_equals_the_mean_over_all_ways_to_break_ties(self, case):
        scores, values, k = case
        assert top_recall(scores, values, k) == pytest.approx(naive_recall(scores, values, k), rel=1e-9)

    @pytest.mark.parametrize("k", [0, 4])
    def test_k_out_of_range(self, k):
        with pytest.raises(InputError, match=rf"k is {k}; must be from 1 to the number of candidates \(3\)"):
            top_recall([1, 2, 3], [1, 2, 3], k)
