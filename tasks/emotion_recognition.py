"""Emotion recognition: how is it said?

The target is the emotion; measured in unweighted accuracy (the mean of the classes' recalls), in
[0, 1], and in plain accuracy. Test speakers are unseen in training.
"""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import accuracy, unweighted_accuracy
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return the `unweighted_accuracy` and the `accuracy`.

    Args:
        references: the true emotions, one an utterance.
        hypotheses: the recognised emotions, one an utterance.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
    """
    return {
        "unweighted_accuracy": unweighted_accuracy(references, hypotheses),
        "accuracy": accuracy(references, hypotheses),
    }


def _embedded() -> TaskData:
    from .embedded.corpus import emotion_recognition_data

    return emotion_recognition_data()


EMOTION_RECOGNITION = Task(
    name="emotion_recognition",
    code="ER",
    title="emotion recognition",
    kind="utterance",
    columns=("emotion", "label"),
    metric="unweighted_accuracy",
    direction="higher",
    split_by="speaker",
    evaluate=evaluate,
    embedded=_embedded,
    description="How it is said: one emotion, judged by unweighted accuracy on unseen speakers.",
)
