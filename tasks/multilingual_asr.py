"""Speech recognition in several languages at once, as character CTC.

The target is a transcript in base letters: as in `asr`, and every letter of the Latin script without its
diacritics (ß is ss, ł is l, œ is oe), so that languages share one alphabet: the twenty-six letters, the
apostrophe and the space; letters of other scripts stay as they are. Measured in word error rate and
character error rate, both errors per reference token, lower is better, over all utterances and for
each language (`cer:de`). Test sentences are unseen in training. `multilingual_asr:de` is the same
task on the German part of its data alone.
"""

from __future__ import annotations

from collections.abc import Sequence

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
