"""The aligner that ships: its files, and its times on speakers and sentences that it never heard."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from foretune.alignment import align, align_text, load_aligner
from foretune.alignment.aligners import FOLDER
from foretune.models import names
from foretune.models.pretraining.alignment_speech import mixed_lines, true_words
from foretune.tasks.embedded.corpus import Line, speak
from foretune.tasks.embedded.grammar import half, sentences
from foretune.tasks.embedded.voices import speakers

MEDIAN, MOST = 0.020, 0.080  # seconds
UTTERANCES = 72


@pytest.fixture(scope="module")
def aligner():
    return load_aligner()


@pytest.fixture(scope="module")
def utterances():
    """Sentences of the tasks' half, by the speakers of recognition."""
    people = speakers("asr", 24)
    texts = sentences(UTTERANCES, "tasks", np.random.default_rng(5))
    lines = [Line(people[index % 24], text, None, (99, index)) for index, text in enumerate(texts)]
    return [each for each in speak(lines) if true_words(each)]


@pytest.fixture(scope="module")
def errors(aligner, utterances):
    """Signed errors of the beginnings and ends of words, in seconds, shape (2, words)."""
    made = align(utterances, aligner)
    assert len(made.left_out) < 4
    pairs = [
        (found.start - true.start, found.end - true.end)
        for each in utterances
        if each.id in made.of
        for found, true in zip(made.of[each.id].words, true_words(each), strict=True)
    ]
    return np.array(pairs).T


def test_speakers_and_sentences_were_not_heard_in_training(utterances):
    heard = mixed_lines(500, seed=0)
    variants = {
        person.variant for person in [*speakers("pretraining", 80), *(line.speaker for line in heard)]
    }
    assert not {person.variant for person in speakers("asr", 24)} & variants
    assert not {each.text for each in utterances} & {line.text for line in heard}
    assert all(half(str(each.text)) == "tasks" for each in utterances)


def test_boundaries_are_near_espeaks(errors):
    assert errors.size > 400
    assert np.median(np.abs(errors)) < MEDIAN
    assert np.quantile(np.abs(errors), 0.95) < MOST


def test_beginnings_and_ends_have_no_bias(errors):
    assert np.all(np.abs(np.median(errors, axis=1)) < MEDIAN / 2)


def test_a_wrong_transcript_has_less_confidence(aligner, utterances):
    right = [align_text("", each.waveform(), each.text, aligner).confidence for each in utterances[:30]]
    wrong = [
        align_text("", one.waveform(), other.text, aligner).confidence
        for one, other in zip(utterances[:30], utterances[30:60], strict=True)
        if len(other.text) < 1.3 * len(one.text)
    ]
    assert np.mean(np.array(right)[:, None] > np.array(wrong)) > 0.9


def test_a_long_recording_is_aligned_in_windows(aligner, utterances):
    parts = utterances[:20]
    made = align(parts, aligner, least_confidence=-100)
    joined = np.concatenate([each.waveform() for each in parts])
    assert len(joined) > 4 * 16_000 * aligner.window
    whole = align_text("all", joined, " ".join(each.text for each in parts), aligner)
    offsets = np.cumsum([0.0, *[len(each.waveform()) / 16_000 for each in parts[:-1]]])
    alone = [
        word.start + offset
        for each, offset in zip(parts, offsets, strict=True)
        for word in made.of[each.id].words
    ]
    away = np.abs(np.array([word.start for word in whole.words]) - alone)
    assert np.median(away) < MEDIAN
    assert np.quantile(away, 0.75) < MOST  # loudness changes from part to part, and words may swap sides


def test_it_is_no_candidate_and_its_card_tells_its_weights():
    assert "aligner" not in names()
    card = json.loads((FOLDER / "card.json").read_text())
    weights = (FOLDER / "model.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert len(weights) < 3_000_000
    assert card["cpu_seconds"] > 0
    assert len(card["curve"][0]) > 5
