"""What a score may be made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .moments import Moments
from .samples import Samples

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of a candidate before any data is seen; the baselines score this alone.

    Attributes:
        name: of the candidate.
        layer: its layer, 0 for what enters the first transformer layer.
        depth: layers passed to get there: the layer index, and for a whole encoder its number of layers.
        parameters: of the encoder cut after that layer.
        dimension: features per sample.
        other_tasks: how well it does on other tasks, by their ground truth: the share of candidates that it
            beats, from 0 to 1, mean over those tasks. None where there is no other task.
    """

    name: str
    layer: int = 0
    depth: int = 0
    parameters: int = 0
    dimension: int = 0
    other_tasks: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """Everything known about one layer of one candidate on one target task.

    Attributes:
        moments: of the target features and labels.
        samples: a bounded sample of the target features and labels.
        source: a sample of features of the candidate's pre-training data.
        posteriors: (N, Z), the candidate's own classifier on the rows of `samples`; rows sum to 1.
        metadata: of the candidate.
        seed: of everything random.
    """

    moments: Moments | None = None
    samples: Samples | None = None
    source: Samples | None = None
    posteriors: NDArray[np.float64] | None = None
    metadata: Metadata | None = None
    seed: int = 0


def given(value: T | None) -> T:
    """Return an input that an estimator declares to need.

    Raises:
        ValueError: it is missing (`Estimator.score` has a better message).
    """
    if value is None:
        raise ValueError("an input that the estimator needs is missing")
    return value
