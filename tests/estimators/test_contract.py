"""What holds for every estimator of the registry (see also the tables of `test_metamorphic.py`)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretune.estimators import ESTIMATORS, Samples
from foretune.estimators.nleep import nleep
from foretune.estimators.otce import otce
from foretune.estimators.pactran import pactran_gaussian
from foretune.estimators.parc import parc

NEEDS_A_START = {"tsne_distance", "nleep"}  # from a seeded draw over rows, from which rounding grows


@pytest.fixture
def inputs_of(inputs_for):
    """Return a function that makes all inputs from target features, labels and groups."""

    def make(name, features, labels, groups):
        features = np.asarray(features)
        rng = np.random.default_rng(0)
        source = features[::-1] + 0.1 * np.abs(features).max() * rng.standard_normal(features.shape)
        posteriors = rng.dirichlet(np.ones(5), size=len(features))
        labels_of_source = [i % 3 for i in range(len(source))]
        return inputs_for(
            name,
            features,
            labels,
            groups=groups,
            source=source,
            source_labels=labels_of_source,
            posteriors=posteriors,
        )

    return make


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_number_for_ordinary_features(name, case, inputs_of):
    value = ESTIMATORS[name].score(inputs_of(name, case.features, case.labels, case.groups))
    assert math.isfinite(value)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in NEEDS_A_START])
def test_single_precision_is_enough(name, tall, inputs_of):
    score = ESTIMATORS[name].score(inputs_of(name, tall.features, tall.labels, tall.groups))
    single = inputs_of(name, tall.features.astype(np.float32), tall.labels, tall.groups)
    # half an element's rounding, 6e-8, times what the features' conditioning makes of it
    np.testing.assert_allclose(ESTIMATORS[name].score(single), score, rtol=1e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_inputs_give_the_same_score(name, tall, inputs_of):
    inputs = inputs_of(name, tall.features[:30], tall.labels[:30], tall.groups[:30])
    assert ESTIMATORS[name].score(inputs) == ESTIMATORS[name].score(inputs)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_inputs_are_left_as_they_were(name, tall, inputs_of):
    # a public estimator overwrites its features, and whatever runs after it scores others
    inputs = inputs_of(name, tall.features[:30], tall.labels[:30], tall.groups[:30])
    arrays = (inputs.samples.features, inputs.source.features, inputs.posteriors, inputs.moments.gram)
    before = [array.copy() for array in arrays]
    ESTIMATORS[name].score(inputs)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("estimator", [nleep, parc, pactran_gaussian, otce])
def test_a_limit_draws_samples_evenly_from_their_groups(estimator, tall):
    target = Samples.of(tall.features, tall.labels, tall.groups)
    source = Samples.of(tall.features[::-1] + 0.5, tall.labels, tall.groups[::-1])
    both = (source, target) if estimator is otce else (target,)
    drawn = [samples.subsample(50, 3) for samples in both]
    assert {list(drawn[0].groups).count(group) for group in set(tall.groups)} <= {8, 9}  # 50 of 6 speakers
    assert estimator(*both, limit=50, seed=3) == estimator(*drawn, limit=50, seed=3)
    assert estimator(*both, limit=50, seed=3) != estimator(*both, limit=50, seed=4)
