"""Label-feature correlation (LFC). Deshpande et al., 2021, arXiv:2102.00084.

Score in [-1, 1]; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes


def label_feature_correlation(moments: Moments) -> float:
    """Return the correlation over all pairs of samples of ⟨f_i, f_j⟩ and ±1 for the same class or not.

    cos(K − mean K, Y − mean Y) with K = FFᵀ and Y = ±1, means over all N² entries. Neither matrix is
    formed: Σ K∘Y = 2 Σ_c ‖s_c‖² − ‖s‖², Σ K² = ‖FᵀF‖²_F, Σ K = ‖s‖², for class sums s_c and their sum s.

    Args:
        moments: of features, not centred, and labels.

    Returns:
        In [−1, 1]; 0 where all products are equal, as for constant features.

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    n, counts = moments.n, moments.counts
    gram = moments.gram
    unit = np.abs(gram).max()
    if unit == 0:
        return 0.0
    sums = moments.sums / np.sqrt(unit)
    total = float(np.sum(sums.sum(axis=0) ** 2))
    pairs = 2 * float(np.sum(counts**2)) - n**2
    covariance = 2 * float(np.sum(sums**2)) - total - total * pairs / n**2
    of_features = float(np.sum((gram / unit) ** 2)) - total**2 / n**2
    of_labels = n**2 - pairs**2 / n**2
    if of_features <= 1e-14 * total**2 / n**2:  # rounding of a constant kernel
        return 0.0
    return float(np.clip(covariance / np.sqrt(of_features * of_labels), -1.0, 1.0))


LFC = Estimator(
    name="lfc",
    title="label-feature correlation",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: label_feature_correlation(given(inputs.moments)),
    reference="Deshpande et al., 2021, arXiv:2102.00084",
    complexity="time N·D², memory D² + C·D",
)
