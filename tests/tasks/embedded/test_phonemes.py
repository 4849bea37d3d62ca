"""The forty phonemes, and the speech that is labelled with them."""

from __future__ import annotations

import numpy as np
import pytest

from foretune.tasks.embedded.corpus import revision, speak
from foretune.tasks.embedded.espeak import Espeak
from foretune.tasks.embedded.grammar import LEXICON, half
from foretune.tasks.embedded.phonemes import PHONEMES, fold, fold_times, in_phonemes, phoneme_lines
from foretune.tasks.embedded.voices import speakers
from foretune.tasks.utterance import Span, Utterance

PINNED = "cb95fb0701f6"


@pytest.mark.parametrize(
    ("phone", "phonemes"),
    [
        ("t", ("t",)),
        ("ɾ", ("t",)),
        ("ɐ", ("ə",)),
        ("ɚ", ("ɜː",)),
        ("əl", ("ə", "l")),
        ("ɔːɹ", ("ɔː", "ɹ")),
        ("aɪə", ("aɪ", "ə")),
        ("dʒ", ("dʒ",)),
    ],
)
def test_folding_by_hand(phone: str, phonemes: tuple[str, ...]) -> None:
    assert fold(phone) == phonemes


def test_there_are_forty_phonemes_and_folding_leaves_them() -> None:
    assert len(PHONEMES) == len(set(PHONEMES)) == 40
    assert all(fold(phoneme) == (phoneme,) for phoneme in PHONEMES)


def test_a_phone_of_another_language_is_an_error() -> None:
    with pytest.raises(ValueError, match="'ʁ' is no phone that espeak-ng has in American English"):
        fold("ʁ")


def test_what_becomes_two_phonemes_shares_its_time() -> None:
    folded = fold_times([Span(0.0, 0.1, "f"), Span(0.1, 0.3, "ɔːɹ"), Span(0.4, 0.5, "tʃ")])
    assert [span.label for span in folded] == ["f", "ɔː", "ɹ", "tʃ"]
    assert [span.start for span in folded] == pytest.approx([0.0, 0.1, 0.2, 0.4])
    assert [span.end for span in folded] == pytest.approx([0.1, 0.2, 0.3, 0.5])


def test_every_word_of_the_grammar_can_be_folded() -> None:
    words = sorted({word for phrases in LEXICON.values() for phrase in phrases for word in phrase.split()})
    found = set()
    with Espeak() as voice:
        for start in range(0, len(words), 20):
            text = ", ".join(words[start : start + 20])
            speech = voice.say(text, "en-us+f2", rate=200, pitch=50, pitch_range=50)
            found |= {name for span in speech.phones for name in fold(span.label.strip("ˈˌ"))}
    assert found <= set(PHONEMES)
    assert len(found) >= 38


def test_a_pronunciation_worked_by_hand() -> None:
    spans = (Span(0.0, 0.1, "w"), Span(0.1, 0.2, "ɔː"), Span(0.2, 0.3, "ɾ"), Span(0.3, 0.4, "ɚ"))
    utterance = in_phonemes(Utterance("1", np.zeros(1600, np.int16), phones=spans))
    assert utterance.pronunciation == "w ɔː t ɜː"
    assert [span.label for span in utterance.phones] == ["w", "ɔː", "t", "ɜː"]


def test_test_speakers_and_sentences_are_unseen() -> None:
    train, test = phoneme_lines()
    assert (len(train), len(test)) == (480, 144)
    assert {half(line.text) for line in (*train, *test)} == {"tasks"}
    assert len({line.text for line in (*train, *test)}) == 624
    for part in ("name", "variant"):
        seen, tested, before = (
            {getattr(person, part) for person in people}
            for people in (
                [line.speaker for line in train],
                [line.speaker for line in test],
                speakers("pretraining", 80),
            )
        )
        assert not seen & tested
        assert not (seen | tested) & before


def test_scoring_labels_frames_by_the_true_phonemes() -> None:
    from foretune.extraction import extract
    from foretune.models import load_candidate
    from foretune.sampling import target_sampler
    from foretune.tasks import get_task

    (utterance,) = [in_phonemes(each) for each in speak(phoneme_lines()[0][:1])]
    candidate = load_candidate("fbank")
    (batch,) = extract(candidate, [utterance])
    rows = target_sampler(get_task("phoneme_recognition"), [utterance]).rows(candidate, batch)
    centres = candidate.grid.centres(int(batch.states.lengths[0]))
    expected = [
        span.label for centre in centres for span in utterance.phones if span.start <= centre < span.end
    ]
    assert rows.labels is not None
    assert rows.labels.tolist() == expected
    assert len(set(expected)) > 5


def test_the_same_speech_and_phonemes_again() -> None:
    train, test = phoneme_lines()
    spoken = [in_phonemes(each) for each in speak([*train[:3], *test[:3]])]
    assert revision(spoken[:3], spoken[3:]) == PINNED
    for each in spoken:
        assert each.pronunciation == " ".join(span.label for span in each.phones)
