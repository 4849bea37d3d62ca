"""α-ReQ: how fast the features' spectrum decays. Agrawal et al., 2022, NeurIPS.

Score at most 0: minus the distance of the decay exponent from 1; uses no labels.
"""

from __future__ import annotations

import numpy as np

from .inputs import given
from .moments import Moments
from .registry import Estimator


def decay_exponent(moments: Moments) -> float:
    """Return α of λ_i ∝ i^(−α), by least squares on ln λ_i over ln i, λ the variances in descending order.

    All variances that the samples resolve count alike. (The released code takes ranks 4 to 100 only, and
    gives rank i the weight 1/i.)

    Args:
        moments: of features; labels are not used.

    Returns:
        At least 0.

    Raises:
        ValueError: fewer than two directions have variance.
    """
    values = moments.centred_spectrum.resolved(moments.n - 1).values
    if len(values) < 2:
        raise ValueError("the features vary in fewer than two directions, so their spectrum has no decay")
    x = np.log(np.arange(1, len(values) + 1))
    x -= x.mean()
    return float(-(x @ np.log(values / values[0])) / (x @ x))


def alpha_req(moments: Moments) -> float:
    """Return −|α − 1|: the authors find features to generalise best where the decay exponent α is near 1.

    Raises:
        ValueError: fewer than two directions have variance.
    """
    return -abs(decay_exponent(moments) - 1)


ALPHA_REQ = Estimator(
    name="alpha_req",
    title="α-ReQ, distance of the spectrum's decay exponent from 1, negated",
    needs=frozenset({"moments"}),
    compute=lambda inputs: alpha_req(given(inputs.moments)),
    reference="Agrawal et al., 2022, NeurIPS",
    complexity="time N·D² + D³, memory D²",
)
