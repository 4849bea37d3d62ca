"""Paired comparison of estimators: by hand, against SciPy, under the null; Holm's correction by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.agreement import compare, holm, sign_flip, spearman
from foretune.tasks.errors import InputError

EXACT = 1e-12


class TestSignFlip:
    def test_by_hand(self):
        # sums of ±1 ±2: 3, -1, 1, -3; two of four reach 3
        assert sign_flip([1, 2]) == (3.0, 0.5)
        assert sign_flip([1, -1]) == (0.0, 1.0)
        assert sign_flip([0.5] * 9)[1] == 2 / 2**9  # the least that nine settings allow

    def test_equals_scipy(self):
        differences = np.random.default_rng(0).normal(0.3, 1, size=8)
        found = scipy.stats.permutation_test(
            (differences,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", vectorized=True
        )
        assert sign_flip(differences).p_value == pytest.approx(found.pvalue, rel=EXACT)

    def test_many_pairs_are_drawn(self):
        differences = np.random.default_rng(0).normal(0.3, 1, size=20)
        found, again = sign_flip(differences), sign_flip(differences, seed=1)
        assert 0 < found.p_value < 1
        assert found.p_value == pytest.approx(again.p_value, abs=0.02)
        assert sign_flip([1.0] * 40).p_value == 1 / 10_001


class TestCompare:
    def test_the_difference_is_that_of_rho(self):
        rng = np.random.default_rng(0)
        a, b, y = rng.normal(size=(3, 9))
        found = compare(a, b, y)
        assert found.difference == pytest.approx(spearman(a, y).rho - spearman(b, y).rho, abs=EXACT)
        assert 0 < found.p_value <= 1
        other = compare(b, a, y)
        assert other == pytest.approx((-found.difference, found.p_value), rel=1e-9)
        assert compare(np.exp(a), 100 * b, y**3) == pytest.approx(found, rel=1e-9)

    def test_the_same_ranking(self):
        assert compare([1, 2, 3, 4], [10, 20, 30, 40], [2, 1, 3, 4]) == (0.0, 1.0)

    def test_by_hand(self):
        # one ranking is the other reversed, so swaps only turn signs: the difference is 2 or -2 for all or
        # none swapped, and smaller for the other 14 of 16 ways
        found = compare([1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 4])
        assert found == pytest.approx((2.0, 2 / 16), rel=EXACT)

    def test_constant_scores_have_no_correlation(self):
        assert compare([1, 2, 3], [5, 5, 5], [1, 2, 3]).difference == pytest.approx(1.0, rel=EXACT)

    def test_rejects_as_often_as_it_should(self):
        rng = np.random.default_rng(0)
        studies, rejected = 400, 0
        for _ in range(studies):
            y = rng.normal(size=11)
            rejected += compare(*(y + rng.normal(size=(2, 11))), y).p_value <= 0.05
        # 5 %, and 3 binomial standard errors of 400 studies (1.1 %)
        assert 0.017 <= rejected / studies <= 0.083

    def test_finds_a_difference(self):
        rng = np.random.default_rng(0)
        y = rng.normal(size=13)
        assert compare(y + 0.01 * rng.normal(size=13), rng.normal(size=13), y).p_value < 0.02

    def test_lengths(self):
        with pytest.raises(InputError, match="3 candidates, but values: 4"):
            compare([1, 2, 3, 4], [1, 2, 3], [1, 2, 3, 4])


class TestHolm:
    def test_by_hand(self):
        # 0.01 · 3, 0.03 · 2, then 0.04 · 1, which is not less than what came before
        assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})

    def test_one_and_none(self):
        assert holm({"a": 0.2}) == {"a": 0.2}
        assert holm({}) == {}
        assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    def test_rejects_step_by_step(self, values):
        adjusted = holm(dict(enumerate(values)))
        for level in (0.01, 0.05, 0.3):
            rejected = set()
            for i in sorted(adjusted, key=lambda i: values[i]):
                if values[i] * (len(values) - len(rejected)) > level:
                    break
                rejected.add(i)
            assert {i for i, p in adjusted.items() if p <= level} == rejected
