"""Words to spot: who says them, how often, and that the same samples come again."""

from __future__ import annotations

from collections import Counter

import numpy as np

from foretune.tasks.embedded.corpus import revision, speak
from foretune.tasks.embedded.keywords import (
    KEYWORDS,
    NOISE,
    OTHERS_IN_TEST,
    OTHERS_IN_TRAINING,
    SECONDS,
    keyword_lines,
)
from foretune.tasks.embedded.voices import speakers

PINNED = "82e7a3b081c0"


def test_words_are_in_one_list_only() -> None:
    words = [*KEYWORDS, *OTHERS_IN_TRAINING, *OTHERS_IN_TEST]
    assert len(words) == len(set(words))
    assert len(KEYWORDS) == 16


def test_every_voice_says_every_keyword_and_other_words_as_often_as_each_other() -> None:
    train, test = keyword_lines()
    for part, others, size in ((train, OTHERS_IN_TRAINING, 864), (test, OTHERS_IN_TEST, 432)):
        assert len(part) == size
        said = Counter((line.speaker.name, line.text) for line in part if line.text in KEYWORDS)
        assert len(said) == len(KEYWORDS) * len({line.speaker.name for line in part})
        assert set(said.values()) == {2}
        rest = Counter(line.text for line in part if line.text not in KEYWORDS)
        assert set(rest) == set(others)
        assert len(set(rest.values())) == 1


def test_test_voices_are_unseen() -> None:
    train, test = keyword_lines()
    for part in ("name", "variant"):
        seen, tested = ({getattr(line.speaker, part) for line in lines} for lines in (train, test))
        assert (len(seen), len(tested)) == (24, 12)
        assert not seen & tested
        assert not (seen | tested) & {getattr(person, part) for person in speakers("pretraining", 80)}


def test_recordings_are_short_and_noisy() -> None:
    lines = [line for part in keyword_lines() for line in part]
    lengths = [line.seconds for line in lines if line.seconds is not None]
    assert len(lengths) == len(lines)
    assert SECONDS[0] <= min(lengths) < 0.7
    assert 1.4 < max(lengths) <= SECONDS[1]
    assert {line.noise for line in lines} == {NOISE}


def test_the_same_speech_again() -> None:
    train, test = keyword_lines()
    spoken = speak([*train[:3], *test[:3]])
    assert revision(spoken[:3], spoken[3:]) == PINNED
    for each, line in zip(spoken, [*train[:3], *test[:3]], strict=True):
        assert [word.label for word in each.words] == [line.text]
        length = len(np.asarray(each.audio)) / 16_000
        assert length >= round((line.seconds or 0) * 16_000) / 16_000
        assert all(0 <= phone.start < phone.end <= length for phone in each.phones)
