"""The tasks' metrics, over a whole test part.

References and hypotheses are sequences of equal length, one string an utterance. Error rates are
errors per reference token over all utterances together, 0 at best, and may exceed 1; accuracies
lie in [0, 1]. Verification has scores of trials instead.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .errors import InputError

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u02bc": "'", "\u2018": "'"})


def normalise_transcript(text: str, *, keep_digits: bool = False) -> str:
    """Reduce a transcript to what a character CTC model is to write.

    Lower case; the letters of every script, with their combining marks, and the apostrophe stay;
    everything else (digits too, unless they are to stay; punctuation, hyphens) separates words; one
    space between words.

    >>> normalise_transcript("  Żółw’s WELL-known, 3 times!")
    "żółw's well known times"
    """
    # categories L* are letters; M* are marks, which carry the vowels of many Indic scripts
    categories = "LMN" if keep_digits else "LM"
    composed = unicodedata.normalize("NFC", text).translate(_APOSTROPHES).lower()
    kept = (
        character if character == "'" or unicodedata.category(character)[0] in categories else " "
        for character in composed
    )
    return " ".join("".join(kept).split())


_UNDECOMPOSED = str.maketrans(
    {"ß": "ss", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "œ": "oe", "æ": "ae", "ı": "i"}
)


def normalise_to_base_letters(text: str) -> str:
    """Reduce a transcript as `normalise_transcript`, and Latin letters to those without diacritics.

    Letters of other scripts keep their marks, which there tell words apart.

    >>> normalise_to_base_letters("Żółw läuft straße, l'œuf à Genève; हिन्दी")
    "zolw lauft strasse l'oeuf a geneve हिन्दी"
    """
    kept = []
    latin = False
    for character in unicodedata.normalize("NFD", normalise_transcript(text).translate(_UNDECOMPOSED)):
        if unicodedata.category(character)[0] != "M":
            latin = unicodedata.name(character, "").startswith("LATIN")
        elif latin:
            continue
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return substituted, deleted and inserted words per word of the references.

    An empty reference adds no words; what is recognised there counts as inserted.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a word.
    """
    import jiwer

    _check_transcripts(references, hypotheses, "word", "transcripts")
    return float(jiwer.wer(list(references), list(hypotheses)))


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return substituted, deleted and inserted characters, spaces too, per reference character.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a character other than space.
    """
    import jiwer

    _check_transcripts(references, hypotheses, "character", "transcripts")
    return float(jiwer.cer(list(references), list(hypotheses)))


def normalise_phones(text: str) -> str:
    """Reduce a string of phones to its symbols, one space between two; none is folded with another.

    >>> normalise_phones("  tʃ   iː z ")
    'tʃ iː z'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def phone_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return substituted, deleted and inserted phones per phone of the references.

    Args:
        references: what was said, one an utterance: phones with spaces between.
        hypotheses: what was recognised, likewise.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a phone.
    """
    import jiwer

    _check_transcripts(references, hypotheses, "phone", "phones")
    # what stands between spaces is counted, as for words
    return float(jiwer.wer(list(references), list(hypotheses)))


def accuracy(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the share of utterances whose label is right.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
    """
    _check_pairs(references, hypotheses)
    right = sum(reference == hypothesis for reference, hypothesis in zip(references, hypotheses, strict=True))
    return right / len(references)


def unweighted_accuracy(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the mean, over the classes that occur in the references, of each class's recall.

    Also called unweighted average recall or balanced accuracy.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
    """
    from sklearn.metrics import recall_score

    _check_pairs(references, hypotheses)
    # balanced_accuracy_score is the same number but warns when a hypothesis is of another class
    classes = sorted(set(references))
    return float(recall_score(list(references), list(hypotheses), labels=classes, average="macro"))


def equal_error_rate(scores: Sequence[float], same: Sequence[bool]) -> float:
    """Return the error rate of verification at the threshold where both errors are equal, in [0, 1].

    The share of pairs of different speakers that are accepted falls with the threshold, that of pairs of
    one speaker that are rejected rises; between two thresholds both are taken to be linear.

    Args:
        scores: (trials,) the higher, the more alike.
        same: (trials,) whether a trial is of one speaker.

    Raises:
        ValueError: the lengths differ, or all trials are of one kind.

    >>> equal_error_rate([0.9, 0.8, 0.3, 0.1], [True, False, True, False])
    0.5
    """
    import numpy as np
    from sklearn.metrics import roc_curve

    if len(scores) != len(same):
        raise ValueError(f"{len(scores)} scores but {len(same)} trials")
    if len(set(same)) != 2:
        raise ValueError("verification needs trials of one speaker and of different speakers")
    accepted, found, _ = roc_curve(same, scores, drop_intermediate=False)
    difference = accepted - (1 - found)  # rises from -1 to 1
    return float(np.interp(0.0, difference, accepted))


def _check_pairs(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses")
    if len(references) == 0:
        raise ValueError("no utterances to evaluate")


def _check_transcripts(references: Sequence[str], hypotheses: Sequence[str], unit: str, remedy: str) -> None:
    """Check that there are pairs, and something in the references to make errors in."""
    _check_pairs(references, hypotheses)
    if not any(reference.split() for reference in references):
        raise InputError(f"references: not one has a {unit}, so no error rate exists; give {remedy}")
