"""Sliced Wasserstein distance between source and target features.

Rabin et al., 2012; Bonneel et al., 2015, for speech models Chen et al., 2023, arXiv:2306.01015.
Score: the negated distance, in standard deviations of the source features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .inputs import Inputs, given
from .registry import Estimator
from .samples import Samples

Array = NDArray[np.float64]


def sliced_wasserstein(
    source: Samples, target: Samples, *, projections: int = 50, order: int = 2, seed: int = 0
) -> float:
    """Return minus the sliced Wasserstein distance between features of source and target data.

    Distances depend on the scale of the features, which differs from model to model: both sets are
    first standardised by the source's mean and standard deviation, feature by feature (see
    `standardise`). The released code of the paper does not standardise.

    Args:
        source: features of the pre-training data, (M, D).
        target: features of the task, (N, D).
        projections: random directions, uniform on the sphere, drawn from the seed.
        order: p of the Wasserstein distance.
        seed: of the directions.

    Returns:
        At most 0; 0 for equal samples. Per feature of unit variance, so comparable across D.

    Raises:
        ValueError: the dimensions differ, or the source features are all constant.
    """
    x, y = standardise(source.features, target.features)
    return -_distance(x, y, projections, order, seed)


def sliced_wasserstein_by_time(
    source: Sequence[NDArray[np.floating]],
    target: Sequence[NDArray[np.floating]],
    *,
    projections: int = 50,
    order: int = 2,
    seed: int = 0,
    least: int = 2,
) -> float:
    """Return minus the sliced Wasserstein distance of frames at the same time step, mean over the steps.

    This is the paper's own definition: frame t of the source utterances against frame t of the target
    utterances, for as many steps as enough utterances of both have. (Its released code pools time
    instead, as `sliced_wasserstein` does with pooled samples.) Standardised by all source frames, and
    with the same directions for every step.

    Args:
        source: frames of each utterance of the pre-training data, (T, D).
        target: frames of each utterance of the task, (T, D).
        projections: random directions.
        order: p of the Wasserstein distance.
        seed: of the directions.
        least: utterances of either that a time step must have, at least 1.

    Returns:
        At most 0.

    Raises:
        ValueError: there is no utterance, the dimensions differ, no time step has enough utterances, or the
            source features are all constant.
    """
    if not source or not target:
        raise ValueError("source or target has no utterance; there must be at least one of each")
    x, y = standardise(np.concatenate(source), np.concatenate(target))
    x_parts = np.split(x, np.cumsum([len(frames) for frames in source])[:-1])
    y_parts = np.split(y, np.cumsum([len(frames) for frames in target])[:-1])
    distances = []
    for step in range(min(max(map(len, source)), max(map(len, target)))):
        at_source = [frames[step] for frames in x_parts if len(frames) > step]
        at_target = [frames[step] for frames in y_parts if len(frames) > step]
        if min(len(at_source), len(at_target)) >= least:
            distances.append(_distance(np.array(at_source), np.array(at_target), projections, order, seed))
    if not distances:
        raise ValueError(f"no time step has {least} utterances of both source and target")
    return -float(np.mean(distances))


def _distance(x: Array, y: Array, projections: int, order: int, seed: int) -> float:
    """Return the sliced Wasserstein distance of samples, (M, D) and (N, D), in float64.

    In one dimension the optimal coupling is that of the quantiles. With equal weights the quantile functions
    of all projections step at the same places, k/M and k/N, so that these are merged once for all.
    """
    directions = np.random.default_rng(seed).standard_normal((x.shape[1], projections))
    directions /= np.linalg.norm(directions, axis=0)
    # one projection a row, contiguous, as sorting likes it
    first, second = np.sort(directions.T @ x.T, axis=1), np.sort(directions.T @ y.T, axis=1)
    if len(x) == len(y):
        cost = np.mean(np.abs(first - second) ** order, axis=1)
    else:
        steps, i, j = _merged_quantiles(len(x), len(y))
        cost = np.abs(first[:, i] - second[:, j]) ** order @ steps
    return float(np.mean(cost) ** (1 / order))


def _merged_quantiles(m: int, n: int) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Return the steps of two quantile functions with m and n equal steps, merged.

    Returns:
        Lengths of the intervals of (0, 1) on which both are constant, and on each of them the index of the
        m ordered values and of the n, counted in units of 1/(m·n) so that no step is lost to rounding.
    """
    ends = np.union1d(np.arange(1, m + 1) * n, np.arange(1, n + 1) * m)
    starts = np.r_[0, ends[:-1]]
    return (ends - starts) / (m * n), starts // n, starts // m


def standardise(source: NDArray[np.floating], target: NDArray[np.floating]) -> tuple[Array, Array]:
    """Subtract the source's mean from both and divide by its standard deviation, feature by feature.

    A feature that is constant in the source (deviation under 1e-6 of the root mean square over
    features) is divided by that root mean square, so that it counts without drowning the others.

    Args:
        source: (M, D).
        target: (N, D).

    Returns:
        Both as float64.

    Raises:
        ValueError: the dimensions differ, or every feature of the source is constant.
    """
    if source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source has dimension {source.shape[1]}, features {target.shape[1]}; take one layer"
        )
    x, y = source.astype(np.float64), target.astype(np.float64)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    typical = np.sqrt(np.mean(deviation**2))
    if not typical > 1e-12 * np.abs(mean).max(initial=0.0):
        raise ValueError("the source features are all constant, so there is no scale to measure distances in")
    scale = np.where(deviation > 1e-6 * typical, deviation, typical)
    return (x - mean) / scale, (y - mean) / scale


def _compute(inputs: Inputs) -> float:
    return sliced_wasserstein(given(inputs.source), given(inputs.samples), seed=inputs.seed)


SLICED_WASSERSTEIN = Estimator(
    name="sliced_wasserstein",
    title="sliced Wasserstein distance to the source features, negated",
    needs=frozenset({"samples", "source"}),
    compute=_compute,
    reference="Chen et al., 2023, arXiv:2306.01015",
    complexity="time L·N·(D + log N) for L projections, memory N·(D + L)",
)
