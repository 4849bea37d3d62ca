"""Self-challenging Fisher discriminant analysis (SFDA). Shao et al., 2022, arXiv:2207.03036.

Score in nats per sample, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .inputs import given
from .lda import own_log_posteriors
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]


def sfda(samples: Samples, *, strength: float = 5.0) -> float:
    """Return the mean log posterior of the true class after features were made harder to tell apart.

    A regularised Fisher discriminant gives each sample the probability p of its class. Each sample is then
    mixed with the mean of all other classes, x ← p x + (1 − p) x̄_others (as fine-tuning challenges what is
    not yet separated), and a second discriminant is fitted to and evaluated on the mixed samples.

    The within-class covariance is (1 − λ) S_W + λ (tr S_W / D) I with λ = exp(−a σ₁(S_W)). σ₁ has a scale:
    features are divided by the root of their total variance (the published code takes them as
    they are, so that λ depends on the model's scale). That code also drops the logarithm, applies a softmax
    to the probabilities, estimates σ₁ by three power iterations, counts the other classes alike whatever
    their sizes, and overwrites its input.

    Args:
        samples: with labels.
        strength: a, positive.

    Returns:
        At most 0.

    Raises:
        ValueError: there are fewer than two classes, or the features are constant.
    """
    size, codes = class_codes(samples)
    X, variance = centred(samples.features)
    X = X / np.sqrt(variance)
    within = _within(X, codes, size)
    shrinkage = float(np.exp(-strength * np.linalg.eigvalsh(within)[-1]))
    confidence = np.exp(_log_posteriors(X, codes, size, shrinkage))[:, None]
    counts = np.bincount(codes, minlength=size)
    sums = np.zeros((size, X.shape[1]))
    np.add.at(sums, codes, X)
    others = (X.sum(axis=0) - sums) / (len(X) - counts)[:, None]
    mixed = confidence * X + (1 - confidence) * others[codes]
    return float(_log_posteriors(mixed, codes, size, shrinkage).mean())


def _class_means(X: Array, codes: NDArray[np.intp], size: int) -> Array:
    sums = np.zeros((size, X.shape[1]))
    np.add.at(sums, codes, X)
    means: Array = sums / np.bincount(codes, minlength=size)[:, None]
    return means


def _within(X: Array, codes: NDArray[np.intp], size: int) -> Array:
    """Return the covariance of the samples about their class means, (D, D)."""
    residuals = X - _class_means(X, codes, size)[codes]
    covariance: Array = residuals.T @ residuals / len(X)
    return covariance


def _log_posteriors(X: Array, codes: NDArray[np.intp], size: int, shrinkage: float) -> Array:
    """Return ln p(own class | x) by Fisher's discriminants with this shrinkage, (N,).

    In the space of the discriminants classes are Gaussians of identity covariance, which is the same as
    Gaussians of the shrunk within-class covariance in feature space, whatever the number of discriminants.
    """
    means = _class_means(X, codes, size)
    within = _within(X, codes, size)
    shrunk = (1 - shrinkage) * within
    dimension = X.shape[1]
    # 1e-9 of the total variance (which is 1) where classes have no spread at all
    shrunk[np.diag_indices(dimension)] += shrinkage * np.trace(within) / dimension + 1e-9 / dimension
    factor = scipy.linalg.cho_factor(shrunk, lower=True)
    weights = scipy.linalg.cho_solve(factor, means.T)
    logits = X @ weights - np.sum(means.T * weights, axis=0) / 2
    logits += np.log(np.bincount(codes, minlength=size) / len(X))
    return own_log_posteriors(logits, codes)


SFDA = Estimator(
    name="sfda",
    title="self-challenging Fisher discriminant analysis",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: sfda(given(inputs.samples)),
    reference="Shao et al., 2022, arXiv:2207.03036",
    complexity="time n·D² + D³ for n samples, memory n·D + D²",
)
