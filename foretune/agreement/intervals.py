"""95 % intervals of Spearman's ρ over candidates: what other candidates, drawn alike, would have given.

For 6 to 20 candidates neither of the usual bootstraps over candidates holds what it says
(`bench/test_agreement.py` shows how much they miss): resampled rankings have ties, and their ρ is short
of the true one near ±1. So here the bootstrap is parametric, and inverted: the interval holds every
population correlation under which the observed ρ would not be rare.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ranks import checked, constant, rank_correlation

LEVEL = 0.95
LEAST_FOR_INTERVAL = 4
"""With fewer candidates an interval holds nearly everything."""
_STUDIES = 10_000
"""Studies drawn at each population correlation."""
_GRID = np.append(np.tanh(np.linspace(0, 4.4, 45)), 1.0)
"""Population correlations (Pearson's, of normal scores); those below 0 are mirrored."""
_SAME = 1e-9
"""ρ that differ by less are the same."""


class Interval(NamedTuple):
    """Where a quantity lies: its lower and its upper end."""

    low: float
    high: float


def candidate_interval(scores: ArrayLike, values: ArrayLike, *, level: float = LEVEL) -> Interval | None:
    """Return the interval of Spearman's ρ over candidates, by an inverted parametric bootstrap.

    Candidates are taken for draws from a population in which scores and values, each turned into a normal
    variable by some increasing function, are jointly normal with correlation r; its Spearman's ρ is
    6/π arcsin(r/2). For each r of a grid, studies of as many candidates are drawn. An end of the interval
    is the population ρ at which the observed one, or one further away, has the probability (1 − level)/2,
    studies that hit it exactly counting half.

    Over layers, which are not drawn from anything, it says what as many unrelated candidates would give.

    Args:
        scores: shape (candidates,), finite.
        values: shape (candidates,), finite.
        level: share of studies whose interval holds the population's ρ.

    Returns:
        The ends, in [-1, 1], low ≤ ρ ≤ high up to the grid; None for fewer than `LEAST_FOR_INTERVAL`
        candidates, or where ρ is not defined.

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    if len(x) < LEAST_FOR_INTERVAL or constant(x, y):
        return None
    return _inverted(len(x), round(rank_correlation(x, y), 9), level)


def mean_interval(estimates: Sequence[float], intervals: Sequence[tuple[float, float]]) -> Interval:
    """Return the interval of the mean of several ρ from their own, by the method of variance recovery.

    Zou and Donner, 2008: the distance of the mean of k estimates to an end of its interval is the root of the
    sum of squares of each estimate's distance to its own, over k. Settings are taken as independent, and
    the mean is that of these settings, not of settings to come.

    Args:
        estimates: one a setting.
        intervals: of the same level, one a setting, each around its estimate.
    """
    count = len(estimates)
    below = math.fsum((value - low) ** 2 for value, (low, _) in zip(estimates, intervals, strict=True))
    above = math.fsum((high - value) ** 2 for value, (_, high) in zip(estimates, intervals, strict=True))
    mean = math.fsum(estimates) / count
    return Interval(max(-1.0, mean - math.sqrt(below) / count), min(1.0, mean + math.sqrt(above) / count))


@functools.lru_cache(maxsize=4096)
def _inverted(n: int, observed: float, level: float) -> Interval:
    # of a negative correlation: of the positive one, seen in a mirror
    tails = np.concatenate([1 - _upper_tail(n, -observed)[:0:-1], _upper_tail(n, observed)])
    correlations = np.concatenate([-_GRID[:0:-1], _GRID])
    population = 6 / math.pi * np.arcsin(correlations / 2)
    tails = np.maximum.accumulate(tails)  # the drawn ones waver in the last digit
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], tails, population).tolist()
    return Interval(-1.0 if observed <= -1 else low, 1.0 if observed >= 1 else high)


def _upper_tail(n: int, observed: float) -> NDArray[np.float64]:
    """Return, for each population, the share of studies with a larger ρ, and half of those with the same."""
    drawn = _drawn(n)
    larger = [_STUDIES - np.searchsorted(row, observed + _SAME) for row in drawn]
    at_least = [_STUDIES - np.searchsorted(row, observed - _SAME) for row in drawn]
    return (np.array(larger) + np.array(at_least)) / (2 * _STUDIES)


@functools.lru_cache(maxsize=8)
def _drawn(n: int) -> NDArray[np.float64]:
    """Draw studies of n candidates: their ρ, ascending, one row for each population correlation.

    The same normal draws serve for all, so that rows differ by their correlation only.
    """
    generator = np.random.default_rng(0)
    first = np.sort(generator.normal(size=(_STUDIES, n)), axis=1)  # so that their ranks are 0, 1, 2, …
    noise = generator.normal(size=(_STUDIES, n))
    ranks = np.arange(n) - (n - 1) / 2
    rows = [
        np.sort((np.argsort(r * first + math.sqrt(1 - r * r) * noise, axis=1) - (n - 1) / 2) @ ranks)
        for r in _GRID
    ]
    return np.array(rows) / (ranks @ ranks)
