"""Log expected empirical prediction (LEEP). Nguyen et al., 2020, arXiv:2002.12462.

Score in nats per sample, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import class_codes

Array = NDArray[np.float64]


def leep(samples: Samples, posteriors: Array) -> float:
    """Return mean ln Σ_z P(y | z) θ(x)_z, with P(y, z) = Σ_{i: y_i = y} θ(x_i)_z / N.

    The candidate's own classifier θ, over its own classes z (such as the symbols of a CTC head), is
    turned into one for the target classes. Source classes that never get any probability are left out.

    Args:
        samples: with labels; the features are not used.
        posteriors: θ(x_i), (N, Z), rows sum to 1.

    Returns:
        In [−ln N, 0], no more than minus the labels' conditional entropy.

    Raises:
        ValueError: there are fewer than two classes, or the posteriors are not distributions, one per row.
    """
    size, codes = class_codes(samples)
    theta = check_posteriors(posteriors, len(samples))
    return float(expected_log_prediction(theta, codes, size))


def expected_log_prediction(theta: Array, codes: NDArray[np.intp], size: int) -> float:
    """Return LEEP of checked posteriors, (N, Z), and classes, (N,), of which there are so many."""
    joint = (codes == np.arange(size)[:, None]) @ theta
    marginal = joint.sum(axis=0)
    conditional = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    predictions = np.minimum(np.sum(conditional[codes] * theta, axis=1), 1.0)  # rounding may pass 1
    return float(np.mean(np.log(predictions)))


def check_posteriors(posteriors: Array, rows: int) -> Array:
    """Return posteriors as float64, rows made to sum to 1 exactly.

    Raises:
        ValueError: not (N, Z), NaN, negative, or a row that does not sum to 1 (within 1e-3, for
            posteriors in half precision).
    """
    theta: Array = np.asarray(posteriors, dtype=np.float64)
    if theta.ndim != 2 or len(theta) != rows:
        raise ValueError(f"posteriors has shape {theta.shape}; it must be ({rows}, Z), one row per sample")
    sums = theta.sum(axis=1)
    bad = np.flatnonzero(~((theta.min(axis=1, initial=0.0) >= 0) & (np.abs(sums - 1) < 1e-3)))
    if len(bad):
        raise ValueError(f"posteriors[{bad[0]}] is no distribution; rows must be at least 0 and sum to 1")
    theta = theta / sums[:, None]
    return theta


LEEP = Estimator(
    name="leep",
    title="log expected empirical prediction by the candidate's own classifier",
    needs=frozenset({"samples", "labels", "posteriors"}),
    compute=lambda inputs: leep(given(inputs.samples), given(inputs.posteriors)),
    reference="Nguyen et al., 2020, arXiv:2002.12462",
    complexity="time N·C·Z for Z source classes, memory N·(C + Z)",
)
