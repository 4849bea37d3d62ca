"""Seven languages: sentences, speakers, and what is said in which."""

from __future__ import annotations

import string

import numpy as np
import pytest

from foretune.tasks.embedded import multilingual
from foretune.tasks.embedded.languages import LANGUAGES, TEMPLATES, foreign_sentences
from foretune.tasks.embedded.multilingual import SPEAKERS, TEST, TRAIN, multilingual_lines
from foretune.tasks.embedded.voices import speakers
from foretune.tasks.metrics import normalise_to_base_letters
from foretune.tasks.multilingual_asr import MULTILINGUAL_ASR
from foretune.tasks.utterance import Span

PINNED = "1fc4c7c8ea82"


def test_the_languages_are_those_of_multilingual_librispeech() -> None:
    assert list(LANGUAGES) == ["de", "nl", "fr", "es", "it", "pt", "pl"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_lexicon_fills_every_slot_with_different_phrases(language: str) -> None:
    lexicon = LANGUAGES[language]
    assert {slot for _, template in TEMPLATES for slot in template.split()} == set(lexicon)
    for phrases in lexicon.values():
        assert len(phrases) == len(set(phrases))
        assert all(phrase == phrase.strip().lower() for phrase in phrases)
    words = {word for phrases in lexicon.values() for phrase in phrases for word in phrase.split()}
    assert len(words) > 130


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_differ_follow_their_seed_and_are_written_in_base_letters(language: str) -> None:
    drawn = foreign_sentences(200, language, np.random.default_rng(3))
    assert len(set(drawn)) == 200
    assert drawn == foreign_sentences(200, language, np.random.default_rng(3))
    assert drawn != foreign_sentences(200, language, np.random.default_rng(4))
    letters = set(normalise_to_base_letters(" ".join(drawn)))
    assert letters <= set(string.ascii_lowercase + "' ")


def test_languages_share_few_words() -> None:
    words = {
        language: {word for phrases in lexicon.values() for phrase in phrases for word in phrase.split()}
        for language, lexicon in LANGUAGES.items()
    }
    for one, own in words.items():
        for other, others in words.items():
            assert one == other or len(own & others) < 0.3 * len(own)


def test_each_language_has_its_own_speakers_and_its_test_sentences_are_unseen() -> None:
    train, test = multilingual_lines()
    names = set()
    for language in LANGUAGES:
        seen, tested = ([line for line in part if line.language == language] for part in (train, test))
        assert (len(seen), len(tested)) == (TRAIN, TEST)
        assert not {line.text for line in seen} & {line.text for line in tested}
        own = {line.speaker.name for line in seen}
        assert own == {line.speaker.name for line in tested}
        assert len(own) == SPEAKERS
        assert not names & own
        names |= own
    before = speakers("pretraining", 80)
    assert not {line.speaker.variant for line in train} & {person.variant for person in before}


def test_the_same_speech_again_in_its_language(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = multilingual_lines()
    few = (lines[0][::TRAIN], lines[1][::TEST])  # one of each language
    monkeypatch.setattr(multilingual, "multilingual_lines", lambda: few)
    data = multilingual.multilingual_asr_data.__wrapped__()
    assert data.revision == PINNED
    for part in (data.train, data.test):
        assert [each.language for each in part] == list(LANGUAGES)
    french = next(each for each in data.train if each.language == "fr")
    assert {span.label for span in french.phones} & {"ʁ", "ɑ̃", "ɔ̃", "œ̃", "ɛ̃", "y"}
    assert set(MULTILINGUAL_ASR.measure(data.test, [str(each.text) for each in data.test]).values()) == {0.0}


@pytest.mark.parametrize(("phone", "folded"), [("ə-", "ə"), ("ss", "s"), ("ʁ", "ʁ"), ("s", "s")])
def test_marks_that_no_letter_shows_are_dropped(phone: str, folded: str) -> None:
    assert multilingual._fold(Span(0.1, 0.2, phone)) == Span(0.1, 0.2, folded)
