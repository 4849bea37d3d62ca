from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.estimators import Reservoir, Samples


def stream(lengths, dimension=3):
    """Yield (features, labels, utterance), where the first feature tells every row apart."""
    start = 0
    for name, length in lengths.items():
        rows = np.zeros((length, dimension))
        rows[:, 0] = np.arange(start, start + length)
        yield rows, [f"{name}-{i % 2}" for i in range(length)], name
        start += length


def rows_of(samples):
    return samples.features[:, 0].astype(int).tolist()


def draw(capacity, lengths, seed=0):
    reservoir = Reservoir(capacity, seed)
    for batch in stream(lengths):
        reservoir.update(*batch)
    return reservoir.samples()


LENGTHS = {f"u{i}": 5 + 7 * i for i in range(12)}


def test_everything_is_kept_when_there_is_room():
    samples = draw(1000, LENGTHS)
    assert sorted(rows_of(samples)) == list(range(sum(LENGTHS.values())))


def test_labels_and_groups_stay_with_their_rows():
    samples = draw(40, LENGTHS)
    truth = {}
    for features, labels, name in stream(LENGTHS):
        for row, label in zip(features[:, 0], labels, strict=True):
            truth[int(row)] = (label, name)
    for row, label, group in zip(rows_of(samples), samples.labels, samples.groups, strict=True):
        assert truth[row] == (label, group)


def test_every_utterance_has_its_share():
    samples = draw(40, LENGTHS)
    assert len(samples) == 40
    counts = [list(samples.groups).count(name) for name in LENGTHS]
    assert set(counts) <= {3, 4}  # 40 of 12 utterances


def test_short_utterances_leave_their_share_to_others():
    samples = draw(20, {"short": 2, "long": 100, "longer": 500})
    assert sorted(list(samples.groups).count(name) for name in ("short", "long", "longer")) == [2, 9, 9]


@pytest.mark.parametrize("capacity", [1, 5, 40, 200])
def test_batching_does_not_matter(capacity):
    whole = draw(capacity, LENGTHS)
    rng = np.random.default_rng(1)
    reservoir = Reservoir(capacity, 0)
    features, labels, groups = [], [], []
    for rows, names, utterance in stream(LENGTHS):
        features.append(rows)
        labels += names
        groups += [utterance] * len(rows)
    everything = np.concatenate(features)
    cuts = np.sort(rng.integers(0, len(labels), 30))
    for rows in np.split(np.arange(len(labels)), cuts):
        reservoir.update(everything[rows], [labels[i] for i in rows], [groups[i] for i in rows])
    np.testing.assert_array_equal(reservoir.samples().features, whole.features)
    assert list(reservoir.samples().labels) == list(whole.labels)


def test_order_of_utterances_does_not_matter():
    reservoir = Reservoir(40, 0)
    for batch in reversed(list(stream(LENGTHS))):
        reservoir.update(*batch)
    np.testing.assert_array_equal(reservoir.samples().features, draw(40, LENGTHS).features)


def test_bounded_run_equals_the_definition():
    # rank by key in the group, then the groups' own keys: what unbounded memory would choose
    unbounded = Reservoir(10_000, 0)
    for batch in stream(LENGTHS):
        unbounded.update(*batch)
    everything = unbounded.samples()
    assert rows_of(everything.subsample(40, 0)) == rows_of(draw(40, LENGTHS))


def test_groups_without_a_chance_are_forgotten_and_may_come_again():
    # 300 utterances for 20 places, every one in two halves, far apart
    halves = [list(stream({f"u{i}": 3 for i in range(300)})), list(stream({f"u{i}": 4 for i in range(300)}))]
    reservoir, unbounded = Reservoir(20, 0), Reservoir(10_000, 0)
    for half in halves:
        for number, (features, labels, name) in enumerate(half):
            features[:, 1] = number
            reservoir.update(features, labels, name)
            unbounded.update(features, labels, name)
    assert len(reservoir._names) <= 2 * 20
    assert len(reservoir._seen) <= 2 * 20
    chosen, expected = reservoir.samples(), unbounded.samples().subsample(20, 0)
    np.testing.assert_array_equal(chosen.features, expected.features)
    assert chosen.groups.tolist() == expected.groups.tolist()


def test_reading_in_between_changes_nothing():
    reservoir = Reservoir(40, 0)
    for batch in stream(LENGTHS):
        reservoir.update(*batch)
        reservoir.samples()
    np.testing.assert_array_equal(reservoir.samples().features, draw(40, LENGTHS).features)


