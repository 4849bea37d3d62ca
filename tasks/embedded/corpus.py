"""The seeded corpora: what the zoo is pre-trained on, and the data of each task.

Speakers, voices and sentences of pre-training never appear in a task.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import signal

from ..utterance import Span, TaskData, Utterance
from .acoustics import draw_channel, record
from .emotions import ACTED, MILD, RULES, Prosody, express
from .espeak import Espeak, Speech
from .grammar import Half, sentences
from .voices import Speaker, speakers

VERSION = 1
"""Raised when a change alters the samples; part of every corpus's seeds."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a speaker says, and how.

    Attributes:
        speaker: who.
        text: what.
        emotion: with which emotion; None for none in particular.
        seed: draws prosody, room, microphone and noise.
        strength: bounds of the emotion's strength.
    """

    speaker: Speaker
    text: str
    emotion: str | None
    seed: tuple[int, ...]
    strength: tuple[float, float] = MILD


def speak(lines: Iterable[Line]) -> list[Utterance]:
    """Speak lines, each speaker's in order with a freshly loaded espeak-ng.

    Args:
        lines: any number, of any speakers.

    Returns:
        The utterances in the order of `lines`, with true times of words and phones.

    Raises:
        InputError: espeak-ng is not installed.
    """
    ordered = list(lines)
    of_speaker: dict[Speaker, list[int]] = {}
    for index, line in enumerate(ordered):
        of_speaker.setdefault(line.speaker, []).append(index)
    spoken: dict[int, Utterance] = {}
    for indices in of_speaker.values():
        with Espeak() as voice:
            for index in indices:
                spoken[index] = _utter(voice, ordered[index])
    return [spoken[index] for index in range(len(ordered))]


def _utter(voice: Espeak, line: Line) -> Utterance:
    rng = np.random.default_rng((VERSION, *line.seed))
    speaker = line.speaker
    prosody = express(line.emotion or "neutral", rng, line.strength)
    speech = voice.say(
        line.text,
        f"en-us+{speaker.variant}",
        # resampling by the factor of the formants moves pitch and rate with them
        rate=speaker.rate * prosody.rate / speaker.formants,
        pitch=_espeak_pitch(speaker, prosody),
        pitch_range=50 * speaker.pitch_range * prosody.pitch_range,
    )
    down = round(441 * speaker.formants)
    scale = 441 / down  # seconds in the result per second that espeak spoke
    samples = signal.resample_poly(speech.samples.astype(np.float64), 320, down)
    audio = record(samples, draw_channel(rng), rng, loudness=prosody.loudness)
    words, phones = _spans(speech, scale)
    return Utterance(
        id="-".join([speaker.name, *(str(part) for part in line.seed[1:])]),
        audio=audio,
        text=line.text,
        speaker=speaker.name,
        emotion=line.emotion,
        words=words,
        phones=phones,
    )


def _espeak_pitch(speaker: Speaker, prosody: Prosody) -> float:
    """Return espeak's pitch: 50 is the voice's own, and 50 more about an octave higher."""
    return 50 + 50 * (speaker.pitch + prosody.pitch - math.log2(speaker.formants))


def _spans(speech: Speech, scale: float) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    words = tuple(Span(span.start * scale, span.end * scale, span.label) for span in speech.words)
    phones = tuple(
        Span(span.start * scale, span.end * scale, span.label.strip("ˈˌ")) for span in speech.phones
    )
    return words, tuple(span for span in phones if span.label)


def revision(*parts: Sequence[Utterance]) -> str:
    """Return 12 hexadecimal digits over samples and labels of utterances."""
    digest = hashlib.sha256()
    for part in parts:
        for utterance in part:
            labels = (utterance.id, utterance.text, utterance.speaker, utterance.emotion)
            digest.update(repr(labels).encode())
            digest.update(np.asarray(utterance.audio).tobytes())
        digest.update(b"|")
    return digest.hexdigest()[:12]


def pretraining_corpus(utterances: int, *, seed: int = 0) -> list[Utterance]:
    """Return speech for pre-training: 80 speakers with any prosody, half of the grammar's sentences.

    Args:
        utterances: how many; about two seconds each.
        seed: draws everything; the first utterances of a longer corpus are not those of a shorter.
    """
    rng = np.random.default_rng((VERSION, 1, seed))
    people = speakers("pretraining", 80)
    texts = _texts(utterances, "pretraining", rng)
    emotions = list(RULES)
    return speak(
        Line(people[index % len(people)], text, emotions[rng.integers(len(emotions))], (1, seed, index))
        for index, text in enumerate(texts)
    )


def _texts(count: int, part: Half, rng: np.random.Generator) -> list[str]:
    """Draw sentences, different ones as far as they go without a long search."""
    different = sentences(min(count, 5000), part, rng)
    return [different[index % len(different)] for index in range(count)]


@functools.cache
def source_speech() -> tuple[Utterance, ...]:
    """Return a sample of the pre-training speech, for estimators that compare source and target."""
    return tuple(pretraining_corpus(240, seed=0))


@functools.cache
def asr_data() -> TaskData:
    """Return ASR's data: 24 speakers on both sides, test sentences never heard in training."""
    rng = np.random.default_rng((VERSION, 2))
    people = speakers("asr", 24)
    lines = [
        Line(people[index % len(people)], text, None, (2, index))
        for index, text in enumerate(sentences(624, "tasks", rng))
    ]
    utterances = speak(lines)
    return _task_data("asr", utterances[:480], utterances[480:])


@functools.cache
def speaker_identification_data() -> TaskData:
    """Return speaker identification's data: 48 speakers who share 36 voices; test sentences unseen.

    Every utterance has its own room, microphone and noise, so that a speaker is not a channel.
    """
    rng = np.random.default_rng((VERSION, 3))
    people = speakers("speaker_identification", 48)
    texts = sentences(40, "tasks", rng)
    train = [
        Line(person, text, None, (3, who, which))
        for who, person in enumerate(people)
        for which, text in _some(texts[:28], 10, rng)
    ]
    test = [
        Line(person, text, None, (3, who, 100 + which))
        for who, person in enumerate(people)
        for which, text in _some(texts[28:], 10, rng)
    ]
    utterances = speak([*train, *test])
    return _task_data("speaker_identification", utterances[: len(train)], utterances[len(train) :])


@functools.cache
def emotion_recognition_data() -> TaskData:
    """Return emotion recognition's data: six emotions, 20 speakers in training, 20 others in test."""
    rng = np.random.default_rng((VERSION, 4))
    people = speakers("emotion_recognition", 40)
    texts = sentences(60, "tasks", rng)
    lines = [
        [
            Line(person, text, emotion, (4, who, number, which), ACTED)
            for number, emotion in enumerate(RULES)
            for which, text in _some(texts, 4, rng)
        ]
        for who, person in enumerate(people)
    ]
    train = [line for person in lines[:20] for line in person]
    utterances = speak([line for person in lines for line in person])
    return _task_data("emotion_recognition", utterances[: len(train)], utterances[len(train) :])


def _some(texts: Sequence[str], count: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    return [(int(index), texts[index]) for index in rng.choice(len(texts), count, replace=False)]


def _task_data(task: str, train: Sequence[Utterance], test: Sequence[Utterance]) -> TaskData:
    return TaskData(
        task=task,
        suite="embedded",
        revision=revision(train, test),
        train=train,
        test=test,
        source=source_speech(),
    )
