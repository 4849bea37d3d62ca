"""What a fine-tuning run does, in numbers: the same for every layer and candidate of a task."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from foretune.tasks.errors import InputError
from foretune.tasks.task import Kind, Task


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a fine-tuning run.

    A run has two stages (linear probing, then fine-tuning: Kumar et al., 2022, arXiv:2202.10054):
    first the head alone on frozen features, which costs next to nothing and takes CTC past the
    plateau where it emits blanks only; then the head and the transformer layers below it. A probe has
    one stage, as long as both, at the head's batch size and learning rate.

    Attributes:
        steps: updates of encoder and head together.
        head_steps: updates of the head alone, before.
        batch_size: utterances per update of encoder and head.
        head_batch_size: utterances per update of the head alone.
        learning_rate: of encoder and head together, at its peak.
        head_learning_rate: of the head alone, before, at its peak; high, since the head starts from nothing.
        warmup: part of a stage's steps over which its learning rates rise linearly, in [0, 1); after it
            they fall linearly to 0.
        weight_decay: of AdamW, on encoder and head.
        clipping: largest Euclidean norm of the gradient of all parameters.
        blank_bias: initial bias of CTC's blank; negative, so that the head has to say something.
        learning_rates: the last stage runs once with each of them, in place of the one above, and what does
            best on the validation part counts, the first of equals; none by default.
        validation: share of the training part that is held out to choose by, in [0, 1/2]; 0 for none. A run
            with a validation part keeps the weights of the evaluation at which it was best there.
        evaluations: on the validation part, in the last stage, evenly spaced, the last one at its end.
        patience: evaluations in a row that may bring nothing better before the stage is stopped.
        precision: what forward passes of training compute in; weights and evaluation stay in float32.
    """

    steps: int
    head_steps: int
    batch_size: int = 8
    head_batch_size: int = 32
    learning_rate: float = 1e-3
    head_learning_rate: float = 2e-2
    warmup: float = 0.1
    weight_decay: float = 1e-2
    clipping: float = 1.0
    blank_bias: float = -2.0
    learning_rates: tuple[float, ...] = ()
    validation: float = 0.0
    evaluations: int = 5
    patience: int = 2
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if not 0 <= self.validation <= 0.5:
            raise InputError(f"validation {self.validation:g}: give a share of the training part up to 0.5")
        if self.learning_rates and not self.validation:
            raise InputError(
                "learning rates to choose from need a validation part; give a share, such as 0.15"
            )
        if any(not rate > 0 for rate in (self.learning_rate, *self.learning_rates)):
            raise InputError("a learning rate is not positive; give numbers such as 0.001")


DEFAULTS: dict[Kind, Settings] = {
    "utterance": Settings(steps=100, head_steps=200),
    "sequence": Settings(steps=120, head_steps=200),
}
"""Settings by kind of task."""
BY_TASK: dict[str, Settings] = {
    # recordings are half as long as those of other tasks: twice as many an update cost the same, and
    # halve what the seed decides
    "keyword_spotting": Settings(steps=100, head_steps=200, batch_size=16),
    # seeds decide much of what eight utterances at a time learn of emotions
    "emotion_recognition": Settings(steps=100, head_steps=200, batch_size=16),
}
"""Settings of tasks that depart from their kind's."""

UNSAID: dict[str, object] = {
    "head_steps": 200,
    "batch_size": 8,
    "head_batch_size": 32,
    "learning_rate": 1e-3,
    "head_learning_rate": 2e-2,
    "warmup": 0.1,
    "weight_decay": 1e-2,
    "clipping": 1.0,
    "blank_bias": -2.0,
    "learning_rates": (),
    "validation": 0.0,
    "evaluations": 5,
    "patience": 2,
    "precision": "float32",
}
"""What a record that says nothing of its settings was made with; never to be changed, unlike the defaults."""
UNSAID_STEPS: dict[Kind, int] = {"utterance": 100, "sequence": 120}
"""Likewise, of `steps`."""
UNSAID_BY_TASK: dict[str, dict[str, object]] = {"keyword_spotting": {"batch_size": 16}}
"""Likewise, where a task departs from its kind."""


def default_settings(task: Task) -> Settings:
    """Return the settings of a task's runs, where none are given."""
    return BY_TASK.get(task.name, DEFAULTS[task.kind])


def departures(task: Task, settings: Settings) -> dict[str, float | str]:
    """Return the settings in which a run departs from what a record without settings was made with.

    They are part of what makes a run the same run as another, so that one file may hold runs with several
    settings, and those that were made before records had settings stay what they were.
    """
    unsaid = UNSAID | {"steps": UNSAID_STEPS[task.kind]} | UNSAID_BY_TASK.get(task.name, {})
    return {name: _plain(value) for name, value in asdict(settings).items() if value != unsaid[name]}


def _plain(value: float | str | tuple[float, ...]) -> float | str:
    if isinstance(value, tuple):
        return " ".join(f"{rate:g}" for rate in value)
    return value if isinstance(value, str) else float(value)
