"""What every task declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import InputError
from .utterance import TaskData, Utterance

Kind = Literal["utterance", "sequence"]
Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task: what is predicted from speech, and how well is measured how.

    Attributes:
        name: as given to `--task`.
        code: SUPERB's code, such as ER.
        title: in words.
        kind: `utterance` (one label an utterance) or `sequence` (a transcript).
        columns: the columns of a manifest that may hold the label, the first present one counts.
        metric: name of the metric that the ground truth is ranked by.
        direction: whether `higher` or `lower` values of that metric are better.
        split_by: the column whose values in the test part never occur in the training part.
        evaluate: references and hypotheses, each (utterances,), to metrics by name, in [0, 1]
            (error rates may exceed 1).
        embedded: makes the task's data from the embedded speech.
        description: a sentence for `foretune list tasks`.
    """

    name: str
    code: str
    title: str
    kind: Kind
    columns: tuple[str, ...]
    metric: str
    direction: Direction
    split_by: str
    evaluate: Callable[[Sequence[str], Sequence[str]], dict[str, float]]
    embedded: Callable[[], TaskData]
    description: str

    def target(self, utterance: Utterance) -> str:
        """Return the label (or transcript) that the task predicts for an utterance.

        Raises:
            InputError: the utterance has none.
        """
        for column in self.columns:
            value = getattr(utterance, column)
            if value is not None:
                return str(value)
        wanted = " or ".join(self.columns)
        raise InputError(f"{utterance.id}: no {wanted}, which the task {self.name} needs")

    def goodness(self, value: float) -> float:
        """Turn a metric value so that higher is better (error rates are negated)."""
        return value if self.direction == "higher" else -value
