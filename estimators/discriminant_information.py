"""Shrunk linear discriminants from moments: what the class tells about the features of left-out groups.

Fisher, 1936; the shrinkage of Ledoit and Wolf, 2004. Score in nats per sample; higher predicts better
transfer.

Linear discriminants model the features of class c as N(μ_c, W) with one covariance W for all classes. How
probable is the true class of a new sample has no closed form in moments (its denominator is a sum of
exponentials); how much better the classes explain the features than one Gaussian does has:

    Σ_x ln N(x; μ_y, W) − ln N(x; μ, T),   T = (1 − a) Σ + a (tr Σ / D) I,   W = T − (1 − a) B,

with μ, μ_c, Σ (covariance) and B (covariance of the class means) of the other groups, a their Ledoit-Wolf
share. Both densities are quadratic in x, so that the sum over a left-out group needs its scatter, class
sums and counts only. In the limit of much Gaussian data it is the information that T, taken for the density
of the features, leaves to the classes: ½ ln det T/det W.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .h_score import ledoit_wolf_shrinkage
from .held_out_evidence import rounding_of
from .inputs import given
from .moments import Moments
from .registry import Estimator
from .validation import check_classes, check_groups

Array = NDArray[np.float64]

LEAST_SHARE = 1e-9
"""Share of the mean variance that is added to every direction, so that none has a variance of 0."""


def discriminant_information(moments: Moments) -> float:
    """Return the held-out gain in log density of the features by their classes (see the module).

    A class that the others lack is taken to lie about their overall mean.

    Args:
        moments: of features and labels, kept by group, such as speakers, with `grouped=True`.

    Returns:
        Nats per sample; 0 where the classes tell nothing, negative where they mislead. Rotating or scaling
        the features changes nothing.

    Raises:
        ValueError: there are fewer than two classes or groups, no groups were kept, all but one group have
            one class only or constant features.
    """
    check_classes(moments)
    check_groups(moments)
    total = 0.0
    for key in moments.groups:
        others = moments.without(key)
        check_classes(others, f"without group {key!r}, labels")
        total += _gain(others, moments.group(key), rounding_of(moments))
    return total / moments.n


def _gain(others: Moments, group: Moments, rounding: float) -> float:
    """Return the sum over a group's samples of ln N(x; μ_y, W) − ln N(x; μ, T), fitted on the others.

    Args:
        others: all but the group.
        group: what is left out of them.
        rounding: of the others' scatter (see `held_out_evidence.rounding_of`).
    """
    covariance = others.scatter / others.n
    variance = float(np.trace(covariance)) / len(covariance)
    constant = max(1e-24 * float(np.max(np.abs(others.mean), initial=0.0)) ** 2, rounding / others.n)
    if not variance > constant:
        raise ValueError("features are the same for every sample, so there is no scale to work on")
    shrinkage = ledoit_wolf_shrinkage(others)
    shifts = others.class_means - others.mean
    T = (1 - shrinkage) * covariance
    T[np.diag_indices_from(T)] += shrinkage * variance + max(LEAST_SHARE * variance, rounding / others.n)
    W = T - (1 - shrinkage) * (shifts.T * others.counts / others.n) @ shifts

    away = group.mean - others.mean
    about_mean = group.scatter + group.n * np.outer(away, away)
    known = dict(zip(others.classes, shifts, strict=True))
    own = np.array([known.get(label, np.zeros_like(away)) for label in group.classes])
    sums = group.centred_sums + group.counts[:, None] * away  # of x − μ, by class
    crossed = sums.T @ own
    about_classes = about_mean - crossed - crossed.T + (own.T * group.counts) @ own
    return _log_density(about_classes, W, group.n) - _log_density(about_mean, T, group.n)


def _log_density(scatter: Array, covariance: Array, n: int) -> float:
    """Return Σ ln N(x; 0, covariance), less its constant, of n samples with this Σ x xᵀ."""
    factor = scipy.linalg.cho_factor(covariance, lower=True)
    determinant = 2 * float(np.sum(np.log(np.diag(factor[0]))))
    return -0.5 * (n * determinant + float(np.trace(scipy.linalg.cho_solve(factor, scatter))))


DISCRIMINANT_INFORMATION = Estimator(
    name="discriminant_information",
    title="shrunk linear discriminants, gain in log density of left-out groups",
    needs=frozenset({"moments", "labels", "groups"}),
    compute=lambda inputs: discriminant_information(given(inputs.moments)),
    reference="Fisher, 1936; Ledoit and Wolf, 2004",
    complexity="time N·D² + J·(D³ + C·D²) for J groups, memory J·D²",
)
