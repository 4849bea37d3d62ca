"""NLEEP: LEEP over the components of a Gaussian mixture. Li et al., 2021, arXiv:2011.11200.

Score in nats per sample, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .leep import expected_log_prediction
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]

STEPS, TOLERANCE = 100, 1e-3
"""Most steps of the fit, and the change of the mean log-likelihood, in nats, at which it ends."""
LEAST_VARIANCE = 1e-6
"""Added to every variance, where that of all features together is 1."""


def nleep(
    samples: Samples, *, components_per_class: int = 5, energy: float = 0.8, limit: int = 2000, seed: int = 0
) -> float:
    """Return mean ln Σ_v P(y | v) P(v | x), v the components of a Gaussian mixture on principal components.

    Args:
        samples: with labels.
        components_per_class: mixture components per class; there are at most half as many as samples.
        energy: share of the variance that the principal components keep, in (0, 1].
        limit: samples, drawn evenly from their groups, since the mixture's time grows with their number.
        seed: of the draw and of the mixture's start.

    Returns:
        At most 0. The published code returns the mean of the probability itself, without a seed.
        Covariances are diagonal here: with full ones few samples a component fit anything.

    Raises:
        ValueError: there are fewer than two classes, or the features are constant.
    """
    drawn = samples.subsample(limit, seed)
    size, codes = class_codes(drawn)
    X, variance = centred(drawn.features)
    _, s, vt = np.linalg.svd(X / np.sqrt(variance), full_matrices=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    kept = int(np.searchsorted(share, energy * (1 - 1e-12))) + 1
    Z = (X / np.sqrt(variance)) @ vt[:kept].T
    components = max(1, min(components_per_class * size, len(Z) // 2))
    return expected_log_prediction(_mixture_posteriors(Z, components, seed), codes, size)


def _mixture_posteriors(Z: Array, components: int, seed: int) -> Array:
    """Return P(v | x) under a Gaussian mixture with diagonal covariances, fitted to the same samples.

    Expectation and maximisation from k-means, as scikit-learn's `GaussianMixture` does with its defaults, but
    for half the time: a mixture that is still moving after 100 steps will do.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal samples, fewer clusters
        clusters = (
            KMeans(n_clusters=components, n_init=1, random_state=np.random.RandomState(seed)).fit(Z).labels_
        )
    posteriors: Array = (clusters[:, None] == np.arange(components)).astype(np.float64)
    features, bound, settled = np.hstack([Z**2, Z, np.ones((len(Z), 1))]), -np.inf, False
    for _ in range(STEPS + 1):
        sums = posteriors.T @ features
        counts = sums[:, -1:] + 10 * np.finfo(np.float64).eps
        second, means = np.split(sums[:, :-1] / counts, 2, axis=1)
        variances = second - means**2 + LEAST_VARIANCE
        constants = np.log(counts / counts.sum()) - 0.5 * np.sum(
            np.log(2 * np.pi * variances) + means**2 / variances, axis=1, keepdims=True
        )
        logs = features @ np.hstack([-0.5 / variances, means / variances, constants]).T
        largest = logs.max(axis=1, keepdims=True)
        logs -= largest
        posteriors = np.exp(logs, out=logs)
        totals = np.einsum("ij->i", posteriors)[:, None]
        posteriors /= totals
        if settled:
            break
        before, bound = bound, float(np.mean(np.log(totals) + largest))
        settled = abs(bound - before) < TOLERANCE  # one more step, as there
    return posteriors


NLEEP = Estimator(
    name="nleep",
    title="LEEP over the components of a Gaussian mixture",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: nleep(given(inputs.samples), seed=inputs.seed),
    reference="Li et al., 2021, arXiv:2011.11200",
    complexity="time n·D² + 100·n·5C·d for n samples and d principal components, memory n·(D + 5C)",
)
