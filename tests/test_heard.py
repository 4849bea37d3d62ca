"""Passes over source speech that several tasks share: made once, and nothing changes by that."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from foretune import heard as passes
from foretune.heard import Heard
from foretune.scoring import prepare
from foretune.tasks import get_task
from foretune.tasks.utterance import Span, TaskData, Utterance

ESTIMATORS = ["sliced_wasserstein", "otce"]  # the latter compares labels of source and target
FRAME = 0.01  # seconds


def speech(names):
    rng = np.random.default_rng(0)
    return [
        Utterance(
            name,
            (900 * rng.standard_normal(160 * (6 + number % 4))).astype(np.int16),
            text=f"text{number % 3}",
            speaker=f"s{number % 4}",
            emotion="ab"[number % 2],
            phones=tuple(Span(FRAME * k, FRAME * (k + 1), "xyz"[(k + number) % 3]) for k in range(5)),
        )
        for number, name in enumerate(names)
    ]


@pytest.fixture
def data():
    utterances = speech([f"u{number}" for number in range(12)])
    source = speech([f"p{number}" for number in range(8)])
    return TaskData("any", "local", "f" * 12, utterances, (), source)


def sources(candidate, data, tasks, heard):
    return [prepare(candidate, get_task(task), data, ESTIMATORS, heard=heard).source for task in tasks]


@pytest.mark.parametrize(
    ("tasks", "passes"),
    [
        (
            ("emotion_recognition", "speaker_identification", "emotion_recognition"),
            1,
        ),  # labels, groups differ
        (("asr", "asr"), 1),
        (("emotion_recognition", "asr"), 2),  # frames are not kept for the sake of other tasks
    ],
)
def test_tasks_share_a_pass_and_nothing_else_changes(frame_statistics, data, tasks, passes):
    alone, sharing = frame_statistics(), frame_statistics()
    expected = [sources(alone, data, [task], None)[0] for task in tasks]
    found = sources(sharing, data, tasks, Heard())
    assert alone.seen == len(tasks) * (12 + 8)
    assert sharing.seen == len(tasks) * 12 + passes * 8
    for one, other in zip(expected, found, strict=True):
        assert (one.utterances, one.rows) == (other.utterances, other.rows)
        assert other.forward_seconds > 0
        for mine, theirs in zip(one.samples, other.samples, strict=True):
            assert np.array_equal(mine.features, theirs.features)
            assert list(mine.labels) == list(theirs.labels)
            assert list(mine.groups) == list(theirs.groups)


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_other_speech_weights_or_labels_of_frames_are_heard_by_themselves(frame_statistics, data, task):
    heard, candidate = Heard(), frame_statistics()
    other = frame_statistics()
    other.revision = "1" * 12
    sources(candidate, data, [task], heard)
    sources(other, data, [task], heard)
    assert other.seen == 12 + 8
    louder = [dataclasses.replace(each, audio=each.audio * 2) for each in data.source]
    sources(candidate, dataclasses.replace(data, source=louder), [task], heard)
    assert candidate.seen == 2 * (12 + 8)
    spans = [dataclasses.replace(each, phones=each.phones[:3]) for each in data.source]
    (found,) = sources(candidate, dataclasses.replace(data, source=spans), [task], heard)
    assert candidate.seen == 3 * 12 + (2 if task == "emotion_recognition" else 3) * 8
    assert found.rows == (8 if task == "emotion_recognition" else 3 * 8)


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_what_takes_too_much_memory_is_forgotten(frame_statistics, data, task, monkeypatch):
    monkeypatch.setattr(passes, "HELD_BYTES", 1)
    heard, first, second = Heard(), frame_statistics("first"), frame_statistics("second")
    for candidate in (first, first, second, second, first):  # the last one that was heard is kept
        sources(candidate, data, [task], heard)
    assert (first.seen, second.seen) == (3 * 12 + 2 * 8, 2 * 12 + 8)
