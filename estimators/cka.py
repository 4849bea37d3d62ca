"""Linear centred kernel alignment of features and labels. Kornblith et al., 2019, arXiv:1905.00414.

Score in [0, 1]; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes


def linear_cka(moments: Moments) -> float:
    """Return ‖XᵀY‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) for centred features X and centred one-hot labels Y.

    Args:
        moments: of features and labels.

    Returns:
        In [0, 1]; 0 for constant features.

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    scatter, counts = moments.scatter, moments.counts
    unit = np.abs(scatter).max()
    if unit == 0:
        return 0.0
    labels = np.diag(counts) - np.outer(counts, counts) / moments.n
    cross = np.sum(moments.centred_sums**2 / unit)
    return float(cross / (np.linalg.norm(scatter / unit) * np.linalg.norm(labels)))


CKA = Estimator(
    name="cka",
    title="linear centred kernel alignment with the labels",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: linear_cka(given(inputs.moments)),
    reference="Kornblith et al., 2019, arXiv:1905.00414",
    complexity="time N·D², memory D² + C·D",
)