def test_seed_decides():
    assert rows_of(draw(40, LENGTHS, seed=0)) == rows_of(draw(40, LENGTHS, seed=0))
    assert rows_of(draw(40, LENGTHS, seed=0)) != rows_of(draw(40, LENGTHS, seed=1))


def test_rows_of_an_utterance_are_drawn_evenly():
    hits = np.zeros(50)
    for seed in range(400):
        hits[rows_of(draw(10, {"u": 50}, seed))] += 1
    # 400 draws of 10 in 50: 80 expected for each row, standard deviation 8
    assert abs(hits - 80).max() < 5 * 8


def test_layers_keep_the_same_rows():
    first, second = Reservoir(20, 0), Reservoir(20, 0)
    for rows, labels, name in stream(LENGTHS):
        first.update(rows, labels, name)
        second.update(np.repeat(rows, 2, axis=1).astype(np.float32), labels, name)
    assert rows_of(first.samples()) == rows_of(second.samples())


def test_layers_in_one_reservoir_are_those_of_one_each():
    together, first, second = Reservoir(20, 0), Reservoir(20, 0), Reservoir(20, 0)
    for rows, labels, name in stream(LENGTHS):
        wide = np.repeat(rows, 2, axis=1).astype(np.float32)
        first.update(rows, labels, name)
        second.update(wide, labels, name)
        together.update_layers([rows, wide], labels, name)
    for found, alone in zip(together.samples_of_layers(), (first, second), strict=True):
        np.testing.assert_array_equal(found.features, alone.samples().features)
        assert found.features.dtype == alone.samples().features.dtype
        assert rows_of(found) == rows_of(alone.samples())
    with pytest.raises(ValueError, match="layers has 1 of them, 2 were expected"):
        together.update_layers([rows], labels, name)
    with pytest.raises(ValueError, match=r"layers have \[1, 2\] rows"):
        together.update_layers([rows[:1], wide[:2]], labels[:1], name)


def test_without_groups_or_labels():
    reservoir = Reservoir(4)
    reservoir.update(torch.arange(20.0).reshape(10, 2))
    samples = reservoir.samples()
    assert len(samples) == 4
    assert samples.labels is None
    assert samples.groups is None


def test_what_is_kept_is_a_copy():
    rows = np.ones((3, 2))
    reservoir = Reservoir(10)
    reservoir.update(rows, None, "u")
    rows[:] = 0
    np.testing.assert_array_equal(reservoir.samples().features, np.ones((3, 2)))


def test_tensors():
    reservoir = Reservoir(5)
    for rows, labels, name in stream(LENGTHS):
        reservoir.update(torch.as_tensor(rows), labels, name)
    assert rows_of(reservoir.samples()) == rows_of(draw(5, LENGTHS))


def test_bad_input():
    with pytest.raises(ValueError, match="capacity is 0"):
        Reservoir(0)
    with pytest.raises(ValueError, match="no samples have been offered"):
        Reservoir(3).samples()
    reservoir = Reservoir(3)
    reservoir.update(np.zeros((2, 2)), [0, 1], "u")
    with pytest.raises(ValueError, match="labels were given with some batches only"):
        reservoir.update(np.zeros((2, 2)), None, "v")
    with pytest.raises(ValueError, match="dimension 3, 2 was expected"):
        reservoir.update(np.zeros((2, 3)), [0, 1], "v")
    with pytest.raises(ValueError, match=r"features\[0, 1\] is nan"):
        reservoir.update([[0.0, np.nan]], [0], "v")
    with pytest.raises(ValueError, match="group has 1 values, features 2 rows"):
        reservoir.update(np.zeros((2, 2)), [0, 1], ["v"])


def test_samples_are_checked():
    with pytest.raises(ValueError, match=r"features\[1, 0\] is inf"):
        Samples.of([[0.0], [np.inf]])
    with pytest.raises(ValueError, match="labels has 1 values"):
        Samples.of(np.zeros((2, 1)), ["a"])
    with pytest.raises(ValueError, match="the samples have no labels"):
        Samples.of(np.zeros((2, 1))).encoded_labels()
    with pytest.raises(ValueError, match="the samples have no groups"):
        Samples.of(np.zeros((2, 1))).encoded_groups()
    assert Samples.of(np.zeros((2, 1)), [("a", 1), ("b",)]).encoded_labels()[0] == [("a", 1), ("b",)]
