"""Samples: groups are what the test part must not share with training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.alignment import Labelling, label_frames
from foretune.extraction import extract
from foretune.sampling import target_sampler
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span, TaskData, Utterance


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


def spoken(frames_of):
    """Return utterances of 10 ms frames, each labelled as told by a string of letters, a dash for silence."""
    made = []
    for name, letters in frames_of.items():
        rng = np.random.default_rng(len(made))
        phones = tuple(
            Span(0.01 * place, 0.01 * (place + 1), letter)
            for place, letter in enumerate(letters)
            if letter != "-"
        )
        samples = (1000 * rng.standard_normal(160 * len(letters))).astype(np.int16)
        made.append(Utterance(name, samples, text="x", phones=phones))
    return made


def sampled(utterances, candidate, **how):
    sampler = target_sampler(get_task("asr"), utterances, Labelling(**how))
    (batch,) = extract(candidate, utterances)
    rows = sampler.rows(candidate, batch)
    return rows, rows.select(batch.states.layers[1]), batch


def test_every_so_many_labelled_frames_of_each_utterance(frame_statistics):
    utterances = spoken({"long": "aab-bbcc", "short": "-xyz"})
    rows, features, _ = sampled(utterances, frame_statistics(), frame_stride=3)
    # of aabbbcc the first, fourth and seventh, of xyz the first
    assert rows.labels.tolist() == ["a", "b", "c", "x"]
    assert rows.groups.tolist() == ["long"] * 3 + ["short"]
    every, all_features, _ = sampled(utterances, frame_statistics())
    assert every.labels.tolist() == list("aabbbccxyz")
    np.testing.assert_array_equal(features, all_features[[0, 3, 6, 7]])


def test_the_mean_of_an_utterances_frames_with_one_label(frame_statistics):
    utterances = spoken({"long": "aab-baac", "short": "-bbaa"})
    rows, features, _ = sampled(utterances, frame_statistics(), unit="utterance")
    pairs = list(zip(rows.groups.tolist(), rows.labels.tolist(), strict=True))
    assert sorted(pairs) == [("long", "a"), ("long", "b"), ("long", "c"), ("short", "a"), ("short", "b")]
    every, all_features, _ = sampled(utterances, frame_statistics())
    for pair, mean in zip(pairs, features, strict=True):
        own = (every.groups == pair[0]) & (every.labels == pair[1])
        np.testing.assert_allclose(mean, all_features[torch.from_numpy(own)].mean(dim=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"frame_stride": 0}, "--frame-stride 0: give 1 for every frame"),
        ({"unit": "word"}, "--unit word: give frame"),
    ],
)
def test_what_a_sample_cannot_be(how, message):
    with pytest.raises(InputError, match=message):
        label_frames(get_task("asr"), TaskData("asr", "local", "a" * 12, spoken({"u": "ab"}), []), **how)
