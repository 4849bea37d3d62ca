"""Three regimes that every estimator must get right: more samples than features, fewer, deficient rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class Case:
    features: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]


def make_case(samples: int, dimension: int, rank: int, classes: int = 4, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % classes)
    means = rng.standard_normal((classes, rank))
    latent = means[labels] + rng.standard_normal((samples, rank))
    mixing = rng.standard_normal((rank, dimension)) if rank < dimension else np.eye(rank)
    groups = np.array([f"speaker{i}" for i in rng.integers(0, 6, samples)])
    return Case(latent @ mixing + 0.5, labels, groups)


@pytest.fixture(params=["tall", "wide", "deficient"])
def case(request: pytest.FixtureRequest) -> Case:
    sizes = {"tall": (120, 7, 7), "wide": (40, 60, 60), "deficient": (90, 20, 6)}
    return make_case(*sizes[request.param])


@pytest.fixture
def tall() -> Case:
    return make_case(120, 7, 7)
