"""t-SNE, with the exact gradient. Van der Maaten and Hinton, 2008.

For the hundreds of samples that scores embed, all pairs as matrices take a tenth of the time of the
approximation by a tree of Barnes and Hut (scikit-learn's default), which pays off from thousands on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]

EXAGGERATION = 12.0
EARLY = 250
"""Affinities are exaggerated for so many steps, which draws clusters together."""


def embed(features: Array, *, perplexity: float = 30.0, steps: int = 500, seed: int = 0) -> Array:
    """Return places in two dimensions whose neighbours are those of the features, for most samples.

    Gradient descent of KL(P ‖ Q), Q_ij ∝ 1/(1 + ‖y_i − y_j‖²), from the first two principal components;
    rates, momentum and gains are those of scikit-learn. In single precision, as there. The descent is
    chaotic: features that differ in the seventh digit may lead to other places, as good.

    Args:
        features: (N, D), N at least 4; their scale does not matter.
        perplexity: effective number of neighbours, less than N − 1.
        steps: of the descent.
        seed: of the start where there is a single feature; else nothing is random.
    """
    n = len(features)
    P = affinities(features, perplexity).astype(np.float32)
    attraction = P * np.float32(EXAGGERATION)
    Y = np.ascontiguousarray(_start(features, seed).T, dtype=np.float32)
    rate = np.float32(max(n / EXAGGERATION / 4, 50.0))
    update, gains = np.zeros_like(Y), np.ones_like(Y)
    buffers = np.empty_like(P), np.empty_like(P)
    for step in range(steps):
        if step == EARLY:  # begin anew from here
            attraction, update, gains = P, np.zeros_like(Y), np.ones_like(Y)
        gradient = _gradient(attraction, Y, *buffers)
        gains = np.where(update * gradient < 0, gains + np.float32(0.2), gains * np.float32(0.8))
        np.maximum(gains, np.float32(0.01), out=gains)
        update = np.float32(0.5 if step < EARLY else 0.8) * update - rate * gains * gradient
        Y += update
    return Y.T.astype(np.float64)


def _gradient(attraction: Single, Y: Single, distances: Single, kernel: Single) -> Single:
    """Return ∂KL/∂y_i = 4 Σ_j (P_ij − Q_ij)(y_i − y_j) K_ij, (2, N), with K_ij = 1/(1 + ‖y_i − y_j‖²).

    Passes over all pairs take the time: one product makes the distances, and one each sums what attracts,
    P K, and what repels, K², over j together with its products with y_j.

    Args:
        attraction: P or a multiple of it, (N, N), 0 on its diagonal.
        Y: places, (2, N).
        distances: (N, N), to be overwritten.
        kernel: (N, N), to be overwritten.
    """
    n = Y.shape[1]
    squares = np.einsum("ij,ij->j", Y, Y)
    right = np.vstack([Y, np.ones_like(squares), squares])
    left = np.vstack([-2 * Y, squares + 1, np.ones_like(squares)])
    np.matmul(left.T, right, out=distances)
    if squares.max() > 1e5:  # rounding is less than 1 up to there
        np.maximum(distances, 1, out=distances)
    np.divide(np.float32(1), distances, out=kernel)
    kernel.ravel()[:: n + 1] = 0
    total = (right[2] @ kernel).sum()
    force = right @ np.divide(attraction, distances, out=distances)
    force -= right @ np.square(kernel, out=kernel) / total
    gradient: Single = 4 * (force[2] * Y - force[:2])
    return gradient


def affinities(features: Array, perplexity: float) -> Array:
    """Return P: (N, N), symmetric, of sum 1, Gaussian neighbourhoods of each sample's own width.

    P = (p_j|i + p_i|j)/(2N) with p_j|i ∝ exp(−β_i ‖x_i − x_j‖²), β_i such that the entropy of p_·|i is
    ln(perplexity); by Newton's method on ln β_i, all samples at once. Where a sample has more duplicates than
    that, they are its neighbours.
    """
    n = len(features)
    squares = np.sum(features**2, axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0.0)
    np.fill_diagonal(distances, np.inf)
    distances -= distances.min(axis=1, keepdims=True)
    finite = np.where(np.isinf(distances), 0.0, distances)
    log_beta = -np.log(np.maximum(finite.sum(axis=1) / (n - 1), np.finfo(np.float64).tiny))
    for _ in range(60):
        beta = np.exp(log_beta)
        p = np.exp(-beta[:, None] * distances)
        total = p.sum(axis=1)
        p /= total[:, None]
        mean = np.sum(p * finite, axis=1)
        excess = np.log(total) + beta * mean - np.log(perplexity)
        if np.max(np.abs(excess)) < 1e-10:
            break
        slope = beta**2 * np.maximum(np.sum(p * finite**2, axis=1) - mean**2, 0.0)
        log_beta = np.clip(log_beta + np.clip(excess / np.maximum(slope, 1e-12), -1.0, 1.0), -300.0, 300.0)
    joint: Array = (p + p.T) / (2 * n)
    return joint


def _start(features: Array, seed: int) -> Array:
    """Return the first two principal components, of standard deviation 1e-4 along the first."""
    if features.shape[1] == 1:
        return 1e-4 * np.random.default_rng(seed).standard_normal((len(features), 2))
    u, s, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    Y = u[:, :2] * s[:2]
    scaled: Array = Y / np.std(Y[:, 0]) * 1e-4
    return scaled
