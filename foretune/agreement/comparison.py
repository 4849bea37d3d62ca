"""Does one estimator rank better than another? Paired tests, and Holm's correction for many of them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from .ranks import checked, ranks_of_rows

Name = TypeVar("Name")
_EXACT_TO = 13
"""Pairs up to which all signs are tried: 8,192."""
_DRAWS = 10_000
"""Random signs above that."""
_SAME = 1e-9


class Comparison(NamedTuple):
    """How much better one estimator ranks than another: ρ less the other's ρ, and a two-sided p-value."""

    difference: float
    p_value: float


def compare(scores: ArrayLike, rival: ArrayLike, values: ArrayLike, *, seed: int = 0) -> Comparison:
    """Compare two estimators' rankings of the same candidates.

    The null hypothesis: for each candidate it is a matter of chance which of its two ranks is by which
    estimator. p is the share of all 2ⁿ ways to swap them that make the two correlations with
    the values differ at least as much as the observed ones; above 13 candidates of 10,000 random ways,
    the observed one counted with them. Swapped ranks have duplicates and gaps: as they are they make the
    test a little too loose where both agree strongly with the values, ranked anew where they agree weakly
    (`bench/test_agreement.py`), so the mean of the two shares is given.

    Args:
        scores: shape (candidates,), finite; constant ones have ρ = 0.
        rival: shape (candidates,), likewise.
        values: shape (candidates,), finite, higher is better.
        seed: of the random ways.

    Raises:
        InputError: as `spearman`, for either estimator.
    """
    x, y = checked(scores, values)
    z, _ = checked(rival, values)
    first, second = scipy.stats.rankdata(x), scipy.stats.rankdata(z)
    mean, half = (first + second) / 2, (first - second) / 2
    swapped = _signs(len(x), seed) * half
    rows = (mean + swapped, mean - swapped)
    again = (ranks_of_rows(rows[0]), ranks_of_rows(rows[1]))
    difference = float((_correlations(first[None], y) - _correlations(second[None], y))[0])
    p_values = [
        _share(_correlations(own, y) - _correlations(other, y), difference, len(x))
        for own, other in (rows, again)
    ]
    return Comparison(difference, sum(p_values) / 2)


def sign_flip(differences: ArrayLike, *, seed: int = 0) -> Comparison:
    """Return the sum of differences and its p-value under chance signs.

    Of one estimator's ρ less another's in several settings, it compares the two across these.

    Args:
        differences: shape (pairs,), finite; symmetric about 0 under the null hypothesis.
        seed: of the random signs, which are drawn above 13 pairs.
    """
    each = np.asarray(differences, dtype=np.float64)
    total = float(each.sum())
    return Comparison(total, _share(_signs(len(each), seed) @ each, total, len(each)))


def holm(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """Return p-values adjusted for their number by Holm (1979): all may be read against one level.

    The smallest is multiplied by their number m, the next by m − 1, and so on; none is less than one
    before it, nor more than 1. The chance of any false rejection is then at most the level.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted: dict[Name, float] = {}
    least = 0.0
    ordered = sorted(p_values.items(), key=lambda item: item[1])
    for place, (name, p) in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - place) * p))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


def _share(null: NDArray[np.float64], observed: float, pairs: int) -> float:
    """Return the share of a null distribution that is as far from 0 as what was observed."""
    slack = _SAME * max(1.0, abs(observed))
    extreme = int(np.count_nonzero(np.abs(null) >= abs(observed) - slack))
    drawn = pairs > _EXACT_TO
    return (extreme + drawn) / (len(null) + drawn)


def _correlations(rows: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of each row with the ranks of values; 0 where it is not defined."""
    ranks = rows - rows.mean(axis=1, keepdims=True)
    truth = scipy.stats.rankdata(values) - (len(values) + 1) / 2
    lengths = np.sqrt(np.square(ranks).sum(axis=1) * (truth @ truth))
    products = ranks @ truth
    found: NDArray[np.float64] = np.divide(
        products, lengths, out=np.zeros_like(products), where=lengths > _SAME
    )
    return found


@functools.lru_cache(maxsize=4)
def _signs(pairs: int, seed: int) -> NDArray[np.float64]:
    """Return signs, shape (ways, pairs): all ways that differ by more than a turn of all signs, or some."""
    if pairs <= _EXACT_TO:
        return np.array([(1.0, *rest) for rest in itertools.product((1.0, -1.0), repeat=pairs - 1)])
    return np.random.default_rng(seed).choice([1.0, -1.0], size=(_DRAWS, pairs))
