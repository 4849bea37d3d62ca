"""Cells: what of two runs is held against each other.

The records of a run are read as cells with a name, `SUITE.TASK.SETTING.WHICH.ESTIMATOR`:

- an agreement: the setting is `layers`, and which is the model; or `models`, and which is the layer policy;
  a protocol other than `layer` stands behind it in parentheses;
- a score of a layer: the setting is `scores`, which is the model, and the layer stands beside the name;
- the time that an estimator takes on all these layers together: the setting is `times`;
- an agreement with published results: the suite is the table, and which is the model whose layers are
  ranked, or `all`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from foretune.records import AgreementRecord, PublishedRecord, Record, ScoreRecord, latest

_PUBLISHED = ("spearman", "kendall", "weighted_kendall", "p_value", "regret", "regret_at_3")
STATISTICS = (*_PUBLISHED, "pearson", "top_3_recall")
"""Measures of an agreement, named as the fields of its record."""


class Cell(NamedTuple):
    """What makes two results comparable."""

    suite: str
    task: str
    setting: str
    which: str
    estimator: str
    layer: int | None = None

    @property
    def name(self) -> str:
        """Return what patterns are matched with; the layer is not in it."""
        return ".".join(self[:5])

    def __str__(self) -> str:
        """Return the name, and the layer where there is one."""
        return self.name if self.layer is None else f"{self.name}, layer {self.layer}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run has in a cell.

    Attributes:
        values: by measure; None where there is none.
        intervals: of Spearman's ρ: (lower end, upper end) by `limits.INTERVALS`, those that are known.
        error: why there is no value at all; empty where there is.
        origin: of data, weights and candidates: where it differs, there are no like things to compare.
        timed_on: where times were taken: where it differs, they cannot be compared.
        untimed: why its times are no timings at all; empty where they are.
    """

    values: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    error: str = ""
    origin: Mapping[str, str] = field(default_factory=dict)
    timed_on: Mapping[str, str] = field(default_factory=dict)
    untimed: str = ""


def results(records: Iterable[Record]) -> dict[Cell, Result]:
    """Return what a run has, by cell, in the order of its records; of repeated cells the last counts.

    Fine-tuning runs are no results of an estimator, and are left out.
    """
    found: dict[Cell, Result] = {}
    scores: dict[Cell, list[ScoreRecord]] = {}
    for record in latest(records):
        if isinstance(record, AgreementRecord):
            which = record.model if record.setting == "layers" else record.layer_policy
            which += "" if record.protocol == "layer" else f" ({record.protocol})"
            cell = Cell(record.suite, record.task, record.setting, which, record.estimator)
            found[cell] = _agreement(record)
        elif isinstance(record, PublishedRecord):
            which = record.model if record.truth == "metric" else f"{record.model} ({record.truth})"
            cell = Cell(record.suite, record.task, record.setting, which, record.estimator)
            found[cell] = _published(record)
        elif isinstance(record, ScoreRecord):
            names = (record.suite, record.task, "scores", record.model, record.estimator)
            found[Cell(*names, record.layer)] = _score(record)
            scores.setdefault(Cell(*names)._replace(setting="times"), []).append(record)
    return found | {cell: _time(layers) for cell, layers in scores.items()}


def _agreement(record: AgreementRecord) -> Result:
    failed = record.status == "failed" or record.spearman is None
    return Result(
        values={name: _number(getattr(record, name)) for name in STATISTICS} | {"time": record.score_seconds},
        intervals=_intervals(
            {
                "interval": (record.low, record.high),
                "seed-interval": (record.seed_low, record.seed_high),
                "utterance-interval": (record.utterance_low, record.utterance_high),
            }
        ),
        error=(record.error or "no value") if failed else "",
        origin={
            "data": record.data_revision,
            "candidates": ", ".join(record.names),
            "seeds": _seeds(record),
        },
        timed_on=_timed_on(record),
        untimed=_why_untimed(record),
    )


def _seeds(record: AgreementRecord) -> str:
    """Return with how many seeds the candidates were fine-tuned: one number where it is the same."""
    numbers = record.seed_numbers
    return ", ".join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))


def _published(record: PublishedRecord) -> Result:
    return Result(
        values={name: _number(getattr(record, name)) for name in _PUBLISHED},
        intervals=_intervals({"interval": (record.low, record.high)}),
        origin={"data": record.data_revision, "candidates": str(record.candidates)},
    )


def _score(record: ScoreRecord) -> Result:
    return Result(
        values={"score": _number(record.score)},
        error=(record.error or "no value") if record.score is None else "",
        origin={
            "data": record.data_revision,
            "weights": record.model_revision,
            "precision": record.dtype,
            "samples": f"{record.samples} ({record.unit}, every {record.frame_stride})",
            "aligner": "" if record.labels is None else record.labels.aligner_revision,
        },
    )


def _time(layers: list[ScoreRecord]) -> Result:
    return Result(
        values={"time": math.fsum(record.score_seconds for record in layers)},
        origin={
            "data": layers[0].data_revision,
            "weights": layers[0].model_revision,
            "layers": ", ".join(str(layer) for layer in sorted(record.layer for record in layers)),
        },
        timed_on=_timed_on(layers[0]),
        untimed=next(filter(None, map(_why_untimed, layers)), ""),
    )


def _timed_on(record: Record) -> dict[str, str]:
    origin = record.provenance
    return {"machine": origin.machine, "device": origin.device, "threads": str(origin.threads)}


def _why_untimed(record: Record) -> str:
    processes = record.provenance.processes
    return f"{processes} processes ran tests side by side" if processes > 1 else ""


def _intervals(ends: Mapping[str, tuple[float | None, float | None]]) -> dict[str, tuple[float, float]]:
    return {name: (low, high) for name, (low, high) in ends.items() if low is not None and high is not None}


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
