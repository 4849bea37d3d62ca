"""Speaker verification from speaker identification's test part."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from foretune.tasks import get_task
from foretune.tuning import Settings, fine_tune, verification


@pytest.fixture
def speakers(tones):
    """Data whose speakers are their tones."""
    parts = {
        part: [dataclasses.replace(each, speaker=each.emotion) for each in getattr(tones, part)]
        for part in ("train", "test")
    }
    return dataclasses.replace(tones, **parts)


IDENTIFICATION = get_task("speaker_identification")


def test_trials_by_hand(speakers):
    # speakers a, b, c, a: one pair of six is of one speaker, and only that is alike
    utterances = speakers.test[:4]
    assert [each.speaker for each in utterances] == ["a", "b", "c", "a"]
    apart = torch.tensor([[1.0, 0.0], [-1.0, 2.0], [-1.0, -2.0], [1.0, 0.0]])
    assert verification.verification(IDENTIFICATION, utterances, apart) == {"eer": 0.0}
    mixed = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    # the same speaker's pair is as unalike as three others, and two others are alike
    assert verification.verification(IDENTIFICATION, utterances, mixed)["eer"] > 0.5


def test_embeddings_may_be_shifted_and_scaled(speakers):
    embeddings = torch.randn(24, 5, generator=torch.Generator().manual_seed(1))
    wanted = verification.verification(IDENTIFICATION, speakers.test, embeddings)
    assert 0.2 < wanted["eer"] < 0.8
    assert verification.verification(IDENTIFICATION, speakers.test, 3 * embeddings + 7) == pytest.approx(
        wanted
    )


def test_many_trials_are_sampled(speakers, monkeypatch):
    embeddings = torch.randn(24, 5, generator=torch.Generator().manual_seed(1))
    everything = verification.verification(IDENTIFICATION, speakers.test, embeddings)["eer"]
    monkeypatch.setattr(verification, "MOST_TRIALS", 200)
    sampled = verification.verification(IDENTIFICATION, speakers.test, embeddings)["eer"]
    assert sampled == pytest.approx(everything, abs=0.1)


def test_without_pairs_of_both_kinds_there_is_none(speakers):
    assert verification.verification(IDENTIFICATION, speakers.test[:3], torch.randn(3, 2)) == {}
    alike = [each for each in speakers.test if each.speaker == "a"]
    assert verification.verification(IDENTIFICATION, alike, torch.randn(len(alike), 2)) == {}


def test_other_tasks_have_none(emotion, speakers):
    assert verification.verification(emotion, speakers.test, torch.randn(24, 2)) == {}


@pytest.mark.parametrize("protocol", ["layer", "single-layer", "probe"])
def test_a_run_of_speaker_identification_has_it(protocol, toy, speakers):
    settings = Settings(steps=40, head_steps=60, learning_rate=3e-3)
    record = fine_tune(toy, IDENTIFICATION, speakers, layer=3, protocol=protocol, settings=settings)
    assert record.metrics["accuracy"] > 0.9
    assert record.metrics["eer"] < 0.2
