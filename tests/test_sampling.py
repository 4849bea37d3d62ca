"""Samples: groups are what the test part must not share with training."""

from __future__ import annotations

import numpy as np
import pytest

from foretune.extraction import extract
from foretune.sampling import target_sampler
from foretune.tasks import get_task
from foretune.tasks.utterance import Utterance


@pytest.mark.parametrize(
    ("task", "groups"),
    [
        ("emotion_recognition", {"anna", "ben"}),  # test speakers are unseen
        ("speaker_identification", {"go", "stop"}),  # test sentences are unseen: never a class of its own
    ],
)
def test_groups_follow_the_split_of_the_task(task, groups, frame_statistics):
    samples = np.arange(1600, dtype=np.int16)
    utterances = [
        Utterance(f"{speaker}-{text}", samples, text=text, speaker=speaker, emotion=emotion)
        for speaker, emotion in (("anna", "joy"), ("ben", "fear"))
        for text in ("go", "stop")
    ]
    sampler = target_sampler(get_task(task), utterances)
    (batch,) = extract(frame_statistics(), utterances)
    assert set(sampler.rows(frame_statistics(), batch).groups) == groups


def test_an_utterance_without_the_column_is_a_group_of_its_own(frame_statistics):
    samples = np.arange(1600, dtype=np.int16)
    utterances = [Utterance(name, samples, emotion=name) for name in ("one", "two")]
    sampler = target_sampler(get_task("emotion_recognition"), utterances)
    (batch,) = extract(frame_statistics(), utterances)
    assert set(sampler.rows(frame_statistics(), batch).groups) == {"one", "two"}
