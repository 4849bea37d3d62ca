"""PACTran with a Gaussian prior. Ding et al., 2022, arXiv:2203.05126.

Score in nats per sample: minus a PAC-Bayes bound of the loss of a linear probe; higher is better.
"""

from __future__ import annotations

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.special import log_softmax

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]
Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


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
    Y = (codes[:, None] == np.arange(size)).astype(np.float64)
    # the minimum lies in the span of the samples: rotate to it, which changes neither loss nor penalty
    u, s, _ = np.linalg.svd(X, full_matrices=False)
    Z = u * s
    penalty = 1 / (n * factor)
    # search in coordinates in which the Hessian of evenly spread predictions is the identity
    curvature = np.append(s**2 / n, 1.0) * (1 - 1 / size) / size + penalty
    scale = 1 / np.sqrt(curvature)[:, None]

    def objective(theta: Vector) -> tuple[float, Array]:
        weights = theta.reshape(-1, size) * scale
        logs = log_softmax(Z @ weights[:-1] + weights[-1], axis=1)
        loss = -np.sum(Y * logs) / n + penalty / 2 * np.sum(weights[:-1] ** 2)
        error = (np.exp(logs) - Y) / n
        gradient = np.vstack([Z.T @ error + penalty * weights[:-1], error.sum(axis=0)])
        return float(loss), (gradient * scale).ravel()

    start = np.zeros((Z.shape[1] + 1) * size)
    found = scipy.optimize.minimize(
        objective,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "maxcor": 30, "ftol": 0.0, "gtol": 1e-11},  # the minimum to nine digits
    )
    weights = found.x.reshape(-1, size) * scale
    p = np.exp(log_softmax(Z @ weights[:-1] + weights[-1], axis=1))
    trace = float(np.sum((p * (1 - p)) * (1 + np.sum(Z**2, axis=1))[:, None])) / n
    parameters = size * dimension
    flatness = prior / dimension * parameters * penalty / 2 * np.log1p(trace / penalty / parameters)
    return -float(found.fun + flatness)


PACTRAN = Estimator(
    name="pactran",
    title="PACTran, PAC-Bayes bound of a linear probe with a Gaussian prior, negated",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: pactran_gaussian(given(inputs.samples), seed=inputs.seed),
    reference="Ding et al., 2022, arXiv:2203.05126",
    complexity="time n²·D + i·n·min(n, D)·C for n samples (at most 500) and i steps, memory n·(D + C)",
)
