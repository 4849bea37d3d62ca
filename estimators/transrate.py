"""TransRate. Huang et al., 2022, arXiv:2106.09362.

Score in nats; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes

Array = NDArray[np.float64]


def transrate(moments: Moments, *, epsilon: float = 1e-4) -> float:
    """Return the coding rate of the features less that of the features of each class.

    R(F) − Σ_c π_c R(F_c), R(F) = ½ ln det(I + FᵀF/(Nε)), for features centred on their overall mean,
    also within a class. The rate depends on the scale of the features, which differs from model to
    model: they are divided by the root of their total variance, so that ε is a share of it (the
    published code takes them as they are, and weights classes by 1/C in place of π_c).

    Args:
        moments: of features and labels, with class Gram matrices.
        epsilon: squared error of the code, as a share of the total variance; positive.

    Returns:
        At least 0 up to rounding (the rate is concave); 0 for constant features.

    Raises:
        ValueError: there are fewer than two classes, or no class Gram matrices.
    """
    check_classes(moments)
    total = moments.centred_spectrum.values
    variance = total.sum() / moments.n
    if variance == 0:
        return 0.0
    rate = 0.5 * np.log1p(total / (moments.n * epsilon * variance)).sum()
    for label, count, mean in zip(moments.classes, moments.counts, moments.class_means, strict=True):
        offset = mean - moments.mean
        gram = moments.class_scatter(label) + count * np.outer(offset, offset)
        rate -= count / moments.n * _rate(gram / (count * epsilon * variance))
    return float(rate)


def _rate(gram: Array) -> float:
    """Return ½ ln det(I + gram)."""
    gram[np.diag_indices_from(gram)] += 1
    factor = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    return float(np.log(np.diag(factor)).sum())


TRANSRATE = Estimator(
    name="transrate",
    title="TransRate",
    needs=frozenset({"moments", "labels", "class_gram"}),
    compute=lambda inputs: transrate(given(inputs.moments)),
    reference="Huang et al., 2022, arXiv:2106.09362",
    complexity="time N·D² + C·D³, memory C·D²",
)
