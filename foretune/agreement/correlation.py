"""Spearman's rank correlation and its p-values, for few candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from foretune.tasks.errors import InputError

from .permutations import DRAWS, EXACT_TO, UNTIED_TO, null_distribution, permutations, permutations_within
from .ranks import checked, constant, deviation, integer_ranks, rank_correlation


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well scores rank candidates.

    Attributes:
        rho: Spearman's rank correlation, ties by average ranks, in [-1, 1].
        p_value: two-sided permutation p-value, in (0, 1].
        smallest_p_value: the least p that this number of candidates allows (without ties).
        candidates: how many.
        p_value_error: standard error of a Monte Carlo p-value; 0 for an exact one.
        defined: False where all scores, or all values, are the same: rho is then given as 0, p as 1.
    """

    rho: float
    p_value: float
    smallest_p_value: float
    candidates: int
    p_value_error: float = 0.0
    defined: bool = True


def spearman(scores: ArrayLike, values: ArrayLike, *, seed: int = 0) -> Agreement:
    """Return Spearman's ρ between scores and values and its permutation p-value.

    The null hypothesis: every assignment of the scores to the candidates is equally likely.
    p is the share of assignments whose |ρ| is at least the observed one. All n! are counted up to
    n = `EXACT_TO`; above, p = (k + 1) / (`DRAWS` + 1) where k of `DRAWS` random permutations do.

    Args:
        scores: shape (candidates,), finite, higher predicts better transfer.
        values: shape (candidates,), finite, higher is better.
        seed: of the random permutations.

    Raises:
        InputError: fewer than two candidates, different lengths, or a value is not finite.

    >>> spearman([0.1, 0.4, 0.9], [61.0, 70.5, 70.6])
    Agreement(rho=1.0, p_value=0.3333333333333333, smallest_p_value=0.3333333333333333, \
candidates=3, p_value_error=0.0, defined=True)
    """
    x, y = checked(scores, values)
    n = len(x)
    smallest = smallest_p_value(n)
    if constant(x, y):
        return Agreement(0.0, 1.0, smallest, n, 0.0, defined=False)
    a, b = integer_ranks(x), integer_ranks(y)
    observed = abs(deviation(a, b))
    rho = rank_correlation(x, y)
    if n <= EXACT_TO:
        deviations, counts = null_distribution(tuple(sorted(a.tolist())), tuple(sorted(b.tolist())))
        extreme = int(counts[deviations >= observed].sum())
        return Agreement(rho, extreme / math.factorial(n), smallest, n)
    # in floating point, where products of matrices are fast; exact, as the integers are small
    sums = b.astype(np.float64)[permutations(n, seed)] @ a.astype(np.float64)
    extreme = int(np.count_nonzero(np.abs(n * sums - a.sum() * b.sum()) >= observed))
    p = (extreme + 1) / (DRAWS + 1)
    return Agreement(rho, p, smallest, n, math.sqrt(p * (1 - p) / DRAWS))


def exact_p_value(scores: ArrayLike, values: ArrayLike) -> float:
    """Return the exact two-sided permutation p-value of Spearman's ρ beyond `EXACT_TO` candidates.

    For up to `UNTIED_TO` candidates without ties. ρ is then 1 − 6 Σd² / (n³ − n), where d are the
    differences of ranks, and its null distribution is symmetric: the permutations whose Σd² is at most
    that observed are counted, and doubled. Seconds at 18 candidates, less the stronger the correlation is.

    Args:
        scores: shape (candidates,), finite, all different.
        values: shape (candidates,), likewise.

    Raises:
        InputError: as `spearman`; or there are ties, or too many candidates.

    >>> exact_p_value([1, 2, 3, 4], [2, 1, 4, 3])  # Σd² is 4 or less, or 16 or more, for 10 of 24
    0.4166666666666667
    """
    x, y = checked(scores, values)
    n = len(x)
    if n > UNTIED_TO or len(set(x.tolist())) < n or len(set(y.tolist())) < n:
        raise InputError(f"scores: exact p-values are for up to {UNTIED_TO} candidates without ties")
    a, b = integer_ranks(x), integer_ranks(y)
    squares = int(((a - b) ** 2).sum())
    middle = n * (n * n - 1) // 6
    bound = min(squares, 2 * middle - squares)  # of the other sign, mirrored
    return min(1.0, 2 * permutations_within(n, bound) / math.factorial(n)) if bound < middle else 1.0


def smallest_p_value(candidates: int) -> float:
    """Return the least p-value that `spearman` can give: that of a perfect ranking without ties.

    2/n! up to `EXACT_TO` candidates (1 for two of them), 1 / (`DRAWS` + 1) above.
    """
    return 2 / math.factorial(candidates) if candidates <= EXACT_TO else 1 / (DRAWS + 1)


def smooth_p_value(scores: ArrayLike, values: ArrayLike) -> float:
    """Return a two-sided p-value of Spearman's ρ under a null that keeps both curves smooth.

    Over layers, scores and values change slowly, so even unrelated curves agree or disagree
    strongly, and the permutation test, which takes the layers as exchangeable, finds too much. Here
    the null is the 2n circular shifts of the values along the layers, forwards and reversed: p is
    the share whose |ρ| is at least the observed one, so its least value is 1/(2n). A shift joins the
    last layer to the first, which unrelated curves need not survive: take it as a check, not as exact.

    Args:
        scores: shape (layers,), in the order of the layers.
        values: shape (layers,), likewise.

    Raises:
        InputError: fewer than two layers, different lengths, or a value is not finite.
    """
    x, y = checked(scores, values)
    if constant(x, y):
        return 1.0
    a, b = integer_ranks(x), integer_ranks(y)
    shifted = [np.roll(curve, shift) for curve in (b, b[::-1]) for shift in range(len(b))]
    observed = abs(deviation(a, b))
    return sum(abs(deviation(a, curve)) >= observed for curve in shifted) / len(shifted)
