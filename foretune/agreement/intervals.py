"""95 % intervals of Spearman's ρ over candidates: what other candidates, drawn alike, would have given.

For 6 to 20 candidates the usual bootstraps over candidates hold the truth too often or too seldom
(`bench/test_agreement.py` shows it): resampled rankings have ties, and little room near ±1. So here the
bootstrap is parametric, and inverted: the interval holds every population correlation under which the
observed ρ would not be rare.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist
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


def mean_interval(rho: Sequence[float], candidates: Sequence[int], *, level: float = LEVEL) -> Interval:
    """Return the interval of the mean of several settings' ρ over candidates.

    Each ρ is first turned into the population correlation of which it is the expected value: with few
    candidates ρ is a little too near 0, which adds up. The mean of these is taken as normal, with
    the variance that each has at its estimate, times n/(n − 2) since it is greatest at 0 and estimates
    stray from there. Settings are taken as independent, and the mean is that of these settings, not of
    settings to come. One setting has its own interval.

    Args:
        rho: Spearman's, one a setting.
        candidates: of each setting, at least `LEAST_FOR_INTERVAL`.
        level: share of studies whose interval holds the mean of the populations' ρ.
    """
    counted = [(n, round(each, 9)) for each, n in zip(rho, candidates, strict=True)]
    if len(counted) == 1:
        return _inverted(*counted[0], level)
    estimates = [_unbiased(n, each) for n, each in counted]
    mean = math.fsum(estimate for estimate, _ in estimates) / len(estimates)
    error = math.sqrt(math.fsum(variance for _, variance in estimates)) / len(estimates)
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return Interval(max(-1.0, mean - reach), min(1.0, mean + reach))


@functools.lru_cache(maxsize=4096)
def _unbiased(n: int, observed: float) -> tuple[float, float]:
    """Return the population ρ whose studies have the observed one on average, and the variance of that."""
    expected, population, variances = _moments(n)
    last = 1 - 12 / (n**3 - n)  # of a perfect ranking: the variance of the next to it
    inside = max(-last, min(last, observed))
    variance = float(np.interp(inside, expected, variances)) * n / (n - 2)
    return float(np.interp(observed, expected, population)), variance


@functools.lru_cache(maxsize=8)
def _moments(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return, of the populations of the grid and those mirrored: E ρ, ρ, and the variance of its estimate."""
    population = 6 / math.pi * np.arcsin(_GRID / 2)
    population = np.append(-population[:0:-1], population)
    drawn = _drawn(n)
    half = drawn.mean(axis=1)
    half[0] = 0.0
    expected = np.append(-half[:0:-1], half)
    variances = np.interp(drawn, expected, population).var(axis=1)
    return expected, population, np.append(variances[:0:-1], variances)


@functools.lru_cache(maxsize=4096)
def _inverted(n: int, observed: float, level: float) -> Interval:
    # of a negative correlation: of the positive one, seen in a mirror
    tails = np.concatenate([1 - _upper_tail(n, -observed)[:0:-1], _upper_tail(n, observed)])
    correlations = np.concatenate([-_GRID[:0:-1], _GRID])
    population = 6 / math.pi * np.arcsin(correlations / 2)
    tails = np.maximum.accumulate(tails)  # the drawn ones waver in the last digit
    low, high = np.interp([(1 - level) / 2, (1 + level) / 2], tails, population).tolist()
    if abs(observed) >= 1:  # nothing is beyond
        low, high = (low, 1.0) if observed > 0 else (-1.0, high)
    return Interval(low, high)


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
