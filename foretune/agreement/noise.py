"""What noise does to ρ: intervals over seeds and utterances, and the ceiling that noise sets.

Fine-tuning with another seed gives another value, scoring other utterances another score. Adding such
noise anew to what was observed (the plain bootstrap over seeds or utterances) makes the ranking noisier
than it is: the truth lies on the other side. So the true values are drawn instead, given the observed ones:

    observed_i = true_i + error_i,   error_i ~ N(0, e_i²)
    true_i = a + b z_i + rest_i,     rest_i ~ N(0, t²)

where z are the normal scores of the ranking that they are compared with. This is the model of Fay and Herriot
(1979), here with flat priors on a, b and t and, where e_i comes from few seeds, its own uncertainty; Gibbs
sampling gives draws of the true values. Without z the draws would deny that scores and values may
agree better than the noise lets them seem. The 95 % interval of ρ holds 95 % of its values with the draws.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from .intervals import LEVEL, Interval
from .ranks import checked, constant, rank_correlation, ranks_of_rows

Array = NDArray[np.float64]

DRAWS = 500
"""Draws of the true values."""
_SWEEPS = 15
"""Of the Gibbs sampler; each draw is a chain of its own."""
_LEAST_VARIANCE = 1e-3
"""Of a candidate's seeds, as a share of the mean one: equal accuracies may be so by chance."""


