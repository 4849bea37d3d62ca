"""What a learning rate, and when to stop, are chosen by: a part of the training part, never the test part."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from foretune.records.tuning import Trial
from foretune.tasks.errors import InputError
from foretune.tasks.manifest import group_key
from foretune.tasks.splits import grouped_split
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData


@dataclass(frozen=True, slots=True)
class Validation:
    """The utterances that are held out, and how they are measured.

    Attributes:
        inputs: of the model, one for each utterance.
        metrics: of what was recognised in them.
        goodness: of these, higher is better.
    """

    inputs: Sequence[Any]
    metrics: Callable[[Sequence[str]], dict[str, float]]
    goodness: Callable[[dict[str, float]], float]

    def measure(self, said: Sequence[str]) -> tuple[dict[str, float], float]:
        """Return the metrics of what was recognised, and their goodness."""
        metrics = self.metrics(said)
        return metrics, self.goodness(metrics)


def copies(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """Return the values that parameters have now."""
    return [parameter.detach().clone() for parameter in parameters]


@dataclass(slots=True)
class Best:
    """The best evaluation of a stage so far.

    Attributes:
        rate: the stage's learning rate.
        goodness: the higher the better.
        step: after how many of the stage's updates it was.
        metrics: on the validation part.
        weights: of what trains.
        waited: evaluations since then.
    """

    rate: float
    goodness: float = -math.inf
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    weights: list[Tensor] = field(default_factory=list)
    waited: int = 0

    def see(
        self, step: int, measured: tuple[dict[str, float], float], parameters: Sequence[nn.Parameter]
    ) -> None:
        """Take an evaluation, and keep the weights if it is the best."""
        metrics, goodness = measured
        if goodness > self.goodness:
            self.goodness, self.metrics, self.step, self.waited = goodness, metrics, step, 0
            self.weights = copies(parameters)
        else:
            self.waited += 1


@dataclass(frozen=True, slots=True)
class Trained:
    """What training did.

    Attributes:
        parameters: how many trained.
        learning_rate: the last stage's, chosen if there were several.
        steps: updates of the last stage that the weights have seen.
        flops: of all updates, those of other learning rates too.
        validation: metrics of the weights on the validation part, empty without one.
        trials: one for each learning rate, where there is a validation part.
    """

    parameters: int
    learning_rate: float
    steps: int
    flops: int
    validation: dict[str, float] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)


def held_out(task: Task, data: TaskData, share: float) -> list[bool]:
    """Choose which training utterances to hold out.

    What the task keeps apart between training and test (speakers, sentences) is kept apart here too, where
    it is known and there are several; every class that is held out is trained on. The same data and share
    give the same utterances, whatever the run's seed.

    Args:
        task: says what is kept apart.
        data: of the task; the test part is not looked at.
        share: of the training utterances, between 0 and 1.

    Raises:
        InputError: there are too few utterances to hold some out.
    """
    each = [utterance.id for utterance in data.train]
    known = all(utterance.value(task.split_by) is not None for utterance in data.train)
    groups = [group_key(utterance, task.split_by) for utterance in data.train] if known else each
    labels = [task.target(utterance) for utterance in data.train] if task.kind == "utterance" else None
    seed = zlib.crc32(data.revision.encode())
    try:
        return _split(groups, labels, share, seed)
    except InputError:  # one group, or every split would lack a class in training
        pass
    try:
        return _split(each, labels, share, seed)
    except InputError as error:
        raise InputError(f"task {task.name}: no validation part can be held out: {error}") from None


def _split(groups: Sequence[str], labels: Sequence[str] | None, share: float, seed: int) -> list[bool]:
    held: list[bool] = grouped_split(groups, labels, test_fraction=share, seed=seed).tolist()
    return held
