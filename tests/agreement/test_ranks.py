"""Ranks within many rows at once, against SciPy's: ties, few and many columns."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from foretune.agreement.ranks import ranks_of_rows


@pytest.mark.parametrize("columns", [1, 2, 17, 40, 41])
@pytest.mark.parametrize("decimals", [0, 12], ids=["ties", "no ties"])
def test_equals_scipy(columns, decimals):
    rows = np.random.default_rng(0).normal(size=(300, columns)).round(decimals)
    np.testing.assert_array_equal(ranks_of_rows(rows), scipy.stats.rankdata(rows, axis=1))


def test_one_value_only():
    assert ranks_of_rows(np.zeros((2, 4))).tolist() == [[2.5] * 4] * 2


def test_ascending_and_descending():
    rows = np.array([np.arange(40.0), -np.arange(40.0)])
    assert ranks_of_rows(rows).tolist() == [[*range(1, 41)], [*range(40, 0, -1)]]
