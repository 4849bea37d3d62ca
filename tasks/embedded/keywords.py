"""Keyword spotting's speech: single words by many voices, in noise and rooms.

The words are of the kind of Speech Commands (P. Warden, 2018, arXiv:1804.03209), chosen to be taken for
one another: by one sound (three, tree; five, nine; bed, bird; off, on), or by their order alone (on, no).
Other words are one class, `unknown`; each sounds like a keyword or two, no two alike, and those of the
test part are others than those of the training part.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..utterance import TaskData
from .corpus import VERSION, Line, speak, task_data
from .voices import Speaker, speakers

KEYWORDS = (
    "yes", "no", "go", "up", "down", "left", "right", "on", "off", "stop", "three", "tree", "five", "nine",
    "bed", "bird",
)  # fmt: skip
UNKNOWN = "unknown"
"""Label of every other word."""
OTHERS_IN_TRAINING = (
    "yet", "less", "light", "town", "top", "free", "fine", "bad", "word", "own", "cup", "toe", "cat", "house",
    "happy", "marvin", "seven", "four", "follow", "visual", "dog", "learn", "low", "chop",
)  # fmt: skip
OTHERS_IN_TEST = (
    "chess", "snow", "lift", "ripe", "noun", "step", "tea", "dive", "mine", "bet", "third", "cough", "cap",
    "zero", "six", "backward",
)  # fmt: skip
NOISE = (0.0, 20.0)
"""Bounds of the signal-to-noise ratio, in dB: worse than in the other tasks."""
SECONDS = (0.6, 1.5)
"""Bounds of a recording's length."""


def keyword_lines() -> tuple[list[Line], list[Line]]:
    """Return what is said in training, 864 words by 24 voices, and in test, 432 by 12 others."""
    people = speakers("keyword_spotting", 36)
    train = _lines(people[:24], OTHERS_IN_TRAINING, part=0)
    test = _lines(people[24:], OTHERS_IN_TEST, part=1)
    return train, test


@functools.cache
def keyword_spotting_data() -> TaskData:
    """Return keyword spotting's data: test speakers, and test words that are no keywords, are unseen."""
    train, test = keyword_lines()
    spoken = [
        replace(each, label=each.text if each.text in KEYWORDS else UNKNOWN)
        for each in speak([*train, *test])
    ]
    return task_data("keyword_spotting", spoken[: len(train)], spoken[len(train) :])


def _lines(people: Sequence[Speaker], others: Sequence[str], part: int) -> list[Line]:
    """Let everyone say all keywords twice, and four other words, each of these as often as the next."""
    rng = np.random.default_rng((VERSION, 7, part))
    words = [
        (person, word)
        for who, person in enumerate(people)
        for word in (*KEYWORDS, *KEYWORDS, *(others[(4 * who + which) % len(others)] for which in range(4)))
    ]
    return [
        Line(person, word, None, (7, part, index), noise=NOISE, seconds=float(rng.uniform(*SECONDS)))
        for index, (person, word) in enumerate(words)
    ]
