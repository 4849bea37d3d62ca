"""Speech recognition in several languages at once, as character CTC.

The target is a transcript in base letters: as in `asr`, and every letter of the Latin script without its
diacritics (ß is ss, ł is l, œ is oe), so that languages share one alphabet: the twenty-six letters, the
apostrophe and the space; letters of other scripts stay as they are. Measured in word error rate and
character error rate, both errors per reference token, lower is better, over all utterances and for
each language (`cer:de`). Test sentences are unseen in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from .errors import InputError
from .metrics import character_error_rate, normalise_to_base_letters, word_error_rate
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return `wer` and `cer` of transcripts in base letters.

    Args:
        references: what was said, one an utterance; may be empty strings, but not all.
        hypotheses: what was recognised, one an utterance.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a word.
    """
    spoken = [normalise_to_base_letters(reference) for reference in references]
    recognised = [normalise_to_base_letters(hypothesis) for hypothesis in hypotheses]
    return {
        "wer": word_error_rate(spoken, recognised),
        "cer": character_error_rate(spoken, recognised),
    }


def in_language(data: TaskData, language: str) -> TaskData:
    """Return the part of the data in one language, its source speech as it was.

    Args:
        data: of utterances that say their language.
        language: as the utterances have it, such as `de`.

    Raises:
        InputError: no training or no test utterance is in that language.
    """
    train = [utterance for utterance in data.train if utterance.language == language]
    test = [utterance for utterance in data.test if utterance.language == language]
    if not train or not test:
        found = sorted({each.language for each in (*data.train, *data.test) if each.language is not None})
        raise InputError(
            f"language {language}: not in both parts of the data, which have {', '.join(found) or 'none'}"
        )
    revision = hashlib.sha256(f"{data.revision} {language}".encode()).hexdigest()[:12]
    return replace(data, revision=revision, train=train, test=test)


def _embedded() -> TaskData:
    from .embedded.multilingual import multilingual_asr_data

    return multilingual_asr_data()


MULTILINGUAL_ASR = Task(
    name="multilingual_asr",
    code="MASR",
    title="multilingual speech recognition",
    kind="sequence",
    columns=("text",),
    metric="cer",
    direction="lower",
    split_by="text",
    evaluate=evaluate,
    embedded=_embedded,
    description="What is said in several languages: as asr, in base letters, together and by language.",
    normalise=normalise_to_base_letters,
    measured_by="language",
)
