"""H-score and its shrunk form. Bao et al., 2019; Ibrahim et al., 2022, arXiv:2110.06893.

Score without unit, at least 0; higher predicts better transfer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes


def h_score(moments: Moments) -> float:
    """Return tr(Σ⁺ Σ_B): the variance between class means in units of the features' own variance.

    Σ is the covariance of the features, Σ_B = Σ_c n_c (μ_c − μ)(μ_c − μ)ᵀ / N, Σ⁺ the inverse on the
    directions that the samples resolve. It equals the sum of squared canonical correlations of
    features and classes, and so cannot tell features apart that separate the classes by having
    as many directions as there are samples: for N ≤ D it is C − 1 whatever the features.

    Args:
        moments: of features and labels.

    Returns:
        In [0, min(C − 1, rank of Σ)]; 0 for constant features.

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    values, vectors = moments.centred_spectrum.resolved(moments.n - 1)
    projected = moments.centred_sums @ vectors
    return float(np.sum(projected**2 / moments.counts[:, None] / values))


def regularised_h_score(moments: Moments) -> float:
    """Return (1 − α) tr(Σ_α⁻¹ Σ_B) with Σ_α = (1 − α) Σ + α (tr Σ / D) I.

    The shrinkage α is that of Ledoit and Wolf, so that noise does not look like transferability
    where there are few samples.

    Args:
        moments: of features and labels.

    Returns:
        At least 0, at most `h_score`; 0 for constant features.

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    values, vectors = moments.centred_spectrum
    variances = values / moments.n
    alpha = ledoit_wolf_shrinkage(moments)
    shrunk = (1 - alpha) * variances + alpha * variances.mean()
    if variances[-1] == 0 or alpha == 1:
        return 0.0
    kept = shrunk > 1e-13 * len(shrunk) * shrunk.max()  # all of them unless α is 0
    projected = (moments.centred_sums @ vectors[:, kept]) ** 2 / moments.counts[:, None] / moments.n
    return float((1 - alpha) * np.sum(projected / shrunk[kept]))


def ledoit_wolf_shrinkage(moments: Moments) -> float:
    """Return the shrinkage α of the covariance towards (tr Σ / D) I. Ledoit and Wolf, 2004.

    α = min(β, δ)/δ with δ = ‖Σ − (tr Σ / D) I‖²_F and β = (Σ_i ‖x_i − μ‖⁴ / N − ‖Σ‖²_F) / N: the share of
    the deviation from a sphere that is sampling error.

    Returns:
        In [0, 1]; 0 for a covariance that is a sphere already, constant features among them.
    """
    covariance = moments.scatter / moments.n
    return _share(covariance, np.diag_indices_from(covariance), moments.fourth_moment, moments.n)


def shrinkage(eigenvalues: NDArray[np.float64], fourth: float, n: int) -> float:
    """Return the share α from the covariance's eigenvalues, shape (D,), and Σ_i ‖x_i − μ‖⁴ of n samples."""
    return _share(eigenvalues, np.arange(len(eigenvalues)), fourth, n)


def _share(covariance: NDArray[np.float64], diagonal: Any, fourth: float, n: int) -> float:
    """Return α from a covariance, or from what is not 0 of a diagonal one, and where its diagonal is."""
    unit = float(covariance[diagonal].max())
    if unit <= 0:
        return 0.0
    scaled = covariance / unit  # squares of tiny variances would be denormal
    error = (fourth / unit / unit / n - float(np.vdot(scaled, scaled))) / n
    scaled[diagonal] -= scaled[diagonal].mean()
    deviation = float(np.vdot(scaled, scaled))
    if deviation <= 1e-24 * len(scaled):
        return 0.0
    return min(max(error, 0.0) / deviation, 1.0)


H_SCORE = Estimator(
    name="h_score",
    title="H-score",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: h_score(given(inputs.moments)),
    reference="Bao et al., 2019, ICIP",
    complexity="time N·D² + D³, memory D² + C·D",
)


REGULARISED_H_SCORE = Estimator(
    name="regularised_h_score",
    title="H-score with Ledoit-Wolf shrinkage",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: regularised_h_score(given(inputs.moments)),
    reference="Ibrahim et al., 2022, arXiv:2110.06893",
    complexity="time N·D² + D³, memory D² + C·D",
)
