"""The transferability estimators, one paper a file. Higher always predicts better transfer.

`score` scores arrays in memory. A stream is scored through `Moments` and `Reservoir`, updated batch by
batch, and `get_estimator(name).score(Inputs(...))`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .alpha_req import ALPHA_REQ
from .baselines import DEPTH, DIMENSION, FEATURE_NORM, OTHER_TASKS, PARAMETERS, RANDOM
from .cca import CCA, PWCCA
from .cka import CKA
from .discriminant_information import DISCRIMINANT_INFORMATION
from .gbc import GBC, GBC_FULL
from .h_score import H_SCORE, REGULARISED_H_SCORE
from .held_out_evidence import HELD_OUT_EVIDENCE
from .inputs import Inputs, Metadata
from .jackknife import Jackknife, jackknife, jackknives, standard_errors
from .knn import KNN
from .labels import encode
from .lda import LDA
from .leep import LEEP
from .lfc import LFC
from .logme import LOGME, LOGME_PUBLISHED
from .moments import Moments
from .nce import NCE
from .nleep import NLEEP
from .otce import OTCE
from .pactran import PACTRAN
from .parc import PARC
from .rankme import RANKME
from .registry import (
    ESTIMATORS,
    Estimator,
    MissingInputError,
    UnknownEstimatorError,
    get_estimator,
    load_plugins,
    register,
)
from .ridge import RIDGE
from .samples import Reservoir, Samples
from .sfda import SFDA
from .sliced_wasserstein import SLICED_WASSERSTEIN
from .transrate import TRANSRATE
from .tsne_distance import TSNE_DISTANCE
from .validation import as_features, check_finite

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "Inputs",
    "Jackknife",
    "Metadata",
    "MissingInputError",
    "Moments",
    "Reservoir",
    "Samples",
    "UnknownEstimatorError",
    "get_estimator",
    "jackknife",
    "jackknives",
    "load_plugins",
    "register",
    "score",
    "standard_errors",
]

for _estimator in (
    LOGME,
    LOGME_PUBLISHED,
    HELD_OUT_EVIDENCE,
    DISCRIMINANT_INFORMATION,
    RIDGE,
    H_SCORE,
    REGULARISED_H_SCORE,
    TRANSRATE,
    GBC,
    GBC_FULL,
    CKA,
    CCA,
    PWCCA,
    LFC,
    RANKME,
    ALPHA_REQ,
    LDA,
    KNN,
    NLEEP,
    SFDA,
    PARC,
    PACTRAN,
    LEEP,
    NCE,
    SLICED_WASSERSTEIN,
    OTCE,
    TSNE_DISTANCE,
    RANDOM,
    PARAMETERS,
    DEPTH,
    DIMENSION,
    FEATURE_NORM,
    OTHER_TASKS,
):
    register(_estimator)


def score(
    features: Any,
    labels: Sequence[Hashable] | Any | None = None,
    estimator: str = "logme",
    *,
    groups: Sequence[Hashable] | Any | None = None,
    source: Any | None = None,
    source_labels: Sequence[Hashable] | Any | None = None,
    posteriors: Any | None = None,
    metadata: Metadata | None = None,
    seed: int = 0,
) -> float:
    """Score features for a task.

    Args:
        features: (N, D), one row per sample (utterance or frame), numpy array or torch tensor.
        labels: (N,), hashables; None for estimators that use no labels.
        estimator: a name from `ESTIMATORS`.
        groups: (N,), the speaker or utterance of each sample, for estimators that hold groups out.
        source: (M, D), features of the pre-training data.
        source_labels: (M,), their labels.
        posteriors: (N, Z), probabilities of the candidate's own classifier; rows sum to 1.
        metadata: of the candidate, for baselines.
        seed: of everything random.

    Returns:
        The score; higher predicts better transfer.

    Raises:
        UnknownEstimatorError: there is no such estimator.
        MissingInputError: the estimator needs an argument that is missing.
        ValueError: a shape is wrong, there is no sample or one class only, or a value is NaN or infinite;
            the message names the argument and the first offending index.
    """
    chosen = get_estimator(estimator)
    samples = Samples.of(features, labels, groups)
    if len(samples) == 0:
        raise ValueError("features has no rows; there must be at least two samples")
    if labels is not None and len(samples.encoded_labels()[0]) == 1:
        raise ValueError(
            f"labels has one class only, {samples.encoded_labels()[0][0]!r}; there must be at least two"
        )
    moments = None
    if "moments" in chosen.needs:
        moments = Moments.of(samples.features, labels, groups, class_gram="class_gram" in chosen.needs)
    return chosen.score(
        Inputs(
            moments=moments,
            samples=samples,
            source=None if source is None else _source_samples(source, source_labels),
            posteriors=None if posteriors is None else _as_posteriors(posteriors),
            metadata=metadata,
            seed=seed,
        )
    )


def _source_samples(source: Any, labels: Any | None) -> Samples:
    """Return the source samples, whose faults are reported under the names of `score`'s arguments."""
    matrix = as_features(source, argument="source")
    check_finite(matrix, "source")
    if len(matrix) == 0:
        raise ValueError("source has no rows; there must be at least one sample")
    if labels is not None:
        encode(labels, len(matrix), "source_labels", features="source")
    return Samples.of(matrix, labels)


def _as_posteriors(posteriors: Any) -> NDArray[np.float64]:
    return as_features(posteriors, argument="posteriors").astype(np.float64)
