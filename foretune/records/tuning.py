"""Fine-tuning runs: the ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .schema import RecordBase

Key = tuple[str, str, str, str, str, int, int, str]
Protocol = Literal["layer", "full", "single-layer", "probe"]
"""How a candidate is fine-tuned; see `foretune.tuning.protocols`."""
RunProtocol = Literal["layer", "single-layer", "probe"]
"""What a run does; `full` is another name for `layer` at the top."""


def planned(protocol: Protocol) -> RunProtocol:
    """Return the protocol that a run is planned, looked for and judged under.

    >>> planned("full"), planned("probe")
    ('layer', 'probe')
    """
    return "layer" if protocol == "full" else protocol


class Trial(BaseModel):
    """What one learning rate gave, on the validation part.

    Attributes:
        learning_rate: of the last stage, at its peak.
        updates: that were made with it.
        step: after how many of them it was at its best; these weights count.
        metrics: then, on the validation part; empty where the loss was no longer finite.
        error: why.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    learning_rate: float
    updates: int
    step: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    error: str = ""


class TuningRecord(RecordBase):
    """One fine-tuning run: a piece of ground truth and what it cost.

    Attributes:
        layer: where the encoder was cut (`layer`), or the one that trained (`single-layer`).
        learning_rate: of the last stage, at its peak; the chosen one where several were tried.
        steps: updates of the last stage at most; fewer where it was stopped early.
        settings: those that depart from what the first records were made with, by name
            (`foretune.tuning.settings`); empty where none does.
        metrics: on the test part; `value` is that of `metric`.
        validation: metrics on the validation part, which learning rate and stopping were chosen by; empty
            without one.
        trials: what each learning rate gave there.
        flops: floating-point operations of all updates (`foretune.tuning.flops`); None where not counted.
        train_utterances: that were trained on.
    """

    kind: Literal["tuning"] = "tuning"
    model_revision: str
    protocol: Protocol
    layer: int
    seed: int
    learning_rate: float
    steps: int
    settings: dict[str, float | str] = Field(default_factory=dict)
    status: Literal["done", "failed"]
    error: str = ""
    metric: str
    direction: Literal["higher", "lower"]
    value: float | None
    metrics: dict[str, float]
    validation: dict[str, float] = Field(default_factory=dict)
    trials: list[Trial] = Field(default_factory=list)
    parameters_trained: int
    flops: int | None = None
    train_utterances: int
    validation_utterances: int = 0
    test_utterances: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int

    @property
    def key(self) -> Key:
        """Return what makes this run the same run as another."""
        return (
            self.task,
            self.data_revision,
            self.model,
            self.model_revision,
            self.protocol,
            self.layer,
            self.seed,
            settings_text(self.settings),
        )

    @property
    def run_key(self) -> Key:
        """Return the key of the computation, one and the same told as `full` or as `layer` at the top."""
        task, data, model, revision, _, layer, seed, settings = self.key
        return task, data, model, revision, planned(self.protocol), layer, seed, settings


def settings_text(settings: Mapping[str, float | str]) -> str:
    """Return a record's settings on one line, empty where none departs from the first records'.

    >>> settings_text({"steps": 50, "learning_rate": 3e-4})
    'learning_rate 0.0003, steps 50'
    """
    return ", ".join(
        f"{name} {value}" if isinstance(value, str) else f"{name} {value:.15g}"
        for name, value in sorted(settings.items())
    )


def read_tuning(paths: Iterable[Path]) -> list[TuningRecord]:
    """Read the finished fine-tuning runs of several files; of repeated runs the last counts."""
    from .files import read  # which reads every kind of record, this one too

    runs: dict[Key, TuningRecord] = {}
    for path in paths:
        for record in read(path):
            if isinstance(record, TuningRecord) and record.status == "done":
                runs[record.key] = record
    return list(runs.values())
