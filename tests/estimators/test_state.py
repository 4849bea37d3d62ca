"""State of accumulators: what is loaded goes on bit for bit as what was dumped."""

from __future__ import annotations

import io

import numpy as np
import pytest

from foretune.estimators import Moments, Reservoir, Samples
from foretune.estimators.state import dump, load


def through_a_file(value):
    """Dump a value, write its arrays without pickle, and load it again."""
    text, arrays = dump(value)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        return load(text, read)


def batches(count=6, rows=40, dimension=5):
    rng = np.random.default_rng(3)
    for number in range(count):
        features = (rng.standard_normal((rows, dimension)) + number).astype(np.float32)
        labels = rng.choice(["a", "b", "ü"], rows)
        groups = np.repeat([f"g{number}", f"h{number // 2}"], rows // 2)
        yield features, labels, groups


SETTINGS = [{}, {"grouped": True}, {"grouped": True, "max_groups": None}, {"class_gram": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("interrupted_after", [0, 1, 5, 6])
def test_moments_go_on_as_if_never_interrupted(settings, interrupted_after):
    whole, interrupted = Moments(5, **settings), Moments(5, **settings)
    for number, (features, labels, groups) in enumerate(batches()):
        if number == interrupted_after:
            interrupted = through_a_file(interrupted)
        for moments in (whole, interrupted):
            moments.update(features, labels, groups if moments.grouped else None)
    if interrupted_after == 6:
        interrupted = through_a_file(interrupted)
    assert interrupted.n == whole.n
    assert interrupted.classes == whole.classes
    assert interrupted.groups == whole.groups
    for name in ("mean", "sums", "second_moments", "gram", "scatter", "fourth_moment", "counts"):
        np.testing.assert_array_equal(getattr(interrupted, name), getattr(whole, name))
    for group in whole.groups:
        np.testing.assert_array_equal(interrupted.group(group).gram, whole.group(group).gram)
    if settings.get("class_gram"):
        for label in whole.classes:
            np.testing.assert_array_equal(interrupted.class_scatter(label), whole.class_scatter(label))


def test_what_was_dumped_is_left_alone():
    features, labels, _ = next(batches())
    moments = Moments.of(features, labels)
    before = moments.gram.copy()
    loaded = through_a_file(moments)
    loaded.update(features, labels)
    np.testing.assert_array_equal(moments.gram, before)
    assert loaded.n == 2 * moments.n


@pytest.mark.parametrize("interrupted_after", [0, 1, 3, 6])
@pytest.mark.parametrize("labelled", [True, False])
def test_reservoirs_go_on_as_if_never_interrupted(interrupted_after, labelled):
    whole, interrupted = Reservoir(50, seed=4), Reservoir(50, seed=4)
    for number, (features, labels, groups) in enumerate(batches()):
        if number == interrupted_after:
            interrupted = through_a_file(interrupted)
        for reservoir in (whole, interrupted):
            reservoir.update(features, labels if labelled else None, groups)
    if interrupted_after == 6:
        interrupted = through_a_file(interrupted)
    one, other = whole.samples(), interrupted.samples()
    np.testing.assert_array_equal(one.features, other.features)
    np.testing.assert_array_equal(one.groups, other.groups)
    assert one.features.dtype == other.features.dtype
    if labelled:
        assert one.labels.tolist() == other.labels.tolist()
    else:
        assert other.labels is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, -2.5, "ü", True, ("a", ("b", 3), None), {}],
        {("x", 1): [float("inf")], None: {"nested": ()}},
        {"a": 0.1 + 0.2, "b": 2**63 - 1},
    ],
)
def test_plain_values_come_back_with_their_types(value):
    loaded = through_a_file(value)
    assert loaded == value
    assert repr(loaded) == repr(value)


def test_object_arrays_hold_labels_of_any_kind():
    labels = np.empty(3, dtype=object)
    labels[:] = [("a", 1), ("b", 2), "c"]
    assert through_a_file(labels).tolist() == [("a", 1), ("b", 2), "c"]


def test_what_cannot_be_dumped_is_refused():
    with pytest.raises(TypeError, match="a Samples cannot be dumped"):
        dump([Samples(np.zeros((1, 1)))])
    with pytest.raises(TypeError, match="a set cannot be dumped"):
        dump({"a": {1}})


def test_what_was_not_dumped_is_refused():
    with pytest.raises(ValueError, match="'system' is nothing that is dumped"):
        load('["system", []]', {})
    with pytest.raises(KeyError, match="array0"):
        load('["array", "array0"]', {})
