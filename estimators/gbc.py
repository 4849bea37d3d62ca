"""Gaussian Bhattacharyya coefficient (GBC). Pándy et al., 2022, arXiv:2111.12780.

Score without unit, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes

Array = NDArray[np.float64]

FLOOR = 1e-4
"""Share of the features' overall covariance that is added to that of every class, in place of an absolute
floor: classes of one sample have a distribution, and the score does not depend on the features' scale."""


def diagonal_gbc(moments: Moments) -> float:
    """Return minus the overlap of all pairs of classes, each a Gaussian with a diagonal covariance.

    −Σ_{i≠j} exp(−D_B(i, j)) with the Bhattacharyya distance
    D_B = ⅛ Δᵀ Σ⁻¹ Δ + ½ ln(det Σ / √(det Σ_i det Σ_j)), Δ = μ_i − μ_j, Σ = (Σ_i + Σ_j)/2. Features that
    are constant over all samples count for nothing.

    Args:
        moments: of features and labels.

    Returns:
        In [−C (C − 1), 0].

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    total = np.diag(moments.scatter) / moments.n
    kept = total > 0
    if not kept.any():
        return -float(len(moments.classes) * (len(moments.classes) - 1))
    means = moments.class_means[:, kept]
    variances = moments.class_variances[:, kept] / total[kept] + FLOOR  # in units of the overall variance
    log_dets = np.log(variances).sum(axis=1)
    overlap = 0.0
    for i in range(len(means) - 1):
        difference = (means[i] - means[i + 1 :]) ** 2 / total[kept]
        pooled = (variances[i] + variances[i + 1 :]) / 2
        logs = np.log(pooled).sum(axis=1) - (log_dets[i] + log_dets[i + 1 :]) / 2
        overlap += float(np.exp(-((difference / pooled).sum(axis=1) / 8 + logs / 2)).sum())
    return -2 * overlap


def full_gbc(moments: Moments, *, components: int = 64) -> float:
    """Return minus the overlap of all pairs of classes, each a Gaussian with its own full covariance.

    As `diagonal_gbc`, on the leading principal components of the features, as the paper has it (a
    covariance of a class with fewer samples than features has no inverse; see also `FLOOR`).

    Args:
        moments: of features and labels, with class Gram matrices.
        components: principal components to keep, at most.

    Returns:
        In [−C (C − 1), 0].

    Raises:
        ValueError: there are fewer than two classes, or no class Gram matrices.
    """
    check_classes(moments)
    values, vectors = moments.centred_spectrum.resolved(min(components, moments.n - 1))
    if not len(values):
        return -float(len(moments.classes) * (len(moments.classes) - 1))
    whitener = vectors / np.sqrt(values / moments.n)  # overall covariance I, so that FLOOR adds FLOOR·I
    means = (moments.class_means - moments.mean) @ whitener
    covariances = np.array(
        [
            whitener.T @ moments.class_scatter(label) @ whitener / count + FLOOR * np.eye(len(values))
            for label, count in zip(moments.classes, moments.counts, strict=True)
        ]
    )
    logs = _log_dets(np.linalg.cholesky(covariances))
    overlap = 0.0
    for i in range(1, len(means)):
        squares, log_dets = _distances((covariances[:i] + covariances[i]) / 2, means[:i] - means[i])
        overlap += float(np.exp(-squares / 8 - (log_dets - (logs[:i] + logs[i]) / 2) / 2).sum())
    return -2 * overlap


def _distances(covariances: Array, differences: Array) -> tuple[Array, Array]:
    """Return Δᵀ Σ⁻¹ Δ and ln det Σ of each covariance, at least `FLOOR` in all directions.

    The factor of Σ bordered by Δ holds that of Σ, and below it the solution L⁻¹ Δ; all by one call.

    Args:
        covariances: Σ, shape (pairs, k, k).
        differences: Δ, shape (pairs, k).
    """
    pairs, size = differences.shape
    bordered = np.empty((pairs, size + 1, size + 1))
    bordered[:, :size, :size] = covariances
    bordered[:, size, :size] = bordered[:, :size, size] = differences
    bordered[:, size, size] = 1 + 2 * np.sum(differences**2, axis=1) / FLOOR  # more than Δᵀ Σ⁻¹ Δ
    factors = np.linalg.cholesky(bordered)
    return np.sum(factors[:, size, :size] ** 2, axis=1), _log_dets(factors[:, :size, :size])


def _log_dets(factors: Array) -> Array:
    """Return ln det Σ of each Cholesky factor, shape (pairs, k, k)."""
    log_dets: Array = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    return log_dets


GBC = Estimator(
    name="gbc",
    title="Gaussian Bhattacharyya coefficient, diagonal covariances",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: diagonal_gbc(given(inputs.moments)),
    reference="Pándy et al., 2022, arXiv:2111.12780",
    complexity="time N·D² + C²·D, memory D² + C·D",
)
GBC_FULL = Estimator(
    name="gbc_full",
    title="Gaussian Bhattacharyya coefficient, full covariances of 64 principal components",
    needs=frozenset({"moments", "labels", "class_gram"}),
    compute=lambda inputs: full_gbc(given(inputs.moments)),
    reference="Pándy et al., 2022, arXiv:2111.12780",
    complexity="time N·D² + D³ + C·64·D² + C²·64³, memory C·D²",
)
