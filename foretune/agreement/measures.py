"""What else tells how well scores rank candidates: other coefficients, and what choosing by them costs."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from foretune.tasks.errors import InputError

from .ranks import checked, constant


def kendall_tau(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Kendall's τ_b, in [-1, 1]; 0 where it is undefined (constant scores or values).

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    return 0.0 if constant(x, y) else float(scipy.stats.kendalltau(x, y).statistic)


def weighted_tau(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Vigna's τ_w with hyperbolic weights, in [-1, 1]; 0 where it is undefined.

    Pairs among the best candidates count more; the average of the weights by scores and by values.

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    return 0.0 if constant(x, y) else float(scipy.stats.weightedtau(x, y).statistic)


def regret(scores: ArrayLike, values: ArrayLike, k: int = 1) -> float:
    """Return what choosing by the scores costs: the best value less the best among the top k.

    In the metric's own unit, at least 0. Where scores tie across the k-th place, the mean over all
    ways to break the tie: constant scores have the regret of a random choice.

    Args:
        scores: shape (candidates,).
        values: shape (candidates,), turned so that higher is better.
        k: how many candidates one can afford to fine-tune, 1 to the number of candidates.

    Raises:
        InputError: as `spearman`, or k is out of range.
    """
    x, y = checked(scores, values)
    if not 1 <= k <= len(x):
        raise InputError(f"regret: k is {k}, must be 1 to {len(x)}, the number of candidates")
    threshold = np.sort(x)[-k]
    sure = y[x > threshold]
    tied = np.sort(y[x == threshold])[::-1]
    chosen = k - len(sure)
    floor = sure.max() if len(sure) else -math.inf
    ways = math.comb(len(tied), chosen)
    expected = math.fsum(
        max(floor, value) * math.comb(len(tied) - place, chosen - 1) / ways
        for place, value in enumerate(tied.tolist(), start=1)
    )
    return max(0.0, float(y.max()) - expected)


def pearson(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Pearson's correlation, in [-1, 1]; 0 where it is undefined (constant scores or values).

    It asks for a straight line where Spearman's asks for the same order, so one outlier can make it.

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    if constant(x, y):
        return 0.0
    # scaled before they are multiplied, so that neither huge nor tiny numbers leave the range of floats
    x, y = (each / np.abs(each).max() for each in (x, y))
    x, y = (each - each.mean() for each in (x, y))
    x, y = (each / np.abs(each).max() for each in (x, y))
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))


def top_recall(scores: ArrayLike, values: ArrayLike, k: int = 3) -> float:
    """Return the share of the k best candidates that are among the k with the best scores, in [0, 1].

    Where scores or values tie across the k-th place, the mean over all ways to break the ties: constant
    scores have the recall of a random choice, k/n.

    Args:
        scores: shape (candidates,).
        values: shape (candidates,), turned so that higher is better.
        k: 1 to the number of candidates.

    Raises:
        InputError: as `spearman`; or k is out of range.
    """
    x, y = checked(scores, values)
    if not 1 <= k <= len(x):
        raise InputError(f"k is {k}; must be from 1 to the number of candidates ({len(x)})")
    return float(_chance_of_top(x, k) @ _chance_of_top(y, k)) / k


def _chance_of_top(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return each candidate's chance to be among the k highest when ties are broken at random."""
    threshold = np.sort(values)[-k]
    above, tied = values > threshold, values == threshold
    return np.where(above, 1.0, np.where(tied, (k - above.sum()) / tied.sum(), 0.0))
