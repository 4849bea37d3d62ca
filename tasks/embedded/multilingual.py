"""Multilingual recognition's speech: seven languages, by voices of which pre-training heard none."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from ..utterance import Span, TaskData
from .corpus import VERSION, Line, speak, task_data
from .languages import LANGUAGES, foreign_sentences
from .voices import speakers

SPEAKERS = 5
"""Of each language; nobody speaks two."""
TRAIN, TEST = 70, 24
"""Sentences of each language."""
RATE = 0.9
"""Of English speech's: some of these languages write more letters a second than an encoder has frames."""


def multilingual_lines() -> tuple[list[Line], list[Line]]:
    """Return what is said in training and in test, by the same speakers: no sentence twice."""
    rng = np.random.default_rng((VERSION, 8))
    people = [
        replace(person, rate=RATE * person.rate)
        for person in speakers("multilingual_asr", SPEAKERS * len(LANGUAGES))
    ]
    train: list[Line] = []
    test: list[Line] = []
    for which, language in enumerate(LANGUAGES):
        own = people[SPEAKERS * which : SPEAKERS * (which + 1)]
        lines = [
            Line(own[index % SPEAKERS], text, None, (8, which, index), language=language)
            for index, text in enumerate(foreign_sentences(TRAIN + TEST, language, rng))
        ]
        train += lines[:TRAIN]
        test += lines[TRAIN:]
    return train, test


@functools.cache
def multilingual_asr_data() -> TaskData:
    """Return the data of recognition in seven languages; test sentences are unseen in training."""
    train, test = multilingual_lines()
    lines = [*train, *test]
    spoken = [
        replace(utterance, language=line.language, phones=tuple(map(_fold, utterance.phones)))
        for utterance, line in zip(speak(lines), lines, strict=True)
    ]
    return task_data("multilingual_asr", spoken[: len(train)], spoken[len(train) :])


def _fold(phone: Span) -> Span:
    """Return a phone without espeak-ng's marks for reduced and doubled ones, which no letter shows."""
    label = phone.label.rstrip("-")
    return replace(phone, label="s" if label == "ss" else label)
