"""Keyword spotting: which of a few words is this?

The target is the word, or one label for all words that are none of them; measured in accuracy, in
[0, 1]. Test speakers are unseen in training.
"""

from __future__ import annotations

from collections.abc import Sequence

from .metrics import accuracy
from .task import Task
from .utterance import TaskData


def evaluate(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, float]:
    """Return the `accuracy`.

    Args:
        references: the words that were said, one an utterance.
        hypotheses: the words that were recognised, one an utterance.

    Raises:
        ValueError: the lengths differ, or there are no utterances.
    """
    return {"accuracy": accuracy(references, hypotheses)}


def _embedded() -> TaskData:
    from .embedded.keywords import keyword_spotting_data

    return keyword_spotting_data()


KEYWORD_SPOTTING = Task(
    name="keyword_spotting",
    code="KS",
    title="keyword spotting",
    kind="utterance",
    columns=("label",),
    metric="accuracy",
    direction="higher",
    split_by="speaker",
    evaluate=evaluate,
    embedded=_embedded,
    description="Which word is said: one of a few or none of them, judged by accuracy on unseen speakers.",
)
