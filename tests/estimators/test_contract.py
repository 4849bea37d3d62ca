"""What holds for every estimator of the registry: metamorphic relations, and no NaN whatever the features."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.estimators import ESTIMATORS, Inputs, Metadata, Moments, Samples

METADATA = Metadata("model", layer=2, depth=2, parameters=10, dimension=7, other_tasks=0.5)
SLOW = {"tsne_distance", "nleep"}  # both start from a seeded draw over rows: their order matters
FAST = [name for name in ESTIMATORS if name not in SLOW]


def inputs_of(features, labels, groups):
    rng = np.random.default_rng(0)
    features = np.asarray(features)
    spread = np.abs(features).max() or 1.0
    source = features[::-1] + 0.1 * spread * rng.standard_normal(features.shape)
    posteriors = rng.dirichlet(np.ones(5), size=1)[0] * np.ones((len(features), 5))
    return Inputs(
        moments=Moments.of(features, labels, groups, max_groups=None, class_gram=True),
        samples=Samples.of(features, labels, groups),
        source=Samples.of(source, [i % 3 for i in range(len(source))]),
        posteriors=posteriors,
        metadata=METADATA,
    )


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_number_for_ordinary_features(name, tall):
    value = ESTIMATORS[name].score(inputs_of(tall.features[:40], tall.labels[:40], tall.groups[:40]))
    assert math.isfinite(value)


@pytest.mark.parametrize("name", FAST)
def test_names_and_order_of_classes_do_not_matter(name, tall):
    names = np.array(["zebra", "ant", "mole", "bee"])
    score = ESTIMATORS[name].score(inputs_of(tall.features, tall.labels, tall.groups))
    renamed = ESTIMATORS[name].score(inputs_of(tall.features, names[tall.labels], tall.groups))
    np.testing.assert_allclose(renamed, score, rtol=1e-8)


@pytest.mark.parametrize("name", FAST)
def test_single_precision_is_enough(name, tall):
    score = ESTIMATORS[name].score(inputs_of(tall.features, tall.labels, tall.groups))
    single = inputs_of(tall.features.astype(np.float32), tall.labels, tall.groups)
    np.testing.assert_allclose(ESTIMATORS[name].score(single), score, rtol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_inputs_give_the_same_score(name, tall):
    inputs = inputs_of(tall.features[:30], tall.labels[:30], tall.groups[:30])
    assert ESTIMATORS[name].score(inputs) == ESTIMATORS[name].score(inputs)


@st.composite
def degenerate(draw):
    """Return features, labels and groups of few samples, of any scale, with columns that say nothing."""
    rows, dimension = draw(st.integers(2, 24)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features = rng.standard_normal((rows, dimension)) + draw(st.sampled_from([0.0, 1.0, 1e6]))
    for column in range(dimension):
        fate = draw(st.sampled_from(["keep", "keep", "zero", "constant", "copy"]))
        if fate == "zero":
            features[:, column] = 0.0
        elif fate == "constant":
            features[:, column] = 0.1
        elif fate == "copy":
            features[:, column] = features[:, 0]
    features *= 10.0 ** draw(st.integers(-8, 8))
    if draw(st.booleans()):
        features = features.astype(np.float32)
    labels = rng.integers(0, draw(st.integers(2, 6)), rows)
    labels[0], labels[-1] = 7, 8  # two classes at least, these with one sample
    return features, labels, rng.integers(0, draw(st.integers(1, 5)), rows)


@pytest.mark.parametrize("name", FAST)
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(degenerate())
def test_a_finite_number_or_a_clear_error(name, data):
    try:
        value = ESTIMATORS[name].score(inputs_of(*data))
    except ValueError as error:
        # LinAlgError is a ValueError too, and not a clear one
        assert type(error) is ValueError, error  # noqa: PT017
        assert any(word in str(error) for word in ("features", "groups", "labels")), error  # noqa: PT017
    else:
        assert math.isfinite(value)
