"""The seeded corpora: what the zoo is pre-trained on, and the data of each task.

Speakers, voices and sentences of pre-training never appear in a task.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from ..utterance import SAMPLE_RATE, Span, TaskData, Utterance
from .acoustics import USUAL_NOISE, draw_channel, record
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
        language: the voice's language, as espeak-ng names it.
        noise: bounds of the signal-to-noise ratio, in dB.
        seconds: length of the recording, somewhere in which the speech is; None to begin and end with it.
    """

    speaker: Speaker
    text: str
    emotion: str | None
    seed: tuple[int, ...]
    strength: tuple[float, float] = MILD
    language: str = "en-us"
    noise: tuple[float, float] = USUAL_NOISE
    seconds: float | None = None


def speak(lines: Iterable[Line]) -> list[Utterance]:
    """Speak lines, each speaker's in order with a freshly loaded espeak-ng.

    While one is spoken, the one before it is recorded in a thread.

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
    spoken: dict[int, Future[Utterance]] = {}
    with ThreadPoolExecutor(max_workers=1) as recorder:
        for indices in of_speaker.values():
            with Espeak() as voice:
                for index in indices:
                    line = ordered[index]
                    rng = np.random.default_rng((VERSION, *line.seed))
                    prosody = express(line.emotion or "neutral", rng, line.strength)
                    speech = _say(voice, line, prosody)
                    spoken[index] = recorder.submit(_recorded, speech, line, prosody, rng)
        return [spoken[index].result() for index in range(len(ordered))]


def _say(voice: Espeak, line: Line, prosody: Prosody) -> Speech:
    speaker = line.speaker
    return voice.say(
        line.text,
        f"{line.language}+{speaker.variant}",
        # resampling by the factor of the formants moves pitch and rate with them
        rate=speaker.rate * prosody.rate / speaker.formants,
        pitch=_espeak_pitch(speaker, prosody),
        pitch_range=50 * speaker.pitch_range * prosody.pitch_range,
    )


def _recorded(speech: Speech, line: Line, prosody: Prosody, rng: np.random.Generator) -> Utterance:
    speaker = line.speaker
    down = round(441 * speaker.formants)
    scale = 441 / down  # seconds in the result per second that espeak spoke
    samples = signal.resample_poly(speech.samples.astype(np.float64), 320, down)
    channel = draw_channel(rng, line.noise)
    words, phones = _spans(speech, scale)
    if line.seconds is not None:
        samples, words, phones = _place(samples, words, phones, line.seconds, rng)
    audio = record(samples, channel, rng, loudness=prosody.loudness)
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


_Spans = tuple[Span, ...]


def _place(
    samples: NDArray[np.float64], words: _Spans, phones: _Spans, seconds: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], _Spans, _Spans]:
    """Place what lies between the first phone and the last one's end at random in silence.

    Where it is longer than `seconds` it alone remains.
    """
    first, last = round(phones[0].start * SAMPLE_RATE), round(phones[-1].end * SAMPLE_RATE)
    spoken = samples[first:last]
    silence = max(round(seconds * SAMPLE_RATE) - len(spoken), 0)
    before = int(rng.integers(silence + 1))
    shift, end = (before - first) / SAMPLE_RATE, (before + len(spoken)) / SAMPLE_RATE

    def shifted(spans: _Spans) -> _Spans:
        moved = (Span(max(s.start + shift, 0.0), min(s.end + shift, end), s.label) for s in spans)
        return tuple(span for span in moved if span.end > span.start)

    return np.pad(spoken, (before, silence - before)), shifted(words), shifted(phones)


def revision(*parts: Sequence[Utterance]) -> str:
    """Return 12 hexadecimal digits over samples and labels of utterances."""
    digest = hashlib.sha256()
    for part in parts:
        for utterance in part:
            labels = (utterance.id, utterance.text, utterance.speaker, utterance.emotion)
            digest.update(repr(labels).encode())
            more = (utterance.label, utterance.pronunciation, utterance.language)
            if any(label is not None for label in more):  # what tasks without them have hashed stays
                digest.update(repr(more).encode())
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
    return task_data("asr", utterances[:480], utterances[480:])


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
    return task_data("speaker_identification", utterances[: len(train)], utterances[len(train) :])


@functools.cache
def emotion_recognition_data() -> TaskData:
    """Return emotion recognition's data: six emotions, 20 speakers in training, 20 others in test.

    They are told apart so poorly that 480 test utterances, as many as in training, would leave the order
    of layers to chance; there are three times as many.
    """
    rng = np.random.default_rng((VERSION, 4))
    people = speakers("emotion_recognition", 40)
    texts = sentences(60, "tasks", rng)
    said = [[_some(texts, 4, rng) for _ in RULES] for _ in people]
    for by_emotion in said[20:]:
        for chosen in by_emotion:
            chosen.extend(_some(texts, 8, rng, but=[which for which, _ in chosen]))
    lines = [
        [
            Line(person, text, emotion, (4, who, number, which), ACTED)
            for number, emotion in enumerate(RULES)
            for which, text in said[who][number]
        ]
        for who, person in enumerate(people)
    ]
    train = [line for person in lines[:20] for line in person]
    utterances = speak([line for person in lines for line in person])
    return task_data("emotion_recognition", utterances[: len(train)], utterances[len(train) :])


def _some(
    texts: Sequence[str], count: int, rng: np.random.Generator, *, but: Sequence[int] = ()
) -> list[tuple[int, str]]:
    """Draw texts with their places, without those at some places."""
    places = np.setdiff1d(np.arange(len(texts)), but)
    return [(int(index), texts[index]) for index in rng.choice(places, count, replace=False)]


def task_data(
    task: str,
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    source: Sequence[Utterance] | None = None,
) -> TaskData:
    """Return an embedded task's data, with the pre-training speech as source unless another is given."""
    return TaskData(
        task=task,
        suite="embedded",
        revision=revision(train, test),
        train=train,
        test=test,
        source=source_speech() if source is None else source,
    )
