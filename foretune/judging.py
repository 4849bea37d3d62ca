"""Scores against ground truth: one agreement record a cell of the grid.

What a cell costs: `score_seconds` is what a user pays to score all its candidates by that estimator
alone: reading speech and the forward pass, once a model; the statistics that the estimator needs,
of all layers, once a model; and the estimator itself on each layer that counts. Loading weights is
not in it, nor in the cost of fine-tuning. `fine_tune_seconds` is the sum over the candidates of one
run's wall time, mean over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from foretune.agreement import (
    kendall_tau,
    regret,
    smallest_p_value,
    smooth_p_value,
    spearman,
    weighted_tau,
)
from foretune.gates import NO_GATE, Gate
from foretune.ground_truth import Outcome
from foretune.records import AgreementRecord, ScoreRecord
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task

Policy = Literal["last", "best", "mean"]
"""How the scores of a model's layers make the model's score."""
POLICIES: tuple[Policy, ...] = ("last", "best", "mean")
DEFAULT_POLICY: Policy = "last"
"""As the ground truth: it fine-tunes whole encoders with a head on the last layer."""
ALL_MODELS = "all"
"""In the place of the model, where the candidates are models."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One candidate of a cell."""

    name: str
    score: float | None
    error: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _Cell:
    """An estimator's scores of all candidates of a setting, and what these cost."""

    task: Task
    setting: Literal["layers", "models"]
    model: str
    policy: str
    entries: Sequence[_Entry]
    records: Sequence[ScoreRecord]
    seconds: float


def over_layers(
    task: Task, scores: Sequence[ScoreRecord], outcomes: Mapping[int, Outcome], gate: Gate = NO_GATE
) -> AgreementRecord:
    """Judge one estimator by how it ranks the layers of one model.

    Args:
        task: what was scored and fine-tuned for.
        scores: of one model by one estimator, each layer once.
        outcomes: of fine-tuning, by layer; the layers that were not fine-tuned do not count.
        gate: what must hold.

    Raises:
        InputError: a layer that was fine-tuned has no record, or there are fewer than two.
    """
    by_layer = {record.layer: record for record in scores}
    missing = sorted(set(outcomes) - set(by_layer))
    if missing:
        raise InputError(f"{task.name}: layer {missing[0]} was fine-tuned, but not scored; score all layers")
    chosen = [by_layer[layer] for layer in sorted(outcomes)]
    entries = [
        _Entry(str(record.layer), record.score, record.error, outcomes[record.layer]) for record in chosen
    ]
    return _judge(_Cell(task, "layers", chosen[0].model, "each", entries, chosen, _seconds(chosen)), gate)


def over_models(
    task: Task,
    scores: Mapping[str, Sequence[ScoreRecord]],
    outcomes: Mapping[str, Outcome],
    policy: Policy = DEFAULT_POLICY,
    gate: Gate = NO_GATE,
) -> AgreementRecord:
    """Judge one estimator by how it ranks models.

    Args:
        task: what was scored and fine-tuned for.
        scores: by model, all of one estimator: one a layer; the policy `last` needs the last only.
        outcomes: of fine-tuning the whole encoder, by model.
        policy: how a model's score is made.
        gate: what must hold.

    Raises:
        InputError: a model that was fine-tuned has no record, or there are fewer than two.
    """
    entries, used, seconds = [], [], 0.0
    for model in sorted(outcomes):
        if not scores.get(model):
            raise InputError(f"{task.name}: {model} was fine-tuned, but not scored; score it too")
        records = sorted(scores[model], key=lambda record: record.layer)
        counted = records[-1:] if policy == "last" else records
        errors = [f"layer {record.layer}: {record.error}" for record in counted if record.score is None]
        entries.append(_Entry(model, _pooled(counted, policy), "; ".join(errors), outcomes[model]))
        used += counted
        seconds += _seconds(counted)
    return _judge(_Cell(task, "models", ALL_MODELS, policy, entries, used, seconds), gate)


