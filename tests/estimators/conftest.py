"""Three regimes that every estimator must get right: more samples than features, fewer, deficient rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from foretune.estimators import ESTIMATORS, Inputs, Metadata, Moments, Samples

SIZES = {"tall": (120, 7, 7), "wide": (40, 60, 60), "deficient": (90, 20, 6)}
METADATA = Metadata("model", layer=2, depth=2, parameters=10, dimension=7, other_tasks=0.5)


@dataclass(frozen=True)
class Case:
    features: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]


def make_case(
    samples: int, dimension: int, rank: int, *, classes: int = 4, seed: int = 0, separation: float = 1.0
) -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % classes)
    means = separation * rng.standard_normal((classes, rank))
    latent = means[labels] + rng.standard_normal((samples, rank))
    mixing = rng.standard_normal((rank, dimension)) if rank < dimension else np.eye(rank)
    groups = np.array([f"speaker{i}" for i in rng.integers(0, 6, samples)])
    return Case(latent @ mixing + 0.5, labels, groups)


@pytest.fixture(params=SIZES)
def case(request: pytest.FixtureRequest) -> Case:
    return make_case(*SIZES[request.param])


@pytest.fixture(params=SIZES)
def faint(request: pytest.FixtureRequest) -> Case:
    """Classes so near each other that no posterior rounds to 1 with fewer samples than features either."""
    return make_case(*SIZES[request.param], separation=0.1)


@pytest.fixture
def tall() -> Case:
    return make_case(*SIZES["tall"])


@pytest.fixture(scope="session")
def inputs_for() -> Callable[..., Inputs]:
    """Return a function that makes all inputs of an estimator, by name, from arrays, as `score` does."""

    def make(
        name: str,
        features: Any,
        labels: Any,
        *,
        groups: Any = None,
        source: Any = None,
        source_labels: Any = None,
        posteriors: Any = None,
    ) -> Inputs:
        return Inputs(
            moments=Moments.of(
                features,
                labels,
                groups,
                max_groups=None,
                class_gram="class_gram" in ESTIMATORS[name].needs,
            ),
            samples=Samples.of(features, labels, groups),
            source=None if source is None else Samples.of(source, source_labels),
            posteriors=posteriors,
            metadata=METADATA,
        )

    return make
