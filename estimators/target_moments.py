"""Moments of features and real-valued targets: LogME of regression and multi-label tasks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .logme import maximum_evidence
from .moments import Moments
from .validation import as_features, check_finite

Array = NDArray[np.float64]


class TargetMoments:
    """Additive moments of features F, (N, D), and targets T, (N, K): FᵀF, FᵀT and the squares of T.

    Targets are numbers to regress on, or 0 and 1 for each of K labels that a sample may have together.

    Args:
        dimension: features per sample, D.
        targets: targets per sample, K.

    Raises:
        ValueError: dimension or targets is less than 1.
    """

    def __init__(self, dimension: int, targets: int) -> None:
        if targets < 1:
            raise ValueError(f"targets is {targets}; it must be at least 1")
        self.features = Moments(dimension)
        self.cross: Array = np.zeros((targets, dimension))
        self.squares: Array = np.zeros(targets)

    def update(self, features: Any, targets: Any) -> None:
        """Add a batch.

        Args:
            features: (N, D), numpy array or torch tensor.
            targets: (N, K), or (N,) where K is 1.

        Raises:
            ValueError: a shape is wrong, or a value is NaN or infinite; the message names it.
        """
        F = as_features(features, dimension=self.features.dimension)
        if getattr(targets, "ndim", np.ndim(targets)) == 1:
            targets = np.reshape(targets, (-1, 1))
        T = as_features(targets, dimension=len(self.squares), argument="targets").astype(np.float64)
        if len(T) != len(F):
            raise ValueError(f"targets has {len(T)} rows, features {len(F)} rows; give one per row")
        check_finite(T, "targets")
        self.features.update(F)
        self.cross += T.T @ F
        self.squares += np.sum(T**2, axis=0)

    def __add__(self, other: TargetMoments) -> Self:
        result = type(self)(self.features.dimension, len(self.squares))
        result.features = self.features + other.features
        result.cross = self.cross + other.cross
        result.squares = self.squares + other.squares
        return result


def log_maximum_evidence_of_targets(moments: TargetMoments) -> float:
    """Return LogME of regression or multi-label targets, in nats per sample: the mean over targets.

    Targets that are 0 for every sample say nothing and are left out. For one-hot targets it is
    `log_maximum_evidence`.

    Raises:
        ValueError: there is no sample, or every target is 0.
    """
    if moments.features.n == 0:
        raise ValueError("the moments hold no samples; call update first")
    kept = moments.squares > 0
    if not kept.any():
        raise ValueError("targets are all 0; there is nothing to predict")
    values, vectors = moments.features.spectrum
    evidence = maximum_evidence(
        values, moments.cross[kept] @ vectors, moments.squares[kept], moments.features.n
    )
    return float(evidence.values.mean())
