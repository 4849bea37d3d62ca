"""Fine-tuning runs: the ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from .schema import RecordBase

Key = tuple[str, str, str, str, str, int, int, str]


class TuningRecord(RecordBase):
    """One fine-tuning run: a piece of ground truth and what it cost.

    Attributes:
        settings: those that depart from what the first records were made with, by name
            (`foretune.tuning.settings`); empty where none does.
    """

    kind: Literal["tuning"] = "tuning"
    model_revision: str
    protocol: Literal["layer", "full", "probe", "single-layer"]
    layer: int
    seed: int
    learning_rate: float
    steps: int
    settings: dict[str, float] = Field(default_factory=dict)
    status: Literal["done", "failed"]
    error: str = ""
    metric: str
    direction: Literal["higher", "lower"]
    value: float | None
    metrics: dict[str, float]
    parameters_trained: int
    train_utterances: int
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


def settings_text(settings: Mapping[str, float]) -> str:
    """Return a record's settings on one line, empty where none departs from the first records'.

    >>> settings_text({"steps": 50, "learning_rate": 3e-4})
    'learning_rate 0.0003, steps 50'
    """
    return ", ".join(f"{name} {value:.15g}" for name, value in sorted(settings.items()))


def read_tuning(paths: Iterable[Path]) -> list[TuningRecord]:
    """Read the finished fine-tuning runs of several files; of repeated runs the last counts."""
    from .files import read  # which reads every kind of record, this one too

    runs: dict[Key, TuningRecord] = {}
    for path in paths:
        for record in read(path):
            if isinstance(record, TuningRecord) and record.status == "done":
                runs[record.key] = record
    return list(runs.values())
