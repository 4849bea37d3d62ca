"""Sliced Wasserstein distance between source and target features.

Rabin et al., 2012; Bonneel et al., 2015, for speech models Chen et al., 2023, arXiv:2306.01015.
Score: the negated distance, in standard deviations of the source features.
"""

from __future__ import annotations

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
    if source.dimension != target.dimension:
        raise ValueError(
            f"source has dimension {source.dimension}, features {target.dimension}; take one layer"
        )
    import ot

    x, y = standardise(source.features, target.features)
    directions = np.random.default_rng(seed).standard_normal((source.dimension, projections))
    directions /= np.linalg.norm(directions, axis=0)
    return -float(ot.sliced_wasserstein_distance(x, y, projections=directions, p=order))


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
        ValueError: every feature of the source is constant.
    """
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
