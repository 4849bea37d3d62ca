"""RankMe: the effective rank of the features. Garrido et al., 2023, arXiv:2210.02885.

Score in directions, from 1 to min(N, D); uses no labels. Its authors compare runs of one method only.
"""

from __future__ import annotations

import numpy as np

from .inputs import given
from .moments import Moments
from .registry import Estimator


def rankme(moments: Moments) -> float:
    """Return exp of the entropy of the singular values of F, normalised to sum to 1.

    Args:
        moments: of features, not centred; labels are not used.

    Returns:
        In [1, min(N, D)]; 0 for features that are all 0.

    Raises:
        ValueError: there is no sample.
    """
    if moments.n == 0:
        raise ValueError("the moments hold no samples; call update first")
    values = moments.spectrum.resolved(moments.n).values
    if not len(values):
        return 0.0
    p = np.sqrt(values / values[0])
    p /= p.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


RANKME = Estimator(
    name="rankme",
    title="RankMe, effective rank of the features",
    needs=frozenset({"moments"}),
    compute=lambda inputs: rankme(given(inputs.moments)),
    reference="Garrido et al., 2023, arXiv:2210.02885",
    complexity="time N·D² + D³, memory D²",
)
