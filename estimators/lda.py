"""Shrunk linear discriminant analysis, held out by groups. Fisher, 1936; Ledoit and Wolf, 2004.

Score in nats per sample, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .h_score import shrinkage
from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]


def held_out_discriminant(samples: Samples, *, folds: int = 10) -> float:
    """Return the mean log posterior of the true class of left-out groups by linear discriminants.

    Classes are Gaussians with a common covariance, that of the samples about their class means, shrunk
    by Ledoit and Wolf's share. Groups, such as speakers, are left out whole, in at most so many folds. Class
    frequencies have one sample added to each class, so that a class that only the left-out groups
    have gets a posterior: it is then a Gaussian about the overall mean.

    Args:
        samples: with labels and groups.
        folds: at most; groups are dealt out to them in the order of their names.

    Returns:
        At most 0, in nats.

    Raises:
        ValueError: there are fewer than two classes or groups, or the features are constant.
    """
    size, codes = class_codes(samples)
    groups, membership = samples.encoded_groups()
    if len(groups) < 2:
        raise ValueError(f"groups has {len(groups)} group(s); there must be two to leave one out")
    X, variance = centred(samples.features)
    X /= np.sqrt(variance)
    fold = membership % min(folds, len(groups))
    total = 0.0
    for number in range(min(folds, len(groups))):
        held_out = fold == number
        logits = _logits(X[~held_out], codes[~held_out], X[held_out], size)
        total += float(own_log_posteriors(logits, codes[held_out]).sum())
    return total / len(X)


def own_log_posteriors(logits: Array, codes: NDArray[np.intp]) -> Array:
    """Return ln p of each sample's own class, shape (N,): −ln(1 + Σ_others / own).

    A p that rounds to 1 keeps its distance from 1, so that good features are told from better ones.

    Args:
        logits: ln p of each class up to a constant, shape (N, C).
        codes: the own class, shape (N,).
    """
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, codes] = -np.inf
    posteriors: Array = -np.logaddexp(0.0, logsumexp(others, axis=1) - logits[rows, codes])
    return posteriors


def _logits(X: Array, codes: NDArray[np.intp], X_new: Array, size: int) -> Array:
    """Return ln p(class | x) of new samples up to a constant, shape (N, C)."""
    n, dimension = X.shape
    indicator = (codes[:, None] == np.arange(size)).astype(np.float64)
    counts = indicator.sum(axis=0)
    overall = X.mean(axis=0)
    means = np.where(counts[:, None] > 0, indicator.T @ X / np.maximum(counts, 1)[:, None], overall)
    residuals = X - means[codes]
    values, vectors = np.linalg.eigh(residuals.T @ residuals / n)
    values = np.maximum(values, 0.0)
    alpha = shrinkage(values, float(np.sum(np.sum(residuals**2, axis=1) ** 2)), n)
    # a share of 1e-9 of the total variance (which is 1) keeps classes without any spread apart
    shrunk = (1 - alpha) * values + alpha * values.mean() + 1e-9 / dimension
    directions = vectors / np.sqrt(shrunk)
    centres = (means - overall) @ directions
    logits = (X_new - overall) @ directions @ centres.T - np.sum(centres**2, axis=1) / 2
    unnormalised: Array = logits + np.log((counts + 1) / (n + size))
    return unnormalised


LDA = Estimator(
    name="lda",
    title="shrunk linear discriminants, log posterior of left-out groups",
    needs=frozenset({"samples", "labels", "groups"}),
    compute=lambda inputs: held_out_discriminant(given(inputs.samples)),
    reference="Ledoit and Wolf, 2004, Journal of Multivariate Analysis",
    complexity="time 10·(n·D² + D³) for n samples, memory n·D + D²",
)