def seed_interval(
    scores: ArrayLike,
    values: ArrayLike,
    deviations: Sequence[float | None],
    seeds: Sequence[int],
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Return where ρ with the candidates' true values lies, these being means over seeds.

    Args:
        scores: shape (candidates,), finite.
        values: shape (candidates,), finite: means over seeds of fine-tuning.
        deviations: the seeds' standard deviation (n − 1) of each candidate.
        seeds: how many, of each candidate.
        level: probability that ρ lies inside.
        draws: of the true values.
        seed: of the draws.

    Returns:
        None where a candidate has one seed only, there are fewer than four candidates, or ρ is not defined.

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    known = _known(deviations, seeds)
    if known is None or len(x) < 4 or constant(x, y):
        return None
    true = _true_means(y, known, _normal_scores(x), seed, draws)
    return _quantiles(_rho(true, x), level)


def utterance_interval(
    scores: ArrayLike,
    values: ArrayLike,
    errors: ArrayLike,
    *,
    level: float = LEVEL,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Return where ρ of the candidates' scores on endless speech lies, with the observed values.

    Args:
        scores: shape (candidates,), finite.
        values: shape (candidates,), finite.
        errors: shape (candidates, groups): each group of utterances' part in the scores' jackknife errors
            (`estimators.Jackknife.group_errors`), so that errors which candidates share do not count
            against their order; or (candidates,), independent standard errors.
        level: probability that ρ lies inside.
        draws: of the true scores.
        seed: of the draws.

    Returns:
        None where there are fewer than four candidates, or ρ is not defined.

    Raises:
        InputError: as `spearman`.
    """
    x, y = checked(scores, values)
    if len(x) < 4 or constant(x, y):
        return None
    each = np.asarray(errors, dtype=np.float64)
    unit = max(float(np.std(x)), float(np.finfo(np.float64).tiny))
    axes, variances, degrees = np.eye(len(x)), (each / unit) ** 2, None
    if each.ndim > 1:  # along the principal axes the errors are independent, and the model stays as it is
        variances, axes = np.linalg.eigh(_covariance(each / unit))
        variances = np.maximum(variances, 0.0)
        degrees = each.shape[1] - 1
    noise = _noise(seed, (draws, len(x)), 2, degrees)
    scale = np.ones((draws, 1)) if noise.scale is None else noise.scale
    true = _gibbs((x / unit - np.mean(x / unit)) @ axes, axes.T @ _normal_scores(y), variances * scale, noise)
    return _quantiles(_rho(true @ axes.T, y), level)


def ceiling(
    values: ArrayLike,
    deviations: Sequence[float | None],
    seeds: Sequence[int],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> float | None:
    """Return the ρ that a perfect estimator, which knows the true values, is to be expected to reach.

    The mean ρ of the observed values, means over seeds, with draws of the true ones. These are closer to
    each other than the observed ones, part of whose differences is noise; that the model sees to.

    Args:
        values: shape (candidates,), finite.
        deviations: the seeds' standard deviation (n − 1) of each candidate.
        seeds: how many, of each candidate.
        draws: of the true values.
        seed: of the draws.

    Returns:
        In [-1, 1], in practice from 0 (the seeds decide all) to 1; None where a candidate has one seed
        only, there are fewer than three candidates, or all values are the same.

    Raises:
        InputError: as `spearman`.
    """
    y, _ = checked(values, values)
    known = _known(deviations, seeds)
    if known is None or len(y) < 3 or constant(y, y):
        return None
    true = _true_means(y, known, np.ones((len(y), 1)), seed, draws)
    return float(_rho(true, y).mean())


def split_half(runs: ArrayLike) -> float | None:
    """Return how well one half of the seeds ranks candidates as the other half does, as if halves were whole.

    The mean ρ over all disjoint halves of ⌊seeds/2⌋ seeds, by Spearman and Brown's formula turned into that
    of all seeds with as many others: k r / (1 + (k − 1) r), where k is seeds / ⌊seeds/2⌋; 0 where the
    halves do not agree (r ≤ 0). Halves that are constant agree with nothing.

    Args:
        runs: shape (candidates, seeds), finite: the same seeds for every candidate.

    Returns:
        In [0, 1]; None with one seed, or fewer than two candidates.

    Raises:
        InputError: as `spearman`.
    """
    each = np.asarray(runs, dtype=np.float64)
    if each.ndim != 2 or each.shape[1] < 2 or len(each) < 2:
        return None
    seeds = each.shape[1]
    size = seeds // 2
    means = {half: each[:, half].mean(axis=1) for half in itertools.combinations(range(seeds), size)}
    found = [
        rank_correlation(means[one], means[other])
        for one, other in itertools.combinations(means, 2)
        if set(one).isdisjoint(other)
    ]
    mean = math.fsum(found) / len(found)
    factor = seeds / size
    return max(0.0, factor * mean / (1 + (factor - 1) * mean)) if mean > 0 else 0.0


class _Seeds(NamedTuple):
    """The variance over seeds (n − 1) and their number, of each candidate."""

    variances: Array
    numbers: Array


def _known(deviations: Sequence[float | None], seeds: Sequence[int]) -> _Seeds | None:
    """Return what is known of the seeds; None where one candidate has one only."""
    known = [each for each in deviations if each is not None]
    if len(known) < len(deviations) or min(seeds) < 2:
        return None
    return _Seeds(np.square(np.array(known)), np.array(seeds, dtype=np.float64))


class _Sweep(NamedTuple):
    """The random numbers of one sweep: χ² of the candidates' own variances and of the spread, normal ones."""

    of_variances: Array | None
    of_spread: Array
    of_line: Array
    of_values: Array


class _Noise(NamedTuple):
    """All random numbers of a Gibbs sampler: χ² over its degrees that scales all errors, and the sweeps'."""

    scale: Array | None
    sweeps: list[_Sweep]


@functools.lru_cache(maxsize=4)
def _noise(
    seed: int,
    shape: tuple[int, int],
    terms: int,
    degrees: int | None = None,
    of_variances: tuple[float, ...] | None = None,
) -> _Noise:
    """Draw random numbers: the same for all estimators of a setting.

    Args:
        seed: of them.
        shape: draws and candidates.
        terms: what the true values may depend on linearly.
        degrees: of freedom of what scales all errors; None where nothing does.
        of_variances: degrees of freedom of each candidate's own variance; None where these are known.
    """
    generator = np.random.default_rng(seed)
    draws, n = shape
    scale = None if degrees is None else degrees / generator.chisquare(degrees, size=(draws, 1))
    sweeps = [
        _Sweep(
            None if of_variances is None else generator.chisquare(of_variances, size=shape),
            generator.chisquare(n - terms - 1, size=(draws, 1)),
            generator.normal(size=(draws, terms)),
            generator.normal(size=shape),
        )
        for _ in range(_SWEEPS)
    ]
    return _Noise(scale, sweeps)


def _true_means(means: Array, over: _Seeds, design: Array, seed: int, draws: int) -> Array:
    """Draw the true values, shape (draws, candidates), given means over seeds and the seeds' variances."""
    unit = float(np.std(means))
    means, variances, seeds = (means - means.mean()) / unit, over.variances / unit**2, over.numbers
    degrees, variance = _prior_of_variances(variances, seeds - 1)

    def of_means(true: Array, drawn: Array) -> Array:
        # each candidate's own variance, drawn given its seeds, its true value and the other candidates
        squares = degrees * variance + (seeds - 1) * variances + seeds * (means - true) ** 2
        return squares / drawn / seeds

    shape = draws, len(means)
    if variance == 0:  # the seeds agree to the last digit
        return np.broadcast_to(means, shape)
    noise = _noise(seed, shape, design.shape[1], of_variances=tuple((degrees + seeds).tolist()))
    return _gibbs(means, design, np.broadcast_to(variances / seeds, shape), noise, of_means)


def _gibbs(
    observed: Array,
    design: Array,
    variances: Array,
    noise: _Noise,
    redraw: Callable[[Array, Array], Array] | None = None,
) -> Array:
    """Draw true values, shape (draws, candidates), by the model at the head of this module.

    Args:
        observed: shape (candidates,).
        design: shape (candidates, terms): what the true values may depend on linearly.
        variances: of the errors, shape (draws, candidates).
        noise: the random numbers.
        redraw: from true values and χ² to variances, where these are not known for sure.
    """
    basis, _ = np.linalg.qr(design)
    true = np.broadcast_to(observed, variances.shape)
    for sweep in noise.sweeps:
        if redraw is not None and sweep.of_variances is not None:
            variances = redraw(true, sweep.of_variances)
        fitted = true @ basis @ basis.T
        # the spread about the line, whose prior is flat, and then the line
        rest = np.square(true - fitted).sum(axis=1, keepdims=True)
        spread = rest / sweep.of_spread + np.finfo(np.float64).tiny
        line = fitted + np.sqrt(spread) * (sweep.of_line @ basis.T)
        weights = spread / (spread + variances)
        true = line + weights * (observed - line) + np.sqrt(weights * variances) * sweep.of_values
    return true


def _covariance(errors: Array) -> Array:
    """Return the covariance of the scores' errors, (candidates, candidates), but for what all of them share.

    Few groups give a matrix of low rank, which would take some differences between candidates for certain.
    So it is shrunk towards its diagonal, the more the less its other elements stand out from their own
    errors (Schäfer and Strimmer, 2005). Errors that all candidates share do not change their order.

    Args:
        errors: shape (candidates, groups): the sums of their products over groups are the covariances.
    """
    apart = errors - errors.mean(axis=0)
    covariance: Array = apart @ apart.T
    groups = errors.shape[1]
    # of a sum over groups of products, as far as these differ between groups
    products = np.einsum("ig,jg->ijg", apart, apart)
    noise = products.var(axis=2, ddof=1) * groups
    other = ~np.eye(len(errors), dtype=bool)
    total = float(np.square(covariance[other]).sum())
    share = min(1.0, float(noise[other].sum()) / total) if total > 0 else 0.0
    return (1 - share) * covariance + share * np.diag(np.diag(covariance))


def _prior_of_variances(variances: Array, degrees: Array) -> tuple[float, float]:
    """Return degrees of freedom and size of what the candidates' variances have in common.

    A scaled inverse χ² distribution, by the moments of the logarithms of the variances (Smyth, 2004): the
    less these differ beyond chance, the more degrees.
    """
    mean = float(variances.mean())
    if mean == 0:
        return 1.0, 0.0
    half = degrees / 2
    logs = np.log(np.maximum(variances, _LEAST_VARIANCE * mean)) - scipy.special.digamma(half) + np.log(half)
    excess = float(logs.var(ddof=1) - scipy.special.polygamma(1, half).mean())
    common = _inverse_trigamma(excess)
    size = math.exp(float(logs.mean()) + float(scipy.special.digamma(common)) - math.log(common))
    return 2 * common, size


def _inverse_trigamma(value: float) -> float:
    """Return the x of [0.5, 50] whose trigamma function is nearest to a value; it falls as x rises."""
    grid = np.geomspace(50, 0.5, 200)
    return float(np.interp(value, scipy.special.polygamma(1, grid), grid))


def _normal_scores(values: Array) -> Array:
    """Return a constant and the normal scores of a ranking, shape (candidates, 2)."""
    ranks = scipy.stats.rankdata(values)
    return np.column_stack([np.ones(len(ranks)), scipy.special.ndtri((ranks - 0.5) / len(ranks))])


def _rho(drawn: Array, values: Array) -> Array:
    """Return ρ of each row with values, neither of which is constant."""
    ranks = ranks_of_rows(drawn) - (len(values) + 1) / 2
    other = scipy.stats.rankdata(values) - (len(values) + 1) / 2
    rho: Array = ranks @ other / np.sqrt(np.square(ranks).sum(axis=1) * (other @ other))
    return rho


def _quantiles(rho: Array, level: float) -> Interval:
    low = np.quantile(rho, (1 - level) / 2, method="lower")
    high = np.quantile(rho, (1 + level) / 2, method="higher")
    return Interval(max(-1.0, float(low)), min(1.0, float(high)))
