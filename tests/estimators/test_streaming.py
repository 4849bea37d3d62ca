"""Scores from a stream equal scores of the whole: any batches, any order, any shards, either precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.estimators import ESTIMATORS, Inputs, Moments, Reservoir, Samples

STREAMED = 1e-10
SINGLE_PRECISION = 1e-5
FROM_MOMENTS = [name for name in ESTIMATORS if "moments" in ESTIMATORS[name].needs]
FROM_SAMPLES = ["knn", "lda", "nleep", "sfda", "parc", "pactran"]


def moments_like(name, dimension):
    needs = ESTIMATORS[name].needs
    return Moments(dimension, grouped="groups" in needs, max_groups=None, class_gram="class_gram" in needs)


def update(moments, case, rows, dtype=np.float64):
    moments.update(
        case.features[rows].astype(dtype),
        case.labels[rows],
        case.groups[rows] if moments.grouped else None,
    )


def shards_of(name, case, parts, dtype=np.float64):
    shards = []
    for rows in parts:
        shards.append(moments_like(name, case.features.shape[1]))
        update(shards[-1], case, rows, dtype)
    return shards


def score(name, moments):
    return ESTIMATORS[name].score(Inputs(moments=moments))


def whole(name, case):
    return score(name, shards_of(name, case, [np.arange(len(case.labels))])[0])


@pytest.mark.parametrize("sizes", [1, 7, 39])
@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_any_batches_in_any_order(name, case, sizes):
    order = np.random.default_rng(sizes).permutation(len(case.labels))
    moments = moments_like(name, case.features.shape[1])
    for start in range(0, len(order), sizes):
        update(moments, case, order[start : start + sizes])
    np.testing.assert_allclose(score(name, moments), whole(name, case), rtol=STREAMED)


@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_any_shards(name, case):
    order = np.random.default_rng(1).permutation(len(case.labels))
    # by samples; by speakers; and by classes, so that no shard has two
    by_group = [np.flatnonzero(case.groups == group) for group in np.unique(case.groups)]
    by_class = [np.flatnonzero(case.labels == label) for label in np.unique(case.labels)]
    for parts in (np.array_split(order, 5), by_group, by_class):
        first, *rest = shards_of(name, case, parts)
        for shard in reversed(rest):
            first = shard + first
        np.testing.assert_allclose(score(name, first), whole(name, case), rtol=STREAMED)


@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_what_was_added_can_be_taken_out(name, tall):
    half = np.arange(len(tall.labels)) < 60
    first, second = shards_of(name, tall, [np.flatnonzero(half), np.flatnonzero(~half)])
    np.testing.assert_allclose(score(name, (first + second) - second), score(name, first), rtol=1e-9)


@pytest.mark.parametrize("name", FROM_MOMENTS)
def test_single_precision_batches(name, case):
    parts = np.array_split(np.arange(len(case.labels)), 4)
    first, *rest = shards_of(name, case, parts, dtype=np.float32)
    for shard in rest:
        first = first + shard
    np.testing.assert_allclose(score(name, first), whole(name, case), rtol=SINGLE_PRECISION)


@pytest.mark.parametrize("name", FROM_SAMPLES)
def test_a_reservoir_gives_the_same_score_for_any_batches(name, case):
    scores = []
    for cuts in ([], [5, 6, 21], list(range(1, 40))):
        reservoir = Reservoir(30, seed=1)
        for rows in np.split(np.arange(len(case.labels)), cuts):
            reservoir.update(case.features[rows], case.labels[rows], case.groups[rows])
        scores.append(ESTIMATORS[name].score(Inputs(samples=reservoir.samples())))
    assert scores[0] == scores[1] == scores[2]


# not NLEEP, whose mixture starts from rows by their place: the reservoir sorts them by group
@pytest.mark.parametrize("name", [name for name in FROM_SAMPLES if name != "nleep"])
def test_a_reservoir_with_room_gives_the_score_of_all(name, tall):
    reservoir = Reservoir(1000)
    reservoir.update(tall.features, tall.labels, tall.groups)
    expected = ESTIMATORS[name].score(Inputs(samples=Samples.of(tall.features, tall.labels, tall.groups)))
    kept = ESTIMATORS[name].score(Inputs(samples=reservoir.samples()))
    np.testing.assert_allclose(kept, expected, rtol=1e-9)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_moments_of_any_partition(data):
    """Batches of any sizes, dealt out to any shards, merged in any order, about whatever mean comes first."""
    rows, dimension = data.draw(st.integers(2, 30)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    features = rng.standard_normal((rows, dimension)) * 10.0 ** data.draw(st.integers(-8, 8))
    features += data.draw(st.sampled_from([0.0, 1.0, 100.0])) * np.abs(features).max()
    labels, groups = rng.integers(0, 4, rows), rng.integers(0, 3, rows)
    whole = Moments.of(features, labels, groups, max_groups=None, class_gram=True)

    shards = [
        Moments(dimension, grouped=True, max_groups=None, class_gram=True)
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    order, start = rng.permutation(rows), 0
    while start < rows:
        batch = order[start : start + data.draw(st.integers(1, rows))]
        shards[rng.integers(len(shards))].update(features[batch], labels[batch], groups[batch])
        start += len(batch)
    merged = shards[0]
    for i in rng.permutation(np.arange(1, len(shards))):
        merged = merged + shards[i]

    assert (merged.n, merged.classes, merged.groups) == (whole.n, whole.classes, whole.groups)
    size = np.abs(features).max()
    powers = {"mean": 1, "sums": 1, "centred_sums": 1, "second_moments": 2, "gram": 2, "scatter": 2}
    for name, power in (powers | {"fourth_moment": 4}).items():
        tolerance = STREAMED * rows * size**power * dimension ** (power / 2)
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=0, atol=tolerance)
