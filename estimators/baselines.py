"""Baselines of equal standing: without these rows no correlation means anything.

A list of models by size beat LogME in published comparisons; an estimator that does not beat these
has measured nothing.
"""

from __future__ import annotations

import math

import numpy as np

from .inputs import Inputs, Metadata, given
from .labels import stable_hash
from .moments import Moments
from .registry import Estimator


def random_score(metadata: Metadata, *, seed: int = 0) -> float:
    """Return a number in [0, 1) drawn from the seed, the candidate's name and the layer, and nothing else."""
    return float(np.random.default_rng(stable_hash((metadata.name, metadata.layer), seed)).random())


def feature_norm(moments: Moments) -> float:
    """Return the root mean square norm of the features, at least 0.

    Raises:
        ValueError: there is no sample.
    """
    if moments.n == 0:
        raise ValueError("the moments hold no samples; call update first")
    return math.sqrt(max(float(np.trace(moments.gram)), 0.0) / moments.n)


def _feature_norm(inputs: Inputs) -> float:
    return feature_norm(given(inputs.moments))


_METADATA = frozenset({"metadata"})

RANDOM = Estimator(
    "random",
    "a random number",
    _METADATA,
    lambda inputs: random_score(given(inputs.metadata), seed=inputs.seed),
    complexity="constant",
)
PARAMETERS = Estimator(
    "parameters",
    "number of parameters of the encoder up to the layer",
    _METADATA,
    lambda inputs: float(given(inputs.metadata).parameters),
    complexity="constant",
)
DEPTH = Estimator(
    "depth",
    "index of the layer",
    _METADATA,
    lambda inputs: float(given(inputs.metadata).depth),
    complexity="constant",
)
DIMENSION = Estimator(
    "dimension",
    "features per sample",
    _METADATA,
    lambda inputs: float(given(inputs.metadata).dimension),
    complexity="constant",
)
FEATURE_NORM = Estimator(
    "feature_norm",
    "root mean square norm of the features",
    frozenset({"moments"}),
    _feature_norm,
    complexity="time N·D, memory D",
)
OTHER_TASKS = Estimator(
    "other_tasks",
    "share of candidates beaten in the ground truth of other tasks",
    frozenset({"metadata", "other_tasks"}),
    lambda inputs: given(given(inputs.metadata).other_tasks),
    complexity="constant",
)
