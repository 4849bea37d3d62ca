"""Automatic speech recognition, as character CTC.

The target is a transcript, normalised by `normalise_transcript`; measured in word error rate and
character error rate, both errors per reference token, lower is better. Test sentences are unseen in
training. The ground truth is ranked by the character error rate: after little fine-tuning without a
language model the word error rate of weak candidates lies near 1 whatever they know of the sounds.
"""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import character_error_rate, normalise_transcript, word_error_rate
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return `wer` and `cer` of normalised transcripts.

    Args:
        references: what was said, one an utterance; may be empty strings, but not all.
        hypotheses: what was recognised, one an utterance.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a word.
    """
    spoken = [normalise_transcript(reference) for reference in references]
    recognised = [normalise_transcript(hypothesis) for hypothesis in hypotheses]
    return {
        "wer": word_error_rate(spoken, recognised),
        "cer": character_error_rate(spoken, recognised),
    }


def _embedded() -> TaskData:
    from .embedded.corpus import asr_data

    return asr_data()


ASR = Task(
    name="asr",
    code="ASR",
    title="automatic speech recognition",
    kind="sequence",
    columns=("text",),
    metric="cer",
    direction="lower",
    split_by="text",
    evaluate=evaluate,
    embedded=_embedded,
    description="What is said: characters by CTC, judged by character error rate on unseen sentences.",
)
