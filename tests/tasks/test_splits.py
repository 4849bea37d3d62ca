from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretune.tasks.errors import InputError
from foretune.tasks.splits import grouped_split

# by hand


def test_of_four_balanced_speakers_one_is_tested() -> None:
    speakers = [speaker for speaker in "ABCD" for _ in range(4)]
    emotions = ["joy", "joy", "fear", "fear"] * 4
    test = grouped_split(speakers, emotions, test_fraction=0.25)
    assert test.dtype == bool
    assert test.sum() == 4
    assert len({speaker for speaker, chosen in zip(speakers, test, strict=True) if chosen}) == 1


def test_the_speaker_who_alone_has_a_class_stays_in_training() -> None:
    speakers = ["A"] * 4 + ["B"] * 4 + ["C"] * 4
    emotions = ["joy", "fear"] * 4 + ["joy", "fear", "awe", "awe"]
    for seed in range(20):
        test = grouped_split(speakers, emotions, test_fraction=0.34, seed=seed)
        assert not test[8:].any()
        assert test[:8].sum() == 4


def test_a_split_with_every_class_in_the_test_part_is_found_among_many_without() -> None:
    # only the last 4 of 30 speakers have both classes
    speakers = [f"{number:02}" for number in range(30) for _ in range(2)]
    emotions = ["joy", "joy"] * 26 + ["joy", "fear"] * 4
    test = grouped_split(speakers, emotions, test_fraction=0.1)
    chosen = Counter(emotion for emotion, tested in zip(emotions, test, strict=True) if tested)
    assert set(chosen) == {"joy", "fear"}


# invariants


@st.composite
def grouped_rows(draw: st.DrawFn) -> tuple[list[str], list[str], float, int]:
    size = draw(st.integers(2, 40))
    groups = draw(st.lists(st.sampled_from("ABCDEFGH"), min_size=size, max_size=size))
    labels = draw(st.lists(st.sampled_from("xyz"), min_size=size, max_size=size))
    return groups, labels, draw(st.floats(0.05, 0.9)), draw(st.integers(0, 5))


@settings(max_examples=60, deadline=None)
@given(grouped_rows())
def test_whatever_the_rows_a_split_is_fair_or_refused(
    case: tuple[list[str], list[str], float, int],
) -> None:
    groups, labels, fraction, seed = case
    try:
        test = grouped_split(groups, labels, test_fraction=fraction, seed=seed)
    except InputError:
        classes_of = {
            group: {y for g, y in zip(groups, labels, strict=True) if g == group} for group in groups
        }
        held_by = Counter(label for classes in classes_of.values() for label in classes)
        # refused rightly: each group alone holds some class, or there is one group only
        assert len(classes_of) == 1 or all(min(held_by[y] for y in ys) == 1 for ys in classes_of.values())
        return
    sides = [set(np.asarray(groups)[test == side]) for side in (True, False)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert set(np.asarray(labels)[test]) <= set(np.asarray(labels)[~test])


@settings(max_examples=20, deadline=None)
@given(grouped_rows())
def test_without_labels_groups_stay_whole(case: tuple[list[str], list[str], float, int]) -> None:
    groups, _, fraction, seed = case
    if len(set(groups)) == 1:
        return
    test = grouped_split(groups, None, test_fraction=fraction, seed=seed)
    assert 0 < test.sum() < len(groups)
    assert not set(np.asarray(groups)[test]) & set(np.asarray(groups)[~test])


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    groups = [str(number) for number in range(60)]
    labels = ["x", "y"] * 30
    first = grouped_split(groups, labels, seed=1)
    np.testing.assert_array_equal(first, grouped_split(groups, labels, seed=1))
    assert (first != grouped_split(groups, labels, seed=2)).any()


def test_names_of_groups_and_labels_do_not_matter() -> None:
    groups = [f"g{number % 12:02}" for number in range(60)]
    labels = [f"l{number % 5}" for number in range(60)]
    renamed = grouped_split([f"speaker {g}" for g in groups], [f"class {y}" for y in labels])
    np.testing.assert_array_equal(grouped_split(groups, labels), renamed)


def test_single_recordings_are_split_in_the_classes_own_shares() -> None:
    labels = ["x"] * 80 + ["y"] * 20
    test = grouped_split([str(number) for number in range(100)], labels, test_fraction=0.25)
    assert (test[:80].sum(), test[80:].sum()) == (20, 5)


# limits


def test_two_groups_are_enough() -> None:
    test = grouped_split(["A", "A", "B"], ["x", "x", "x"], test_fraction=0.9)
    assert 0 < test.sum() < 3


# errors


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, float("nan")])
def test_the_test_fraction_lies_between_0_and_1(fraction: float) -> None:
    with pytest.raises(InputError, match="give a number between 0 and 1"):
        grouped_split(["A", "B"], ["x", "x"], test_fraction=fraction)


@pytest.mark.parametrize("groups", [[], ["A"], ["A", "A"]])
def test_one_group_cannot_be_kept_apart(groups: list[str]) -> None:
    with pytest.raises(InputError, match="at least two groups"):
        grouped_split(groups, ["x"] * len(groups))


def test_two_speakers_without_a_common_class_cannot_be_split() -> None:
    with pytest.raises(InputError, match="every split would test a class that training lacks"):
        grouped_split(["A", "A", "B", "B"], ["x", "x", "y", "y"])


def test_groups_and_labels_pair_up() -> None:
    with pytest.raises(ValueError, match="3 groups but 2 labels"):
        grouped_split(["A", "B", "C"], ["x", "y"])
