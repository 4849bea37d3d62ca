"""Labels of frames on two grids, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from foretune.alignment import SILENCE, STAR, frame_labels
from foretune.alignment.labels import check_silence
from foretune.models.frame_grid import FrameGrid
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span

SPANS = (Span(0.03, 0.07, "a"), Span(0.07, 0.10, "b"), Span(0.13, 0.17, "c"))
FINE = FrameGrid(stride=320, receptive_field=400)  # centres at 12.5, 32.5, 52.5, … ms
COARSE = FrameGrid(stride=640, receptive_field=1040, offset=-520)  # centres at 0, 40, 80, … ms


def test_a_frame_has_the_label_at_its_centre():
    assert frame_labels(SPANS, FINE.centres(9)) == [None, "a", "a", "b", "b", None, "c", "c", None]
    assert frame_labels(SPANS, COARSE.centres(5)) == [None, "a", "b", None, "c"]


def test_silence_as_its_own_class():
    expected = [SILENCE, "a", "b", SILENCE, "c"]
    assert frame_labels(SPANS, COARSE.centres(5), "own-class") == expected


def test_silence_goes_to_the_nearest_span():
    # 12.5 is before all; 112.5 is 12.5 after b and 17.5 before c; 172.5 is after all
    assert frame_labels(SPANS, FINE.centres(9), "nearest") == list("aaabbb" + "ccc")
    assert frame_labels(SPANS, np.array([0.114, 0.116]), "nearest") == ["b", "c"]


def test_of_two_spans_as_near_the_earlier_counts():
    spans = (Span(0.0, 0.25, "a"), Span(0.75, 1.0, "b"))
    assert frame_labels(spans, np.array([0.5]), "nearest") == ["a"]


def test_spans_are_half_open():
    assert frame_labels(SPANS, np.array([0.03, 0.07, 0.10])) == ["a", "b", None]


@pytest.mark.parametrize("silence", ["drop", "own-class", "nearest"])
def test_frames_within_a_star_are_dropped(silence):
    spans = (Span(0.0, 0.1, "a"), Span(0.1, 0.2, STAR))
    assert frame_labels(spans, np.array([0.05, 0.15]), silence) == ["a", None]


@pytest.mark.parametrize(("silence", "label"), [("drop", None), ("own-class", SILENCE), ("nearest", None)])
def test_without_spans_all_is_silence(silence, label):
    assert frame_labels((), np.array([0.0, 1.0]), silence) == [label, label]


def test_an_unknown_policy_is_refused():
    with pytest.raises(InputError, match="--silence keep: give drop, own-class, nearest"):
        check_silence("keep")
