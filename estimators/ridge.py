"""Ridge regression of the labels, held out by groups: the part of their variance that is predicted.

Hoerl and Kennard, 1970; the penalty by evidence, MacKay, 1992.
Score without unit, at most 1; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .held_out_evidence import fit_precisions, rounding_of
from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes, check_groups

Array = NDArray[np.float64]


def held_out_r_squared(moments: Moments) -> float:
    """Return R² of one-hot labels of left-out groups, predicted by ridge regression on the others.

    1 − Σ_g ‖Y_g − Ŷ_g‖² / Σ_g ‖Y_g − Ȳ_−g‖² with Ŷ_g = Ȳ_−g + (F_g − F̄_−g) W_−g and
    W = (S + r I)⁻¹ Xᵀ Y of the centred others, r of greatest evidence for the others. Errors of a group are
    quadratic in its features and labels, so its moments are enough for them: no sample is seen again.
    The score rises with the log density of each held-out sample by itself, under noise of the variance that
    the held-out errors have: −½ ln(1 − R²) nats a sample and contrast over predicting the mean.

    Args:
        moments: of features and labels, kept by group, such as speakers, with `grouped=True`.

    Returns:
        At most 1; 0 or less for worthless features.

    Raises:
        ValueError: there are fewer than two classes or groups, no groups were kept, or all but one group
            have a single class.
    """
    check_classes(moments)
    check_groups(moments)
    errors = spread = 0.0
    for key in moments.groups:
        others = moments.without(key)
        check_classes(others, f"without group {key!r}, labels")
        error, variance = _errors(moments, others, moments.group(key))
        errors, spread = errors + error, spread + variance
    return 1 - errors / spread


def _errors(whole: Moments, others: Moments, group: Moments) -> tuple[float, float]:
    """Return the squared errors of a group as the others predict it, by ridge and by their mean."""
    ratio, _ = fit_precisions(others, len(whole.classes) - 1, floor=rounding_of(whole))
    values, vectors = others.centred_spectrum
    weights = vectors @ ((others.centred_sums @ vectors) / (values + ratio)).T  # (D, classes of the others)
    weights = _aligned(weights.T, others, whole).T
    frequencies = _aligned(others.counts[:, None], others, whole)[:, 0] / others.n
    counts = _aligned(group.counts[:, None], group, whole)[:, 0]

    # the group's moments about the means of the others
    offset = group.mean - others.mean
    gram = group.scatter + group.n * np.outer(offset, offset)
    sums = _aligned(group.centred_sums, group, whole) + np.outer(counts, offset)
    cross = sums - group.n * np.outer(frequencies, offset)
    variance = group.n * (1 + float(frequencies @ frequencies)) - 2 * float(counts @ frequencies)
    error = variance - 2 * float(np.sum(cross.T * weights)) + float(np.sum(weights * (gram @ weights)))
    return max(error, 0.0), variance


def _aligned(rows: Array, part: Moments, whole: Moments) -> Array:
    """Return rows, one per class of a part, as rows per class of the whole, 0 for classes it lacks."""
    position = {label: i for i, label in enumerate(whole.classes)}
    result = np.zeros((len(position), rows.shape[1]))
    result[[position[label] for label in part.classes]] = rows
    return result


RIDGE = Estimator(
    name="ridge",
    title="R² of ridge regression of the labels on left-out groups",
    needs=frozenset({"moments", "labels", "groups"}),
    compute=lambda inputs: held_out_r_squared(given(inputs.moments)),
    reference="MacKay, 1992, Neural Computation",
    complexity="time N·D² + J·(D³ + C·D²) for J groups, memory J·D²",
)
