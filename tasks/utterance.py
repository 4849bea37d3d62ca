"""An utterance, its labels and its true times; and the data of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .audio import SAMPLE_RATE, read_audio
from .errors import InputError

__all__ = ["SAMPLE_RATE", "Span", "TaskData", "Utterance"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time with a label: a word or a phone.

    Attributes:
        start: in seconds from the beginning of the utterance.
        end: in seconds; the span is half-open, [start, end).
        label: the word or phone.
    """

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """One recording with what is known about it.

    Attributes:
        id: unique in its task's data; names the file, or the seed it was spoken from.
        audio: the file, or int16 samples of shape (samples,) at 16 kHz.
        text: the transcript.
        speaker: who speaks.
        emotion: the emotion that is expressed.
        label: a label of the user's own.
        pronunciation: the phones as text, a space between two; a manifest's column `phones`.
        language: the language that is spoken, such as `de`.
        words: true times of words, in order; empty where the corpus has none.
        phones: true times of phones, in order; empty where the corpus has none.
    """

    id: str
    audio: Path | NDArray[np.int16]
    text: str | None = None
    speaker: str | None = None
    emotion: str | None = None
    label: str | None = None
    words: tuple[Span, ...] = ()
    phones: tuple[Span, ...] = ()
    pronunciation: str | None = None
    language: str | None = None

    def value(self, column: str) -> str | None:
        """Return what a manifest's column says of this recording, None where it says nothing."""
        # `phones` with true times and `phones` as text are two things
        found: str | None = getattr(self, "pronunciation" if column == "phones" else column)
        return found

    def waveform(self) -> NDArray[np.float32]:
        """Return the samples at 16 kHz, shape (samples,), in [-1, 1].

        Raises:
            InputError: the file cannot be read, is empty, or holds NaN.
        """
        if isinstance(self.audio, Path):
            return read_audio(self.audio)
        return self.audio.astype(np.float32) / np.float32(32768)


def _identities(utterance: Utterance) -> set[object]:
    """Return what tells an utterance from others: its name, and its file or samples."""
    audio = utterance.audio
    if isinstance(audio, Path):
        return {utterance.id, audio.absolute()}
    return {utterance.id, hashlib.sha256(audio.tobytes()).digest()}


@dataclass(frozen=True, slots=True, eq=False)
class TaskData:
    """What a task is scored and fine-tuned on.

    Attributes:
        task: the task's name.
        suite: `embedded` for the shipped synthetic speech, `local` for a user's own data.
        revision: 12 hexadecimal digits that change when the data change.
        train: the utterances that scores and fine-tuning may see.
        test: the utterances that only the ground truth's metric sees.
        source: speech from the candidates' pre-training, for estimators that compare source
            with target; empty where there is none.
    """

    task: str
    suite: str
    revision: str
    train: Sequence[Utterance]
    test: Sequence[Utterance]
    source: Sequence[Utterance] = ()

    def __post_init__(self) -> None:
        """Guard against leaks: scores see the training part, so no test utterance may be in it.

        Raises:
            InputError: an utterance is in both parts, by its name, its file or its very samples.
        """
        seen = {key for utterance in self.train for key in _identities(utterance)}
        for utterance in self.test:
            if not seen.isdisjoint(_identities(utterance)):
                raise InputError(
                    f"{utterance.id}: is in the training part and in the test part; scores would see what "
                    "the ground truth is tested on, so leave it out of one of them"
                )
