"""What every task declares."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .errors import InputError
from .metrics import normalise_transcript
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
        normalise: of sequence tasks, reduces a transcript to what is learnt and compared.
        separator: of sequence tasks, what stands between a transcript's tokens: nothing between
            characters, a space between phones.
        measured_by: a column; the metrics are also given for each of its values, if the test part has
            two or more, as `METRIC:VALUE`.
        only: of a part of a task (see `part`), the value of that column.
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
    normalise: Callable[[str], str] = normalise_transcript
    separator: str = ""
    measured_by: str | None = None
    only: str | None = None

    def part(self, value: str) -> Task:
        """Return the task on the part of its data that has a value in the column `measured_by`.

        Raises:
            InputError: the task is not measured by any column, or is a part itself.
        """
        if self.measured_by is None or self.only is not None:
            raise InputError(f"unknown task {self.name}:{value}: {self.name} has no parts")
        return replace(
            self,
            name=f"{self.name}:{value}",
            title=f"{self.title} ({value})",
            only=value,
            embedded=lambda: self.part(value).restrict(self.embedded()),
        )

    def restrict(self, data: TaskData) -> TaskData:
        """Return the part of the data that the task is about: all, but of a part of a task.

        Args:
            data: of the whole task; of the part itself, it is returned as it is.

        Raises:
            InputError: no training or no test utterance has the value.
        """
        if self.only is None or self.measured_by is None:
            return data
        column, value = self.measured_by, self.only
        if data.task == self.name and {each.value(column) for each in (*data.train, *data.test)} == {value}:
            return data
        train = [utterance for utterance in data.train if utterance.value(column) == value]
        test = [utterance for utterance in data.test if utterance.value(column) == value]
        if not train or not test:
            values = [each.value(column) for each in (*data.train, *data.test)]
            found = ", ".join(sorted({each for each in values if each is not None})) or "none"
            raise InputError(f"{column} {value}: not in both parts of the data, which have {found}")
        revision = hashlib.sha256(f"{data.revision} {value}".encode()).hexdigest()[:12]
        return replace(data, task=self.name, revision=revision, train=train, test=test)

    def has_target(self, utterance: Utterance) -> bool:
        """Return whether an utterance has what the task predicts."""
        return any(utterance.value(column) is not None for column in self.columns)

    def target(self, utterance: Utterance) -> str:
        """Return the label (or transcript) that the task predicts for an utterance.

        Raises:
            InputError: the utterance has none.
        """
        for column in self.columns:
            value = utterance.value(column)
            if value is not None:
                return value
        wanted = " or ".join(self.columns)
        raise InputError(f"{utterance.id}: no {wanted}, which the task {self.name} needs")

    def tokens(self, transcript: str) -> list[str]:
        """Cut a normalised transcript of a sequence task into what CTC is to emit."""
        return transcript.split(self.separator) if self.separator and transcript else list(transcript)

    def measure(self, utterances: Sequence[Utterance], hypotheses: Sequence[str]) -> dict[str, float]:
        """Return the metrics of what was recognised, over all utterances and by `measured_by`.

        Args:
            utterances: those that were recognised, with their targets.
            hypotheses: what was recognised, one an utterance.

        Raises:
            ValueError: the lengths differ, or there are no utterances.
            InputError: an utterance has no target, or no metric exists.
        """
        references = [self.target(utterance) for utterance in utterances]
        metrics = self.evaluate(references, hypotheses)
        if self.measured_by is None:
            return metrics
        values = [utterance.value(self.measured_by) for utterance in utterances]
        different = {value for value in values if value is not None}
        for value in sorted(different) if len(different) > 1 else ():
            chosen = [index for index, other in enumerate(values) if other == value]
            of_value = self.evaluate(
                [references[index] for index in chosen], [hypotheses[index] for index in chosen]
            )
            metrics |= {f"{name}:{value}": result for name, result in of_value.items()}
        return metrics

    def goodness(self, value: float) -> float:
        """Turn a metric value so that higher is better (error rates are negated)."""
        return value if self.direction == "higher" else -value
