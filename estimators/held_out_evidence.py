r"""Leave-group-out predictive evidence: how well the others predict each group of samples.

Our own, an alternative to LogME. Score in nats per sample; higher predicts better transfer.

LogME asks how probable the labels are before any has been seen; the answer is dominated by what the prior
costs, and it takes samples of one speaker for independent. What fine-tuning is judged by is another
question: how probable are the labels of new speakers, given those of the others? Both have a closed form
in the same moments.

Model. The one-hot labels, C columns, are projected on C − 1 orthonormal contrasts (the columns sum to 1, so
one direction of them is constant; the score depends on no choice of contrasts). Each contrast is
t = F w + b 1 + noise, w ~ N(0, I/α), noise ~ N(0, I/β), b flat, with α and β shared by the contrasts, so
that a class that only a left-out group has is still given a density.

Evidence of a set of n samples at given precisions, r = α/β. Integrating b out of N(t; b 1, I/β + FFᵀ/α)
leaves n^(−½) times the density of t's n − 1 centred coordinates, hence with σ the eigenvalues of the
centred scatter, wᵢ the squared length of the centred t along direction i and w⊥ the rest of it,

    L = −½ ln n − (n − 1)/2 · ln(2π/β) − ½ Σᵢ ln(1 + σᵢ/r) − β/2 · (w⊥ + Σᵢ wᵢ r/(r + σᵢ)),

all of which come from the moments of the set: scatter, class sums and counts.

Prediction. With the precisions held, the density of a group's labels given the others' is a ratio,

    ln p(Y_g | Y_−g) = ln p(Y) − ln p(Y_−g) = L(all; α, β) − L(all but g; α, β):

the weights are integrated out, over their posterior given the others, without ever being formed, and the
flat prior of b cancels. Moments subtract, so "all but g" needs no second pass over the data. The precisions
are those of greatest evidence for "all but g" alone: the group that is predicted has no part in them. One
eigendecomposition a group, whatever the number of samples.

The density of a group is a joint one: labels of the group help to predict its other labels, as when a
model is adapted to a speaker by a few labelled utterances. Features that tell classes apart within each
speaker, but in another way for each, therefore still score well; `ridge` gives no credit for that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .logme import decompose, maximum_evidence
from .moments import Moments
from .registry import Estimator
from .sufficient_statistics import RANK_TOLERANCE
from .validation import check_classes, check_groups

Array = NDArray[np.float64]

LEAST_RATIO = 1e-8
"""Least r = α/β as a share of the largest eigenvalue, where the evidence has its maximum at r → 0 (features
with as many directions as samples fit every label exactly)."""


class Precisions(NamedTuple):
    """Precisions of the prior and the noise: their ratio r = α/β (may be infinite), and β."""

    ratio: float
    beta: float


class _Spread(NamedTuple):
    """The centred labels along the features' directions, summed over contrasts."""

    n: int
    contrasts: int
    sigma: Array
    w: Array
    residual: float

    def log_evidence(self, precisions: Precisions) -> float:
        """Return L, summed over contrasts."""
        ratio, beta = precisions
        determinant = -0.5 * np.log(self.n) - (self.n - 1) / 2 * np.log(2 * np.pi / beta)
        determinant -= 0.5 * np.log1p(self.sigma / ratio).sum()
        squares = self.residual + float(np.sum(self.w / (1 + self.sigma / ratio)))
        return float(self.contrasts * determinant - beta / 2 * squares)


def held_out_evidence(moments: Moments) -> float:
    """Return Σ_g ln p(Y_g | Y_−g) / N over left-out groups g (see the module's derivation).

    Args:
        moments: of features and labels, kept by group, such as speakers, with `grouped=True`.

    Returns:
        Nats per sample; unbounded.

    Raises:
        ValueError: there are fewer than two classes or groups, no groups were kept, or all but one group
            have a single class.
    """
    check_classes(moments)
    check_groups(moments)
    contrasts = len(moments.classes) - 1
    everything = _spread(moments, contrasts)
    floor = rounding_of(moments)
    total = 0.0
    for key in moments.groups:
        others = moments.without(key)
        check_classes(others, f"without group {key!r}, labels")
        precisions = fit_precisions(others, contrasts, floor=floor)
        rest = _spread(others, contrasts, floor)
        total += everything.log_evidence(precisions) - rest.log_evidence(precisions)
    return total / moments.n


def rounding_of(whole: Moments) -> float:
    """Return what eigenvalues of a part's scatter must exceed: subtraction leaves rounding of the whole's.

    Where all that is left is equal, nothing else would tell that it is.
    """
    return RANK_TOLERANCE * whole.dimension * float(whole.centred_spectrum.values[-1])


def fit_precisions(moments: Moments, contrasts: int, *, floor: float = 0.0) -> Precisions:
    """Return the precisions of greatest evidence, shared by all contrasts of the labels.

    The mean over contrasts of the evidence is that of a single target with their mean squares along every
    direction, so the search is `maximum_evidence`'s for n − 1 centred coordinates.

    Args:
        moments: of features and labels.
        contrasts: C − 1 of the whole data.
        floor: eigenvalues of the scatter up to this count as 0 (see `rounding_of`).
    """
    values, vectors = moments.centred_spectrum
    values = np.where(values > floor, values, 0.0)
    projections = np.sqrt(np.sum((moments.centred_sums @ vectors) ** 2, axis=0) / contrasts)
    squares = np.array([_squares(moments) / contrasts])
    _, alphas, betas = maximum_evidence(values, projections[None], squares, moments.n - 1)
    if np.isinf(alphas[0]):
        return Precisions(np.inf, float(betas[0]))
    if np.isfinite(betas[0]):
        return Precisions(float(alphas[0] / betas[0]), float(betas[0]))
    ratio = LEAST_RATIO * float(values[-1])
    _, _, sigma, w, residual = _spread(moments, contrasts, floor)
    variance = (residual + float(np.sum(w / (1 + sigma / ratio)))) / contrasts / (moments.n - 1)
    return Precisions(ratio, 1 / variance)


def _squares(moments: Moments) -> float:
    """Return the squared Frobenius norm of the centred one-hot labels."""
    return moments.n - float(np.sum(moments.counts**2)) / moments.n


def _spread(moments: Moments, contrasts: int, floor: float = 0.0) -> _Spread:
    values, vectors = moments.centred_spectrum
    values = np.where(values > floor, values, 0.0)
    projections = np.sqrt(np.sum((moments.centred_sums @ vectors) ** 2, axis=0))
    squares = np.array([_squares(moments)])
    sigma, w, residual = decompose(values, projections[None], squares, moments.n - 1)
    return _Spread(moments.n, contrasts, sigma, w[0], float(residual[0]))


HELD_OUT_EVIDENCE = Estimator(
    name="held_out_evidence",
    title="leave-group-out predictive evidence",
    needs=frozenset({"moments", "labels", "groups"}),
    compute=lambda inputs: held_out_evidence(given(inputs.moments)),
    reference="foretune",
    complexity="time N·D² + J·(D³ + C·D²) for J groups, memory J·D²",
)