def _pooled(records: Sequence[ScoreRecord], policy: Policy) -> float | None:
    scores = [record.score for record in records if record.score is not None]
    if len(scores) < len(records):
        return None
    return math.fsum(scores) / len(scores) if policy == "mean" else max(scores)


def _seconds(records: Sequence[ScoreRecord]) -> float:
    """Return what one model's scores cost; all its layers share one pass."""
    shared = records[0].forward_seconds + records[0].accumulate_seconds
    return shared + math.fsum(record.score_seconds for record in records)


def _judge(cell: _Cell, gate: Gate) -> AgreementRecord:
    task, entries = cell.task, cell.entries
    failures = [f"{entry.name}: {entry.error}" for entry in entries if entry.score is None]
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    statistics = _NO_STATISTICS if failures else _statistics(cell)
    fine_tune_seconds = math.fsum(entry.outcome.wall_seconds for entry in entries)
    first = cell.records[0]
    return AgreementRecord(
        task=task.name,
        suite=first.suite,
        data_revision=first.data_revision,
        model=cell.model,
        provenance=first.provenance,
        setting=cell.setting,
        estimator=first.estimator,
        layer_policy=cell.policy,
        status="failed" if failures else "done",
        error=failures[0] + more if failures else "",
        metric=task.metric,
        direction=task.direction,
        candidates=len(entries),
        names=[entry.name for entry in entries],
        scores=[entry.score for entry in entries],
        values=[entry.outcome.value for entry in entries],
        deviations=[entry.outcome.deviation for entry in entries],
        seeds=min(entry.outcome.seeds for entry in entries),
        spearman=statistics.spearman,
        p_value=statistics.p_value,
        smallest_p_value=smallest_p_value(len(entries)),
        p_value_error=statistics.p_value_error,
        smooth_p_value=statistics.smooth_p_value,
        kendall=statistics.kendall,
        weighted_kendall=statistics.weighted_kendall,
        regret=statistics.regret,
        regret_at_3=statistics.regret_at_3,
        score_seconds=cell.seconds,
        fine_tune_seconds=fine_tune_seconds,
        cost_ratio=fine_tune_seconds / cell.seconds if cell.seconds > 0 and not failures else None,
        least_spearman=gate.least_spearman,
        largest_p_value=gate.largest_p_value,
        reason=gate.reason,
        passed=not gate.violations(statistics.spearman, statistics.p_value),
    )


class _Statistics(NamedTuple):
    spearman: float | None = None
    p_value: float | None = None
    p_value_error: float = 0.0
    smooth_p_value: float | None = None
    kendall: float | None = None
    weighted_kendall: float | None = None
    regret: float | None = None
    regret_at_3: float | None = None


_NO_STATISTICS = _Statistics()


def _statistics(cell: _Cell) -> _Statistics:
    scores = [entry.score for entry in cell.entries if entry.score is not None]
    goodness = [cell.task.goodness(entry.outcome.value) for entry in cell.entries]
    agreement = spearman(scores, goodness)
    return _Statistics(
        spearman=agreement.rho,
        p_value=agreement.p_value,
        p_value_error=agreement.p_value_error,
        smooth_p_value=smooth_p_value(scores, goodness) if cell.setting == "layers" else None,
        kendall=kendall_tau(scores, goodness),
        weighted_kendall=weighted_tau(scores, goodness),
        regret=regret(scores, goodness),
        regret_at_3=regret(scores, goodness, k=min(3, len(scores))),
    )


def extra_info(record: AgreementRecord) -> dict[str, str | int | float | None]:
    """Return what pytest-benchmark saves of a cell: strings and plain numbers; None where it failed."""
    names = ("task", "setting", "model", "estimator", "candidates", "spearman", "p_value")
    costs = ("score_seconds", "fine_tune_seconds", "cost_ratio")
    return {name: getattr(record, name) for name in (*names, *costs)}
