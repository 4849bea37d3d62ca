"""Transcripts in an aligner's letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretune.alignment import STAR, normalise

LOWER = "abcdefghijklmnopqrstuvwxyz"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"


def spelt(text, letters=LOWER):
    return ["".join(word.tokens) for word in normalise(text, letters).words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("well-known  and/or\tnew\nline", ["well", "known", "and", "or", "new", "line"]),
        ("lubię czytać żółwie", ["lubie", "czytac", "zolwie"]),
        ("Straße Ærø Þór naïve", ["strasse", "aero", "thor", "naive"]),
        ("ﬁne ＡＢＣ", ["fine", "abc"]),  # ligature and full-width letters, by compatibility
        ("don’t", ["dont"]),
        ("— … !", []),
        ("", []),
    ],
)
def test_words_in_small_letters(text, words):
    assert spelt(text) == words


def test_the_aligners_own_letters_stay_in_its_own_case():
    assert spelt("don’t stop, Łódź", UPPER) == ["DON'T", "STOP", "LODZ"]
    assert spelt("żółw", LOWER + "żół") == ["żółw"]
    assert spelt("zażółć", "zażółć") == ["zażółć"]


@pytest.mark.parametrize(
    ("text", "words", "starred"),
    [
        ("room 42", ["room", STAR], "42"),
        ("3rd", [STAR + "rd"], "3"),
        ("a1b22c", ["a" + STAR + "b" + STAR + "c"], "12"),
        ("say 你好 now", ["say", STAR, "now"], "你好"),
        ("well * then", ["well", STAR, "then"], ""),  # a star of the transcript's own
    ],
)
def test_what_it_cannot_write_becomes_a_star(text, words, starred):
    transcript = normalise(text, LOWER)
    assert ["".join(word.tokens) for word in transcript.words] == words
    assert transcript.starred == starred


def test_what_was_dropped_is_told_once():
    transcript = normalise("a, b, c! 7", LOWER)
    assert (transcript.dropped, transcript.starred, transcript.letters) == (",!", "7", 3)
    assert [word.written for word in transcript.words] == ["a,", "b,", "c!", "7"]


def test_special_tokens_of_a_vocabulary_are_no_letters():
    assert spelt("<pad> a", ["<pad>", "a"]) == [STAR + "a" + STAR, "a"]


@given(st.text(max_size=40))
def test_any_text_gives_known_letters_and_stars(text):
    transcript = normalise(text, LOWER)
    assert {token for word in transcript.words for token in word.tokens} <= {*LOWER, STAR}
    assert all(word.tokens for word in transcript.words)
