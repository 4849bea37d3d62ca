"""PACTran with a Gaussian prior. Ding et al., 2022, arXiv:2203.05126.

Score in nats per sample: minus a PAC-Bayes bound of the loss of a linear probe; higher is better.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]

STEPS, GRADIENT = 100, 1e-11
"""Most of Newton's steps, and the largest partial derivative at the minimum: scores are right to 1e-9."""
LEAST_PREDICTION = np.float32(1e-20)
"""Predictions below it bend nothing; numbers that single precision barely holds are slow to compute with."""


def pactran_gaussian(
    samples: Samples, *, factor: float = 1.0, prior: float = 10.0, limit: int = 500, seed: int = 0
) -> float:
    """Return minus the bound L(W, b) + ‖W‖²/(2 N φ) + s² K D/(2 N φ) · ln(1 + N φ tr H/(K D)).

    L is the cross-entropy per sample of a linear probe, minimised with the penalty; H its Hessian at the
    minimum, over weights and biases; φ the factor by which the product λσ₀² of the bound's parameters
    exceeds N; and s² = prior/D the variance of the weights' prior. Features are first divided so that
    their variance is 1 on average: the penalty is not free of scale (the published code takes them as
    they are, and sums H over the samples, of which L is the mean).

    Args:
        samples: with labels.
        factor: φ, positive; 0.1, 1 and 10 in the paper.
        prior: s²·D, positive; 10 or 100 times the factor in the paper.
        limit: samples, drawn evenly from their groups.
        seed: of the draw. The minimum is unique, and the search starts from 0.

    Returns:
        Below 0.

    Raises:
        ValueError: there are fewer than two classes, or the features are constant.
    """
    drawn = samples.subsample(limit, seed)
    size, codes = class_codes(drawn)
    X, variance = centred(drawn.features)
    n, dimension = X.shape
    X *= np.sqrt(dimension / variance)
    own = np.arange(n), codes
    # the minimum lies in the span of the samples: rotate to it, which changes neither loss nor penalty
    u, s, _ = np.linalg.svd(X, full_matrices=False)
    Z = u * s
    penalty = 1 / (n * factor)
    # search in coordinates in which the Hessian of evenly spread predictions is the identity
    curvature = np.append(s**2 / n, 1.0) * (1 - 1 / size) / size + penalty
    scale = 1 / np.sqrt(curvature)[:, None]
    Z = np.hstack([Z, np.ones((n, 1))]) * scale.T
    ridge = penalty * scale**2
    ridge[-1] = 0.0  # biases are free

    def objective(theta: Array) -> tuple[float, Array, Array]:
        logits = Z @ theta
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        loss = (np.log(total).sum() - logits[own].sum()) / n + np.sum(ridge * theta**2) / 2
        error = p.copy()
        error[own] -= 1
        return float(loss), Z.T @ error / n + ridge * theta, p

    loss, p = _minimum(objective, Z, ridge, np.zeros((Z.shape[1], size)))
    trace = float(np.sum((p * (1 - p)) * (1 + np.sum((u * s) ** 2, axis=1))[:, None])) / n
    parameters = size * dimension
    flatness = prior / dimension * parameters * penalty / 2 * np.log1p(trace / penalty / parameters)
    return -float(loss + flatness)


def _minimum(
    objective: Callable[[Array], tuple[float, Array, Array]], Z: Array, ridge: Array, theta: Array
) -> tuple[float, Array]:
    """Return the least loss, and its predictions to nine digits: Newton's method, by conjugate gradients."""
    n = len(Z)
    loss, gradient, p = objective(theta)
    inverse = np.eye(Z.shape[1])
    for _ in range(STEPS):
        if np.max(np.abs(gradient)) <= GRADIENT:
            break
        step, taken = _newton_step(Z, ridge, gradient, p, inverse)
        if taken > len(theta) / theta.shape[1]:  # a block takes about the time of so many
            inverse = _mean_block(Z, ridge, p)
        slope = float(np.sum(gradient * step))
        length = 1.0
        while True:
            found = objective(theta + length * step)
            # the loss itself is not known better than to rounding
            if found[0] <= loss + 1e-4 * length * slope + 1e-15 * n or length < 1e-6:
                break
            length /= 2
        theta = theta + length * step
        loss, gradient, p = found
    return loss, p


def _mean_block(Z: Array, ridge: Array, p: Array) -> Array:
    """Return the inverse of the Hessian's blocks of one class each, averaged over classes, (D + 1, D + 1)."""
    # of predictions that are all certain, the block would be 0 for the biases
    weights = np.maximum(np.mean(p * (1 - p), axis=1), 1e-9) / len(Z)
    block = (Z.T * weights) @ Z
    block[np.diag_indices_from(block)] += ridge[:, 0]
    inverse: Array = np.linalg.inv(block)
    return inverse


def _newton_step(Z: Array, ridge: Array, gradient: Array, p: Array, inverse: Array) -> tuple[Array, int]:
    """Return −H⁻¹ g, the nearer the smaller g is, and the number of conjugate gradients that it took.

    The steps converge faster than linearly. An inverse near that of H's blocks preconditions the gradients;
    the same for all classes, it keeps their sum over classes 0, where H has no curvature in the biases.
    A step is near enough in single precision: the gradient that the next one starts from is in double.
    """
    unit = float(np.abs(gradient).max())
    x, penalty, q, near = (each.astype(np.float32) for each in (Z, ridge, p, inverse))
    q[q < LEAST_PREDICTION] = 0.0
    residual = (gradient / -unit).astype(np.float32)
    step = np.zeros_like(residual)
    direction = near @ residual
    squares = first = float(np.vdot(residual, direction))
    start = first * unit**2
    taken = 0
    while taken < 10 * gradient.size:
        taken += 1
        a = x @ direction
        a -= np.einsum("ij,ij->i", q, a)[:, None]
        a *= q
        curved = x.T @ a
        curved /= np.float32(len(x))
        curved += penalty * direction
        length = np.float32(squares / float(np.vdot(direction, curved)))
        step += length * direction
        curved *= length
        residual -= curved
        preconditioned = near @ residual
        before, squares = squares, float(np.vdot(residual, preconditioned))
        if squares <= first * min(0.01, max(start, 1e-6)):
            break
        direction *= np.float32(squares / before)
        direction += preconditioned
    return step.astype(np.float64) * unit, taken


PACTRAN = Estimator(
    name="pactran",
    title="PACTran, PAC-Bayes bound of a linear probe with a Gaussian prior, negated",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: pactran_gaussian(given(inputs.samples), seed=inputs.seed),
    reference="Ding et al., 2022, arXiv:2203.05126",
    complexity="time n²·D + i·n·min(n, D)·C for n samples (at most 500), i steps; memory n·(D + C)",
)
