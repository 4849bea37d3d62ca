"""Does one estimator rank better than another? Paired tests, and Holm's correction for many of them."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ranks import checked, integer_ranks

Name = TypeVar("Name")
_EXACT_TO = 14
"""Pairs up to which all signs are tried: 16,384."""
_DRAWS = 20_000
_SAME = 1e-9


class Comparison(NamedTuple):
    """How much better one estimator ranks than another: ρ less the other's ρ, and a two-sided p-value."""

    difference: float
    p_value: float


def compare(scores: ArrayLike, rival: ArrayLike, values: ArrayLike, *, seed: int = 0) -> Comparison:
    """Compare two estimators' rankings of the same candidates.

    The null hypothesis: for each candidate it is a matter of chance which of its two standardised ranks is
    by which estimator. p is the share of all 2ⁿ ways to swap them that make the two correlations with
    the values differ at least as much as the observed ones; above 14 candidates of `_DRAWS` random ways,
    the observed one counted with them.

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
    first, second, truth = (_standardised(each) for each in (x, z, y))
    mean, half = (first + second) / 2, (first - second) / 2
    signs = _signs(len(x), seed)
    moved = signs @ (half * truth)
    # what was swapped in part has another mean and length; with those of ranks the test rejects too rarely
    shift = np.square(signs @ half) / len(x)
    middle, lengthened = mean @ mean + half @ half - shift, 2 * (signs @ (mean * half))
    null = _ratio(mean @ truth + moved, middle + lengthened) - _ratio(
        mean @ truth - moved, middle - lengthened
    )
    difference = float((first - second) @ truth)
    return Comparison(difference, _share(null, difference, len(x)))


def sign_flip(differences: ArrayLike, *, seed: int = 0) -> Comparison:
    """Return the sum of differences and its p-value under chance signs.

    Of one estimator's ρ less another's in several settings, it compares the two across these.

    Args:
        differences: shape (pairs,), finite; symmetric about 0 under the null hypothesis.
        seed: of the random signs, which are drawn above 14 pairs.
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


def _ratio(products: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return correlations; 0 of what is constant."""
    lengths = np.sqrt(np.maximum(squares, 0.0))
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > _SAME)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks with mean 0 and sum of squares 1; zeros where all are the same."""
    ranks = integer_ranks(values).astype(np.float64)
    ranks -= ranks.mean()
    square = float(ranks @ ranks)
    return ranks / math.sqrt(square) if square > 0 else ranks


@functools.lru_cache(maxsize=4)
def _signs(pairs: int, seed: int) -> NDArray[np.float64]:
    if pairs <= _EXACT_TO:
        return np.array(list(itertools.product((1.0, -1.0), repeat=pairs)))
    return np.random.default_rng(seed).choice([1.0, -1.0], size=(_DRAWS, pairs))
