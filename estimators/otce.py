"""Optimal transport based conditional entropy (OTCE). Tan et al., 2021, arXiv:2103.13843.

Score at most 0; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .sliced_wasserstein import standardise
from .validation import class_codes


def otce(
    source: Samples,
    target: Samples,
    *,
    distance_weight: float = 1.0,
    entropy_weight: float = 1.0,
    limit: int = 500,
    seed: int = 0,
) -> float:
    """Return −(λ₁ W + λ₂ H(Y_t | Y_s)) under the optimal coupling of source and target features.

    W is the 2-Wasserstein distance of the features, standardised by the source (see
    `sliced_wasserstein.standardise`) and divided by √D, so that it is per feature; the coupling makes a joint
    distribution of source and target labels, whose conditional entropy H is in nats. The paper learns the
    weights from other tasks; here both count alike. (Its W is squared, of features as they are, and
    then outweighs H as the number of features grows.)

    Args:
        source: features and labels of the pre-training data.
        target: features and labels of the task.
        distance_weight: λ₁, at least 0.
        entropy_weight: λ₂, at least 0.
        limit: samples of each, drawn evenly from their groups.
        seed: of the draws.

    Returns:
        At most 0.

    Raises:
        ValueError: the dimensions differ, labels are missing, the target has fewer than two classes, or the
            source features are constant.
    """
    import ot

    source, target = source.subsample(limit, seed), target.subsample(limit, seed)
    x, y = standardise(source.features, target.features)
    source_names, source_codes = source.encoded_labels()
    size, codes = class_codes(target)
    cost = ot.dist(x, y) / source.dimension
    coupling = ot.emd(ot.unif(len(x)), ot.unif(len(y)), cost, numItermax=1_000_000)
    joint = np.zeros((len(source_names), size))
    np.add.at(joint, (source_codes[:, None], codes), coupling)
    conditional = np.divide(joint, joint.sum(axis=1, keepdims=True), out=np.ones_like(joint), where=joint > 0)
    entropy = -float(np.sum(joint * np.log(conditional)))
    distance = float(np.sqrt(max(np.sum(coupling * cost), 0.0)))
    return -(distance_weight * distance + entropy_weight * entropy)


OTCE = Estimator(
    name="otce",
    title="transport distance and conditional entropy of labels under the optimal coupling, negated",
    needs=frozenset({"samples", "labels", "source", "source_labels"}),
    compute=lambda inputs: otce(given(inputs.source), given(inputs.samples), seed=inputs.seed),
    reference="Tan et al., 2021, arXiv:2103.13843",
    complexity="time n²·D + n³ for n samples of each (at most 500), memory n²",
)
