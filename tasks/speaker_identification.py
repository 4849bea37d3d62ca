"""Speaker identification: which of the speakers heard in training is this?

The target is the speaker; measured in accuracy, in [0, 1]. Test sentences are unseen in training,
so that a speaker cannot be told by what is said; every test speaker is heard in training.
"""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import accuracy
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return the `accuracy`.

    Args:
        references: the true speakers, one an utterance.
        hypotheses: the recognised speakers, one an utterance.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
    """
    return {"accuracy": accuracy(references, hypotheses)}


def _embedded() -> TaskData:
    from .embedded.corpus import speaker_identification_data

    return speaker_identification_data()


SPEAKER_IDENTIFICATION = Task(
    name="speaker_identification",
    code="SID",
    title="speaker identification",
    kind="utterance",
    columns=("speaker", "label"),
    metric="accuracy",
    direction="higher",
    split_by="text",
    evaluate=evaluate,
    embedded=_embedded,
    description="Who speaks: one of the training's speakers, judged by accuracy on unseen sentences.",
)
