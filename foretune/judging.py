"""Scores against ground truth: one agreement record a cell of the grid.

What a cell costs: `score_seconds` is what a user pays to score all its candidates by that estimator
alone: reading speech and the forward pass, once a model; the statistics that the estimator needs,
of all layers, once a model; and the estimator itself on each layer that counts. Loading weights is
not in it, nor in the cost of fine-tuning. `fine_tune_seconds` is the sum over the candidates of one
run's wall time, mean over seeds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foretune.agreement import (
    Interval,
    candidate_interval,
    ceiling,
    kendall_tau,
    partial_spearman,
    pearson,
    regret,
    seed_interval,
    smallest_p_value,
    smooth_p_value,
    spearman,
    split_half,
    top_recall,
    utterance_interval,
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
"""As the ground truth: it fine-tunes whole encoders with a head on the last layer; see `default_policy`."""
ALL_MODELS = "all"
"""In the place of the model, where the candidates are models."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One candidate of a cell.

    Attributes:
        name: of the model, or the layer's number.
        score: None where there is none.
        error: why.
        outcome: of fine-tuning it.
        records: the scores that its own is made from.
        held_fixed: what a partial correlation holds fixed: depth, or the logarithm of the parameters.
    """

    name: str
    score: float | None
    error: str
    outcome: Outcome
    records: Sequence[ScoreRecord]
    held_fixed: float | None


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
        _Entry(
            str(record.layer),
            record.score,
            record.error,
            outcomes[record.layer],
            [record],
            float(record.layer),
        )
        for record in chosen
    ]
    return _judge(_Cell(task, "layers", chosen[0].model, "each", entries, chosen, _seconds(chosen)), gate)


def over_models(
    task: Task,
    scores: Mapping[str, Sequence[ScoreRecord]],
    outcomes: Mapping[str, Outcome],
    policy: Policy | None = None,
    gate: Gate = NO_GATE,
) -> AgreementRecord:
    """Judge one estimator by how it ranks models.

    Args:
        task: what was scored and fine-tuned for.
        scores: by model, all of one estimator: one a layer; the policy `last` needs the last only.
        outcomes: of fine-tuning the whole encoder, or of a probe of it, by model.
        policy: how a model's score is made; None: the default of the outcomes' protocol.
        gate: what must hold.

    Raises:
        InputError: a model that was fine-tuned has no record, or there are fewer than two.
    """
    policy = policy or default_policy(next((each.protocol for each in outcomes.values()), "layer"))
    entries, used, seconds = [], [], 0.0
    for model in sorted(outcomes):
        if not scores.get(model):
            raise InputError(f"{task.name}: {model} was fine-tuned, but not scored; score it too")
        records = sorted(scores[model], key=lambda record: record.layer)
        counted = records[-1:] if policy == "last" else records
        errors = [f"layer {record.layer}: {record.error}" for record in counted if record.score is None]
        score = _pooled(counted, policy)
        size = records[-1].parameters
        behind = [record for record in counted if record.score == score][:1] if policy == "best" else counted
        entries.append(
            _Entry(
                model,
                score,
                "; ".join(errors),
                outcomes[model],
                behind,
                math.log(size) if size else None,
            )
        )
        used += counted
        seconds += _seconds(counted)
    return _judge(_Cell(task, "models", ALL_MODELS, policy, entries, used, seconds), gate)


def default_policy(protocol: str) -> Policy:
    """Return the layer policy that models are judged by unless another is asked for.

    Whole encoders are fine-tuned with a head on the last layer. A probe sees a learned sum of all layers,
    which can be any one of them: it can do what the best layer can.
    """
    return "best" if protocol == "probe" else DEFAULT_POLICY


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
    statistics = _NO_STATISTICS if failures else _statistics(cell) | _noise(cell)
    fine_tune_seconds = math.fsum(entry.outcome.wall_seconds for entry in entries)
    first = cell.records[0]
    # a part of a task is scored on its own speech, but fine-tuned for together with the others
    timed = (
        task.only is None
        and cell.seconds > 0
        and all(record.provenance.processes == 1 for record in cell.records)
    )
    return AgreementRecord(
        task=task.name,
        suite=first.suite,
        data_revision=first.data_revision,
        model=cell.model,
        provenance=first.provenance,
        setting=cell.setting,
        estimator=first.estimator,
        layer_policy=cell.policy,
        protocol=entries[0].outcome.protocol,
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
        seeds_each=[entry.outcome.seeds for entry in entries],
        smallest_p_value=smallest_p_value(len(entries)),
        **statistics,
        **_ceilings(task, entries),
        score_seconds=cell.seconds,
        fine_tune_seconds=fine_tune_seconds,
        cost_ratio=fine_tune_seconds / cell.seconds if timed and not failures else None,
        least_spearman=gate.least_spearman,
        largest_p_value=gate.largest_p_value,
        reason=gate.reason,
        passed=not gate.violations(statistics["spearman"], statistics["p_value"]),
    )


_NO_STATISTICS: dict[str, Any] = dict.fromkeys(
    (
        "spearman",
        "p_value",
        "smooth_p_value",
        "kendall",
        "weighted_kendall",
        "regret",
        "regret_at_3",
    )
)


def _statistics(cell: _Cell) -> dict[str, Any]:
    """Return how well the scores rank the candidates, as fields of a record."""
    scores, goodness = _pairs(cell)
    agreement = spearman(scores, goodness)
    layers = cell.setting == "layers"
    interval = candidate_interval(scores, goodness)
    covariate = [entry.held_fixed for entry in cell.entries if entry.held_fixed is not None]
    whole = len(covariate) == len(cell.entries)
    partial = partial_spearman(scores, goodness, covariate) if whole else None
    best = min(3, len(scores))
    return {
        "spearman": agreement.rho,
        "p_value": agreement.p_value,
        "p_value_error": agreement.p_value_error,
        **_ends("", interval),
        "smooth_p_value": smooth_p_value(scores, goodness) if layers else None,
        "pearson": pearson(scores, goodness),
        "kendall": kendall_tau(scores, goodness),
        "weighted_kendall": weighted_tau(scores, goodness),
        "top_3_recall": top_recall(scores, goodness, k=best),
        "regret": regret(scores, goodness),
        "regret_at_3": regret(scores, goodness, k=best),
        "held_fixed": ("depth" if layers else "log parameters") if whole else "",
        "partial_spearman": None if partial is None else partial.rho,
        "partial_p_value": None if partial is None else partial.p_value,
    }


def _noise(cell: _Cell) -> dict[str, Any]:
    """Return what the noise of fine-tuning and of scoring leaves open, as fields of a record."""
    scores, goodness = _pairs(cell)
    outcomes = [entry.outcome for entry in cell.entries]
    over_seeds = seed_interval(
        scores,
        goodness,
        [outcome.deviation for outcome in outcomes],
        [outcome.seeds for outcome in outcomes],
    )
    by_groups = _errors_by_groups(cell.entries)
    alone = [_standard_error(entry) for entry in cell.entries]
    known = [error for error in alone if error is not None]
    errors, kind = (by_groups, "groups") if by_groups else (known, "standard errors")
    if not by_groups and len(known) < len(alone):
        errors, kind = [], ""
    over_utterances = utterance_interval(scores, goodness, errors) if errors else None
    return {
        **_ends("seed_", over_seeds),
        **_ends("utterance_", over_utterances),
        "utterance_errors": kind if over_utterances is not None else "",
        "score_errors": alone if known else [],
    }


def _ceilings(task: Task, entries: Sequence[_Entry]) -> dict[str, Any]:
    """Return how well the seeds agree with each other, and what ρ can be reached at all."""
    outcomes = [entry.outcome for entry in entries]
    common = sorted(set.intersection(*(set(outcome.by_seed) for outcome in outcomes)))
    return {
        "split_half": split_half([[outcome.by_seed[seed] for seed in common] for outcome in outcomes]),
        "ceiling": _ceiling(
            tuple(task.goodness(outcome.value) for outcome in outcomes),
            tuple(outcome.deviation for outcome in outcomes),
            tuple(outcome.seeds for outcome in outcomes),
        ),
    }


# the same for all estimators of a setting
_ceiling = functools.lru_cache(maxsize=64)(ceiling)


def _pairs(cell: _Cell) -> tuple[list[float], list[float]]:
    """Return the candidates' scores and their values, turned so that higher is better."""
    scores = [entry.score for entry in cell.entries if entry.score is not None]
    return scores, [cell.task.goodness(entry.outcome.value) for entry in cell.entries]


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else interval
    return {f"{name}low": low, f"{name}high": high}


