"""Ranks in exact arithmetic, and the checks of scores and values that all statistics share."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from foretune.tasks.errors import InputError

_COUNTED_TO = 40
"""Columns up to which comparing each with each other is faster than sorting the rows."""


def checked(scores: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores and values as arrays of shape (candidates,).

    Raises:
        InputError: fewer than two candidates, different lengths, or a value is not finite.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    for name, array in (("scores", x), ("values", y)):
        if array.ndim != 1:
            raise InputError(f"{name}: shape {array.shape}, must be (candidates,)")
        if not np.isfinite(array).all():
            raise InputError(f"{name}: NaN or infinity at {int(np.argmin(np.isfinite(array)))}; leave it out")
    if len(x) != len(y):
        raise InputError(f"scores: {len(x)} candidates, but values: {len(y)}; give one of each a candidate")
    if len(x) < 2:
        raise InputError(f"scores: {len(x)} candidates; a ranking needs at least two")
    return x, y


def constant(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether all scores, or all values, are the same: nothing is ranked then."""
    return bool((x == x[0]).all() or (y == y[0]).all())


def integer_ranks(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return average ranks times their common denominator (1, or 2 with ties), so that sums are exact."""
    doubled = np.rint(2 * scipy.stats.rankdata(x)).astype(np.int64)
    return doubled // 2 if not (doubled % 2).any() else doubled


def ranks_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the average ranks, from 1, within each of many short rows, shape (rows, candidates).

    Twice a rank is 1 and the number of values, plus that of smaller ones, less that of larger ones.
    """
    candidates = rows.shape[1]
    if candidates > _COUNTED_TO:
        ranks: NDArray[np.float64] = scipy.stats.rankdata(rows, axis=1)
        return ranks
    columns = np.ascontiguousarray(rows.T)
    twice = np.full(columns.shape, candidates + 1, dtype=np.int8)  # at most 2 * _COUNTED_TO
    different = np.empty(columns.shape, dtype=bool)
    for column in columns:
        twice += np.less(column, columns, out=different).view(np.int8)
        twice -= np.greater(column, columns, out=different).view(np.int8)
    halved: NDArray[np.float64] = twice.T / 2
    return halved


def rank_correlation(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Spearman's ρ alone, without a p-value; 0 where it is not defined.

    Raises:
        InputError: as `checked`.
    """
    x, y = checked(scores, values)
    if constant(x, y):
        return 0.0
    a, b = integer_ranks(x), integer_ranks(y)
    return deviation(a, b) / math.sqrt(deviation(a, a) * deviation(b, b))


def deviation(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Return n² times the covariance of two integer rankings, exactly."""
    return len(a) * int(a @ b) - int(a.sum()) * int(b.sum())
