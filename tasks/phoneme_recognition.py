"""Phoneme recognition, as CTC over phones.

The target is the string of phones that are said; measured in phone error rate, errors per reference
phone, lower is better. Phones are compared as they are written: fold them before where several stand
for one phoneme (the embedded speech has the forty of `embedded.phonemes`). Test sentences are unseen in
training, and in the embedded speech test speakers are too.

Scoring labels frames by the phones' true times, as the embedded speech has them. Phones of a manifest have
no times, so that scoring then needs its column `text` too, whose letters it aligns.
"""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import normalise_phones, phone_error_rate
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return the `per`.

    Args:
        references: the phones that were said, spaces between, one string an utterance.
        hypotheses: the phones that were recognised, likewise.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
        InputError: no reference has a phone.
    """
    spoken = [normalise_phones(reference) for reference in references]
    recognised = [normalise_phones(hypothesis) for hypothesis in hypotheses]
    return {"per": phone_error_rate(spoken, recognised)}


def _embedded() -> TaskData:
    from .embedded.phonemes import phoneme_recognition_data

    return phoneme_recognition_data()


PHONEME_RECOGNITION = Task(
    name="phoneme_recognition",
    code="PR",
    title="phoneme recognition",
    kind="sequence",
    columns=("phones",),
    metric="per",
    direction="lower",
    split_by="text",
    evaluate=evaluate,
    embedded=_embedded,
    description="Which phones are said: by CTC, judged by phone error rate on unseen sentences.",
    normalise=normalise_phones,
    separator=" ",
)
