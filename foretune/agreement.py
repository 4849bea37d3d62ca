"""Rank statistics between estimators' scores and fine-tuning results, for few candidates.

Scores and values are given per candidate, both turned so that higher is better
(`Task.goodness`). Candidates are few, 4 to 20, so asymptotic p-values are wrong here: SciPy's
`spearmanr` gives p = 0.0 for a perfect ranking of 3 or of 6, where the exact two-sided values are
1/3 and 1/360. Here every permutation is counted, up to `EXACT_TO` candidates.

A ranking by constant scores says nothing, and against constant values there is nothing to say:
Spearman's and Kendall's coefficients are then undefined (0/0). Records hold no NaN, so these
functions return 0 ("no agreement was seen") with p = 1, and `Agreement.defined` is False.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from foretune.tasks.errors import InputError

EXACT_TO = 13
"""Candidates up to which all n! permutations are counted (13: layer 0 and twelve more)."""
DRAWS = 100_000
"""Random permutations above that."""
UNTIED_TO = 18
"""Candidates up to which `exact_p_value` counts."""


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
    x, y = _checked(scores, values)
    n = len(x)
    smallest = smallest_p_value(n)
    if _constant(x, y):
        return Agreement(0.0, 1.0, smallest, n, 0.0, defined=False)
    a, b = _integer_ranks(x), _integer_ranks(y)
    observed = abs(_deviation(a, b))
    rho = _deviation(a, b) / math.sqrt(_deviation(a, a) * _deviation(b, b))
    if n <= EXACT_TO:
        deviations, counts = _null(tuple(sorted(a.tolist())), tuple(sorted(b.tolist())))
        extreme = int(counts[deviations >= observed].sum())
        return Agreement(rho, extreme / math.factorial(n), smallest, n)
    # in floating point, where products of matrices are fast; exact, as the integers are small
    sums = b.astype(np.float64)[_permutations(n, seed)] @ a.astype(np.float64)
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
    x, y = _checked(scores, values)
    n = len(x)
    if n > UNTIED_TO or len(set(x.tolist())) < n or len(set(y.tolist())) < n:
        raise InputError(f"scores: exact p-values are for up to {UNTIED_TO} candidates without ties")
    a, b = _integer_ranks(x), _integer_ranks(y)
    squares = int(((a - b) ** 2).sum())
    middle = n * (n * n - 1) // 6
    bound = min(squares, 2 * middle - squares)  # of the other sign, mirrored
    return min(1.0, 2 * _permutations_within(n, bound) / math.factorial(n)) if bound < middle else 1.0


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
    x, y = _checked(scores, values)
    if _constant(x, y):
        return 1.0
    a, b = _integer_ranks(x), _integer_ranks(y)
    shifted = [np.roll(curve, shift) for curve in (b, b[::-1]) for shift in range(len(b))]
    observed = abs(_deviation(a, b))
    return sum(abs(_deviation(a, curve)) >= observed for curve in shifted) / len(shifted)


def kendall_tau(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Kendall's τ_b, in [-1, 1]; 0 where it is undefined (constant scores or values).

    Raises:
        InputError: as `spearman`.
    """
    x, y = _checked(scores, values)
    return 0.0 if _constant(x, y) else float(scipy.stats.kendalltau(x, y).statistic)


def weighted_tau(scores: ArrayLike, values: ArrayLike) -> float:
    """Return Vigna's τ_w with hyperbolic weights, in [-1, 1]; 0 where it is undefined.

    Pairs among the best candidates count more; the average of the weights by scores and by values.

    Raises:
        InputError: as `spearman`.
    """
    x, y = _checked(scores, values)
    return 0.0 if _constant(x, y) else float(scipy.stats.weightedtau(x, y).statistic)


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
    x, y = _checked(scores, values)
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


def _checked(scores: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


def _constant(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    return bool((x == x[0]).all() or (y == y[0]).all())


def _integer_ranks(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return average ranks times their common denominator (1, or 2 with ties), so that sums are exact."""
    doubled = np.rint(2 * scipy.stats.rankdata(x)).astype(np.int64)
    return doubled // 2 if not (doubled % 2).any() else doubled


def _deviation(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Return n² times the covariance of two integer rankings, exactly."""
    return len(a) * int(a @ b) - int(a.sum()) * int(b.sum())


@functools.lru_cache(maxsize=2)
def _permutations(n: int, seed: int) -> NDArray[np.int64]:
    """Return `DRAWS` random orders of n places; the same for all rankings of so many candidates."""
    return np.random.default_rng(seed).permuted(np.broadcast_to(np.arange(n), (DRAWS, n)), axis=1)


@functools.lru_cache(maxsize=64)
def _permutations_within(n: int, bound: int) -> int:
    """Count the permutations π of n places with Σ (i − π(i))² at most `bound`.

    Place by place, over the sets of values used so far (as bits), with a histogram of the sum so far.
    The upper places are the lower ones seen in a mirror, so half of the places is enough.
    """
    sets = np.arange(1 << n)
    sizes = np.bitwise_count(sets).astype(np.int64)
    of_size = [sets[sizes == size] for size in range(n + 1)]
    index = np.zeros(1 << n, dtype=np.int64)  # of a set among those of its size
    for members in of_size:
        index[members] = np.arange(len(members))
    counts = [np.zeros((1, bound + 1), dtype=np.int32)]  # at most (UNTIED_TO / 2)! in a cell
    counts[0][0, 0] = 1
    for place in range(n - n // 2):
        grown = np.zeros((len(of_size[place + 1]), bound + 1), dtype=np.int32)
        for value in range(n):
            step = (place - value) ** 2
            if step <= bound:
                before = of_size[place][of_size[place] >> value & 1 == 0]
                grown[index[before | 1 << value], step:] += counts[-1][index[before], : bound + 1 - step]
        counts.append(grown)
    lower = of_size[n - n // 2]
    upper = sets[-1] ^ lower
    mirrored = sum((upper >> value & 1) << (n - 1 - value) for value in range(n))
    at_most = counts[n // 2][index[mirrored]].cumsum(axis=1, dtype=np.int64)
    return sum(int(row) for row in np.einsum("sb,sb->s", counts[-1], at_most[:, ::-1], dtype=np.int64))


@functools.lru_cache(maxsize=256)
def _null(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the permutations of b by |n Σ a_i b_π(i) − Σa Σb|: distinct values and their counts.

    Adds one place i at a time: which elements of b are used, and the sum so far, is all that counts,
    so n·2ⁿ⁻¹ additions of histograms serve for n! permutations.
    """
    n = len(a)
    size = int(np.dot(a, b)) + 1  # both ascend: the largest sum there is
    histograms = np.zeros((1, size), dtype=np.int64)
    histograms[0, 0] = 1
    row: dict[tuple[int, ...], int] = {(): 0}
    for place in range(n):
        subsets = {subset: i for i, subset in enumerate(itertools.combinations(range(n), place + 1))}
        grown = np.zeros((len(subsets), size), dtype=np.int64)
        for j in range(n):
            without = [subset for subset in row if j not in subset]
            before = [row[subset] for subset in without]
            after = [subsets[tuple(sorted((*subset, j)))] for subset in without]
            step = a[place] * b[j]
            grown[after, step:] += histograms[before, : size - step]
        histograms, row = grown, subsets
    sums = np.flatnonzero(histograms[0])
    deviations = np.abs(n * sums - sum(a) * sum(b))
    distinct, inverse = np.unique(deviations, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, inverse, histograms[0, sums])
    return distinct, counts
