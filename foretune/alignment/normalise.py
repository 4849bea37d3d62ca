"""From a transcript to what an aligner can write.

Word by word, and visibly: the aligner's own letters stay, in the aligner's case; other letters are folded
to them where they only differ by marks (`ł` to `l`, `ß` to `ss`); what is left of letters and digits (numbers
are not spelt out, since how they are read depends on language and context) becomes one star, which stands
for any sounds; punctuation and symbols are dropped. A star may also be in the transcript, as `*`, for
speech that it lacks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

STAR = "*"
"""Stands for any stretch of speech, one frame at least."""

_SEPARATORS = "-‐‑‒–—―/_…"
_APOSTROPHES = str.maketrans({"’": "'", "ʼ": "'", "‘": "'", "`": "'"})
_UNMARKED = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i",
    "ŋ": "ng", "ĸ": "k", "ŧ": "t", "ə": "e",
}  # fmt: skip
"""Letters that Unicode does not decompose."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a transcript.

    Attributes:
        written: as the transcript has it.
        tokens: what the aligner has to find: letters of its vocabulary and `STAR`, at least one.
    """

    written: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcript as an aligner can write it.

    Attributes:
        words: in order; words without any letter or digit are left out.
        dropped: the characters that were dropped, each once, in order.
        starred: the characters that a star stands for, likewise.
    """

    words: tuple[Word, ...]
    dropped: str
    starred: str

    @property
    def letters(self) -> int:
        """Return how many tokens are letters."""
        return sum(token != STAR for word in self.words for token in word.tokens)


def normalise(text: str, letters: Iterable[str]) -> Transcript:
    """Write a transcript in an aligner's letters.

    Args:
        text: in any case and any script, Unicode in any form.
        letters: single characters that the aligner knows; the case of the Latin ones among them
            decides that of the result.

    >>> normalise("Żółw's 3 eggs!", "abcdefghijklmnopqrstuvwxyz").words[:2]
    (Word(written="Żółw's", tokens=('z', 'o', 'l', 'w', 's')), Word(written='3', tokens=('*',)))
    """
    known = {letter for letter in letters if len(letter) == 1 and letter != STAR}
    upper = "A" in known and "a" not in known
    separated = unicodedata.normalize("NFC", text).translate(_APOSTROPHES)
    separated = separated.translate({ord(mark): " " for mark in _SEPARATORS})
    dropped: dict[str, None] = {}
    starred: dict[str, None] = {}
    words = []
    for written in separated.split():
        cased = written.upper() if upper else written.lower()
        tokens = _spell(cased, known, dropped, starred)
        if tokens:
            words.append(Word(written, tokens))
    return Transcript(tuple(words), "".join(dropped), "".join(starred))


def _spell(
    written: str, known: set[str], dropped: dict[str, None], starred: dict[str, None]
) -> tuple[str, ...]:
    """Return a word's tokens; adds to what was dropped and what a star stands for."""
    tokens: list[str] = []
    for character in written:
        found = _fold(character, known)
        if found:
            tokens += found
        elif character == STAR or unicodedata.category(character)[0] in "LN":
            if character != STAR:
                starred[character] = None
            if tokens[-1:] != [STAR]:
                tokens.append(STAR)
        else:  # marks of letters that are starred, punctuation, symbols
            dropped[character] = None
    return tuple(tokens)


def _fold(character: str, known: set[str]) -> str:
    """Return a character in known letters, empty where it cannot be written in them."""
    if character in known:
        return character
    decomposed = unicodedata.normalize("NFKD", character)
    bare = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    lowered = "".join(_UNMARKED.get(letter, letter) for letter in bare.lower())
    for folded in (bare, lowered, lowered.upper()):
        if folded and set(folded) <= known:
            return folded
    return ""
