"""Phoneme recognition's speech, and the forty phonemes that espeak-ng's English phones are folded to.

The set is that of the CMU pronouncing dictionary, 24 consonants and 15 vowels, in IPA, and the schwa,
which the dictionary writes as its /ʌ/. As there, the flap is a /t/, length and stress do not count,
and what espeak-ng speaks as one phone but the dictionary writes as two is two: a vowel before an r, a
triphthong, a syllabic consonant. The time of such a phone is divided evenly.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..utterance import Span, TaskData, Utterance
from .corpus import VERSION, Line, source_speech, speak, task_data
from .grammar import sentences
from .voices import speakers

PHONEMES = (
    "p", "b", "t", "d", "k", "ɡ", "tʃ", "dʒ", "f", "v", "θ", "ð", "s", "z", "ʃ", "ʒ", "h", "m", "n", "ŋ", "l",
    "ɹ", "w", "j", "iː", "ɪ", "ɛ", "æ", "ʌ", "ə", "ɑː", "ɔː", "ʊ", "uː", "ɜː", "eɪ", "aɪ", "ɔɪ", "oʊ", "aʊ",
)  # fmt: skip
"""The forty phonemes."""

_FOLDED = {
    "i": "iː", "ᵻ": "ɪ", "ɐ": "ə", "ɔ": "ɔː", "ɚ": "ɜː", "ɾ": "t", "ʔ": "t", "əl": "ə l", "n̩": "ə n",
    "iə": "iː ə", "aɪə": "aɪ ə", "aɪɚ": "aɪ ɜː", "ɔːɹ": "ɔː ɹ", "oːɹ": "ɔː ɹ", "ɑːɹ": "ɑː ɹ", "ʊɹ": "ʊ ɹ",
    "ɛɹ": "ɛ ɹ", "ɪɹ": "ɪ ɹ",
}  # fmt: skip
"""What other phones of espeak-ng's `en-us` become."""


def fold(phone: str) -> tuple[str, ...]:
    """Return the phonemes of one of espeak-ng's English phones.

    >>> fold("ɔːɹ"), fold("ɾ"), fold("tʃ")
    (('ɔː', 'ɹ'), ('t',), ('tʃ',))

    Raises:
        ValueError: it is no phone of `en-us`.
    """
    folded = tuple(_FOLDED.get(phone, phone).split())
    if not set(folded) <= set(PHONEMES):
        raise ValueError(f"{phone!r} is no phone that espeak-ng has in American English")
    return folded


def fold_times(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Fold phones with their times; what becomes two shares its time evenly."""
    found = []
    for span in spans:
        phonemes = fold(span.label)
        edges = np.linspace(span.start, span.end, len(phonemes) + 1).tolist()
        found += [
            Span(start, end, name)
            for (start, end), name in zip(itertools.pairwise(edges), phonemes, strict=True)
        ]
    return tuple(found)


def in_phonemes(utterance: Utterance) -> Utterance:
    """Return an English utterance with its phones folded, and its pronunciation made of them."""
    phones = fold_times(utterance.phones)
    return replace(utterance, phones=phones, pronunciation=" ".join(span.label for span in phones))


def phoneme_lines() -> tuple[list[Line], list[Line]]:
    """Return what is said in training, by 24 speakers, and in test, by 12 others: no sentence twice."""
    people = speakers("phoneme_recognition", 36)
    texts = sentences(480 + 144, "tasks", np.random.default_rng((VERSION, 6)))
    train = [Line(people[index % 24], texts[index], None, (6, index)) for index in range(480)]
    test = [Line(people[24 + index % 12], texts[index], None, (6, index)) for index in range(480, len(texts))]
    return train, test


@functools.cache
def phoneme_recognition_data() -> TaskData:
    """Return phoneme recognition's data: test speakers and sentences are unseen in training."""
    train, test = phoneme_lines()
    spoken = [in_phonemes(utterance) for utterance in speak([*train, *test])]
    # the source's labels too must be phonemes, for estimators that compare label by label
    source = [in_phonemes(utterance) for utterance in source_speech()]
    return task_data("phoneme_recognition", spoken[: len(train)], spoken[len(train) :], source)
