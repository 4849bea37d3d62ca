"""Fine-tuning runs: the ground truth."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from .schema import RecordBase


class TuningRecord(RecordBase):
    """One fine-tuning run: a piece of ground truth and what it cost."""

    kind: Literal["tuning"] = "tuning"
    model_revision: str
    protocol: Literal["layer", "full", "probe", "single-layer"]
    layer: int
    seed: int
    learning_rate: float
    steps: int
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
    def key(self) -> tuple[str, str, str, str, str, int, int]:
        """Return what makes this run the same run as another."""
        return (
            self.task,
            self.data_revision,
            self.model,
            self.model_revision,
            self.protocol,
            self.layer,
            self.seed,
        )


def read_tuning(paths: Iterable[Path]) -> list[TuningRecord]:
    """Read the finished fine-tuning runs of several files; of repeated runs the last counts."""
    from .files import read  # which reads every kind of record, this one too

    runs: dict[tuple[str, str, str, str, str, int, int], TuningRecord] = {}
    for path in paths:
        for record in read(path):
            if isinstance(record, TuningRecord) and record.status == "done":
                runs[record.key] = record
    return list(runs.values())
