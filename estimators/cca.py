"""Canonical correlation of features and labels.

Morcos et al., 2018, arXiv:1806.05759 (projection-weighted); for speech Pasad et al., 2021, 2023.
Score in [0, 1]; higher predicts better transfer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes

Array = NDArray[np.float64]


class CanonicalCorrelations(NamedTuple):
    """Correlations, shape (K,), largest first, and the weight of each, shape (K,), summing to 1."""

    values: Array
    weights: Array


def canonical_correlations(moments: Moments) -> CanonicalCorrelations:
    """Return the canonical correlations of features and one-hot labels, K = min(rank, C − 1) of them.

    The part of the centred features that the labels explain is the class means, hence the
    correlations are the singular values of Λ^(−½) Vᵀ Sᵀ N_c^(−½), with V Λ Vᵀ the scatter and S the
    class sums of the centred features. The weight of a canonical variate h is Σ_j |⟨h, x_j⟩| over
    features x_j: how much of the features lies along it. (The published code of projection weighting
    leaves out the whitening of h, and takes the side with fewer columns, which may be the labels.)

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    values, vectors = moments.centred_spectrum.resolved(moments.n - 1)
    whitened = (moments.centred_sums @ vectors) / np.sqrt(values) / np.sqrt(moments.counts)[:, None]
    _, rho, directions = np.linalg.svd(whitened, full_matrices=False)
    size = min(len(values), len(moments.classes) - 1)
    weights = np.abs((directions[:size] * np.sqrt(values)) @ vectors.T).sum(axis=1)
    return CanonicalCorrelations(np.clip(rho[:size], 0.0, 1.0), weights / max(weights.sum(), 1e-300))


def mean_cca(moments: Moments) -> float:
    """Return the mean canonical correlation, in [0, 1]; 0 for constant features.

    As many directions as samples correlate perfectly with anything: for N ≤ D it is 1.

    Raises:
        ValueError: there are fewer than two classes.
    """
    values = canonical_correlations(moments).values
    return float(values.mean()) if len(values) else 0.0


def projection_weighted_cca(moments: Moments) -> float:
    """Return the canonical correlations' mean weighted by projection, in [0, 1]; 0 for constant features.

    Depends on the basis of the features, through the weights; not on their scale.

    Raises:
        ValueError: there are fewer than two classes.
    """
    values, weights = canonical_correlations(moments)
    return float(values @ weights)


CCA = Estimator(
    name="cca",
    title="mean canonical correlation with the labels",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: mean_cca(given(inputs.moments)),
    reference="Pasad et al., 2021, arXiv:2107.04734",
    complexity="time N·D² + D³ + C²·D, memory D² + C·D",
)
PWCCA = Estimator(
    name="pwcca",
    title="projection-weighted canonical correlation with the labels",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: projection_weighted_cca(given(inputs.moments)),
    reference="Morcos et al., 2018, arXiv:1806.05759; Pasad et al., 2023, arXiv:2211.03929",
    complexity="time N·D² + D³ + C·D², memory D² + C·D",
)
