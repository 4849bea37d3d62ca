"""NLEEP: LEEP over the components of a Gaussian mixture. Li et al., 2021, arXiv:2011.11200.

Score in nats per sample, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import warnings

import numpy as np

from .inputs import given
from .leep import expected_log_prediction
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes


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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    drawn = samples.subsample(limit, seed)
    size, codes = class_codes(drawn)
    X, variance = centred(drawn.features)
    _, s, vt = np.linalg.svd(X / np.sqrt(variance), full_matrices=False)
    share = np.cumsum(s**2) / np.sum(s**2)
    kept = int(np.searchsorted(share, energy * (1 - 1e-12))) + 1
    Z = (X / np.sqrt(variance)) @ vt[:kept].T
    mixture = GaussianMixture(
        n_components=max(1, min(components_per_class * size, len(Z) // 2)),
        covariance_type="diag",
        reg_covar=1e-6,  # of a total variance of 1
        random_state=seed,
    )
    with warnings.catch_warnings():
        # a mixture that is still moving after 100 steps, or has components on equal samples, will do
        warnings.simplefilter("ignore", ConvergenceWarning)
        posteriors = mixture.fit(Z).predict_proba(Z)
    return expected_log_prediction(posteriors, codes, size)


NLEEP = Estimator(
    name="nleep",
    title="LEEP over the components of a Gaussian mixture",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: nleep(given(inputs.samples), seed=inputs.seed),
    reference="Li et al., 2021, arXiv:2011.11200",
    complexity="time n·D² + 100·n·5C·d for n samples and d principal components, memory n·(D + 5C)",
)
