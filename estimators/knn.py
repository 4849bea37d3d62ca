"""Nearest neighbours, leaving one group out. Cover and Hart, 1967.

Best of 23 estimators in a study of 2025 (arXiv:2503.18528). Score: accuracy, in [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes

BLOCK_ROWS = 1024
"""Rows of the distance matrix at a time."""


def nearest_neighbours(samples: Samples, *, neighbours: int = 5) -> float:
    """Return the share of samples whose class is that of most of their neighbours in other groups.

    Neighbours are by the cosine of features less their mean. A sample's own group (its utterance or
    speaker) has no vote: the next frame of the same utterance is near whatever the features. A tie
    goes to the class that is nearer on average.

    Args:
        samples: with labels and groups.
        neighbours: k; where other groups have fewer samples, all of them vote.

    Returns:
        Accuracy in [0, 1].

    Raises:
        ValueError: there are fewer than two classes or groups, or the features are constant.
    """
    size, codes = class_codes(samples)
    groups, membership = samples.encoded_groups()
    if len(groups) < 2:
        raise ValueError(f"groups has {len(groups)} group(s); there must be two to leave one out")
    X, _ = centred(samples.features)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(float).tiny)
    hits = 0
    for start in range(0, len(X), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        cosines = X[rows] @ X.T
        cosines[membership[rows, None] == membership] = -np.inf
        hits += int(np.sum(_vote(cosines, codes, neighbours, size) == codes[rows]))
    return hits / len(X)


def _vote(
    cosines: NDArray[np.float64], codes: NDArray[np.intp], neighbours: int, size: int
) -> NDArray[np.intp]:
    """Return the class that each row's neighbours elect, shape (rows,)."""
    k = min(neighbours, cosines.shape[1])
    nearest = np.argpartition(cosines, cosines.shape[1] - k, axis=1)[:, -k:]
    near = np.take_along_axis(cosines, nearest, axis=1)
    votes = np.zeros((len(cosines), size))
    # a vote of 1, and less than 1/k for nearness: it decides ties and nothing else
    weights = np.where(np.isfinite(near), 1 + np.clip(near, -1, 1) / (4 * k), 0.0)
    np.add.at(votes, (np.arange(len(cosines))[:, None], codes[nearest]), weights)
    elected: NDArray[np.intp] = np.argmax(votes, axis=1)
    return elected


KNN = Estimator(
    name="knn",
    title="accuracy of 5 nearest neighbours in other groups",
    needs=frozenset({"samples", "labels", "groups"}),
    compute=lambda inputs: nearest_neighbours(given(inputs.samples)),
    reference="Cover and Hart, 1967",
    complexity="time n²·D for n samples, memory n·D",
)
