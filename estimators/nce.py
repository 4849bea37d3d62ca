"""Negative conditional entropy (NCE). Tran et al., 2019, arXiv:1908.08142.

Score in nats, at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .leep import check_posteriors
from .registry import Estimator
from .samples import Samples
from .validation import class_codes


def negative_conditional_entropy(samples: Samples, posteriors: NDArray[np.float64]) -> float:
    """Return −H(Y | Z), Z the class that the candidate's own classifier finds most probable.

    Args:
        samples: with labels; the features are not used.
        posteriors: (N, Z), rows sum to 1; of equal ones the first counts.

    Returns:
        In [−ln C, 0].

    Raises:
        ValueError: there are fewer than two classes, or the posteriors are not distributions, one per row.
    """
    size, codes = class_codes(samples)
    theta = check_posteriors(posteriors, len(samples))
    joint = np.zeros((size, theta.shape[1]))
    np.add.at(joint, (codes, np.argmax(theta, axis=1)), 1 / len(samples))
    conditional = np.divide(joint, joint.sum(axis=0), out=np.ones_like(joint), where=joint > 0)
    return float(np.sum(joint * np.log(conditional)))


NCE = Estimator(
    name="nce",
    title="negative conditional entropy of the labels given the candidate's own classes",
    needs=frozenset({"samples", "labels", "posteriors"}),
    compute=lambda inputs: negative_conditional_entropy(given(inputs.samples), given(inputs.posteriors)),
    reference="Tran et al., 2019, arXiv:1908.08142",
    complexity="time N·Z, memory C·Z",
)
