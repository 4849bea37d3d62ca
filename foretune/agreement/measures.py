"""What else tells how well scores rank candidates: other coefficients, and what choosing by them costs."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

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