def _errors_by_groups(entries: Sequence[_Entry]) -> list[list[float]]:
    """Return each candidate's errors by groups of utterances; empty unless all have them for as many groups.

    All candidates are scored on the same utterances, whose groups have the same order everywhere.
    """
    found = [[record.group_errors or [] for record in entry.records] for entry in entries]
    sizes = {len(errors) for each in found for errors in each}
    if len(sizes) != 1 or min(sizes) < 2:
        return []
    return [[math.fsum(group) / len(group) for group in zip(*each, strict=True)] for each in found]


def _standard_error(entry: _Entry) -> float | None:
    """Return the standard error of a candidate's score; None where it is not known."""
    errors = _errors_by_groups([entry])
    if errors:
        return math.hypot(*errors[0])
    return entry.records[0].standard_error if len(entry.records) == 1 else None


def completed(record: AgreementRecord) -> AgreementRecord:
    """Return a record of schema 1 with the interval over candidates and the ceiling that it lacks.

    Both follow from its scores, values and deviations. A record of today's schema is as it should be.
    """
    if record.schema_version > 1 or record.status == "failed":
        return record
    sign = 1 if record.direction == "higher" else -1
    goodness = tuple(sign * value for value in record.values)
    known = {
        **_ends("", candidate_interval([score or 0.0 for score in record.scores], goodness)),
        "ceiling": _ceiling(goodness, tuple(record.deviations), (record.seeds,) * len(goodness)),
    }
    return record.model_copy(update=known)


def extra_info(record: AgreementRecord) -> dict[str, str | int | float | None]:
    """Return what pytest-benchmark saves of a cell: strings and plain numbers; None where it failed."""
    names = ("task", "setting", "model", "estimator", "candidates", "spearman", "p_value")
    costs = ("score_seconds", "fine_tune_seconds", "cost_ratio")
    return {name: getattr(record, name) for name in (*names, *costs)}
