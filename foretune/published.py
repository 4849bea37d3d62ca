"""Rankings held against published results of real models: what can be known without any weights.

Static estimators rank models by what a table says of them: their size, the speech they were pre-trained
on, their age, or their results on other tasks. Whoever proposes to score models by features has to do
better than these. `judge` takes any scores, so those of a user's own hub models stand in the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from foretune.agreement import (
    Agreement,
    exact_p_value,
    kendall_tau,
    regret,
    spearman,
    weighted_tau,
)
from foretune.records import PublishedRecord, provenance
from foretune.tasks.errors import InputError
from foretune.tasks.published import (
    Experiment,
    Leaderboard,
    Metric,
    chen2023,
    emobox,
    superb,
    superb_hidden,
    xares,
)

STATIC = ("parameters", "pretraining_hours", "publication", "other_tasks")
"""Estimators that know models from tables only."""
LEAST_FOR_INTERVAL = 10
"""With fewer candidates a bootstrap over them says nothing."""
RESAMPLES = 1_000
"""Of the candidates, for an interval."""

_BASE_SIZE = (90.0, 100.0)  # million parameters


@dataclass(frozen=True, slots=True)
class Cell:
    """One task of a leaderboard with the rankings to judge there.

    Attributes:
        board: the models and their results.
        task: one of its tasks.
        scores: by estimator, one a model, higher predicts better.
    """

    board: Leaderboard
    task: str
    scores: Mapping[str, Sequence[float]]


def cells() -> list[Cell]:
    """Return everything that is judged on published leaderboards, in the order of the report.

    `superb`: every static estimator, and each other task alone. `superb_base`: the same models, only
    those of 90 to 100 million parameters, where size says nothing. `superb_hidden`: its own static
    estimators; `superb_both`: the models that have public results too, ranked by these, which is the
    most that an estimator could reach on other speech. `emobox`: emotion corpora by the others of them;
    `emobox_superb`: by SUPERB's. `xares`: a trained head by nearest neighbours on the same features.
    """
    public, hidden, emotions = superb(), superb_hidden(), emobox()
    low, high = _BASE_SIZE
    base = public.where(
        "superb_base",
        f"SUPERB, models of {low:g} to {high:g} million parameters",
        lambda entry: entry.parameters is not None and low <= entry.parameters <= high,
    )
    found = [
        Cell(public, task, static_scores(public, task) | single_tasks(public, task))
        for task in public.metrics
    ]
    found += [Cell(base, task, static_scores(base, task)) for task in base.metrics]
    found += [Cell(hidden, task, static_scores(hidden, task)) for task in hidden.metrics]
    found += [Cell(emotions, task, static_scores(emotions, task)) for task in emotions.metrics]
    both = _shared(hidden, public, "superb_both", "SUPERB, models on the public and the hidden set")
    for task in both.metrics:
        if task in public.metrics:
            found.append(Cell(both, task, {"public_set": of_models(public, task, both.models)}))
    known = _shared(emotions, public, "emobox_superb", "EmoBox, models that SUPERB has too")
    for task in known.metrics:
        found.append(Cell(known, task, {"superb_er": of_models(public, "ER", known.models)}))
    heads, neighbours = xares("mlp"), xares("knn")
    for task in heads.metrics:
        found.append(Cell(heads, task, {"knn": of_models(neighbours, task, heads.models)}))
    return found


def static_scores(board: Leaderboard, task: str) -> dict[str, list[float]]:
    """Return what the table alone says of the models, by estimator; only what it says of all of them.

    `parameters`: more are better. `pretraining_hours`: more are better. `publication`: newer is better,
    by year and month of the paper, filter banks oldest. `other_tasks`: the mean rank over all tasks of
    the board but this one.

    Raises:
        InputError: the board has no such task.
    """
    board.metric(task)
    scores: dict[str, list[float]] = {}
    sizes = [entry.parameters for entry in board.entries]
    hours = [entry.hours for entry in board.entries]
    for name, facts in (("parameters", sizes), ("pretraining_hours", hours)):
        known = [fact for fact in facts if fact is not None]
        if len(known) == len(facts):
            scores[name] = known
    if any(entry.published for entry in board.entries):
        scores["publication"] = [float(entry.published or 0) for entry in board.entries]
    others = [scipy.stats.rankdata(board.goodness(other)) for other in board.metrics if other != task]
    scores["other_tasks"] = np.mean(others, axis=0).tolist()
    return scores


def single_tasks(board: Leaderboard, task: str) -> dict[str, list[float]]:
    """Return the results on each other task, turned so that higher is better, by that task."""
    return {other: board.goodness(other) for other in board.metrics if other != task}


def of_models(board: Leaderboard, task: str, models: Sequence[str]) -> list[float]:
    """Return results on a task, turned so that higher is better, of these models in this order."""
    found = dict(zip(board.models, board.goodness(task), strict=True))
    return [found[model] for model in models]


def judge(board: Leaderboard, task: str, estimator: str, scores: Mapping[str, float]) -> PublishedRecord:
    """Hold scores of some or all of a board's models against their published results.

    Appended to a file of records (`foretune.records.append`), the result stands in RESULTS.md beside
    the static estimators.

    Args:
        board: such as `foretune.tasks.published.superb()`.
        task: one of its tasks, such as `ER`.
        estimator: its name.
        scores: by model, as the board or the hub calls it; higher predicts better.

    Raises:
        InputError: the board has no such task or model, a model has two scores, fewer than two models
            have one, or a score is not finite.
    """
    names = {entry.hub_id or entry.model: entry.model for entry in board.entries}
    names |= {model: model for model in board.models}
    chosen: dict[str, float] = {}
    for given, score in scores.items():
        model = names.get(given)
        if model is None:
            raise InputError(
                f"{board.name}: no model {given}; give scores of its own models, by name or hub id"
            )
        if model in chosen:
            raise InputError(f"{board.name}: two scores of {model}; give one")
        chosen[model] = score
    part = board.where(board.name, board.title, lambda entry: entry.model in chosen)
    return judge_cell(part, task, estimator, [chosen[model] for model in part.models])


def judge_cell(board: Leaderboard, task: str, estimator: str, scores: Sequence[float]) -> PublishedRecord:
    """Hold scores, one a model in the board's order, against the published results on a task.

    Raises:
        InputError: as `judge`.
    """
    values = board.goodness(task)
    table = _Table(board.name, board.revision, "models", "all", board.metric(task), estimator)
    agreement = spearman(scores, values)
    return _record(table, scores, values, agreement).model_copy(
        update=dict(zip(("low", "high"), interval(scores, values), strict=True))
    )


def judge_paper() -> list[PublishedRecord]:
    """Recompute the correlations of Chen et al. 2023 from its own numbers, with exact p-values.

    Each estimator's ranks are held against the printed ranks by fine-tuning and against the metric
    itself.
    """
    return [
        _judge_claim(experiment, estimator, printed=printed)
        for experiment in chen2023()
        for estimator in experiment.ranks
        for printed in (True, False)
    ]


def _judge_claim(experiment: Experiment, estimator: str, *, printed: bool) -> PublishedRecord:
    metric, claim = experiment.metric, experiment.claims[estimator]
    scores = [-float(rank) for rank in experiment.ranks[estimator]]
    values = [metric.goodness(value) for value in experiment.values]
    truth = [-float(rank) for rank in experiment.printed_ranks] if printed else values
    agreement = replace(spearman(scores, truth), p_value=exact_p_value(scores, truth), p_value_error=0.0)
    name = f"chen2023_{experiment.name}"
    table = _Table(name, experiment.revision, experiment.setting, experiment.model, metric, estimator)
    return _record(table, scores, values, agreement).model_copy(
        update={
            "truth": "printed ranks" if printed else "metric",
            "printed_spearman": claim.spearman,
            "printed_p_value": claim.p_value,
            "score_seconds": claim.score_seconds,
            "fine_tune_seconds": claim.fine_tune_seconds,
        }
    )


@dataclass(frozen=True, slots=True)
class _Table:
    """Whose ranking is held against which published results."""

    name: str
    revision: str
    setting: Literal["layers", "models"]
    model: str
    metric: Metric
    estimator: str


def _record(
    table: _Table, scores: Sequence[float], values: Sequence[float], agreement: Agreement
) -> PublishedRecord:
    metric = table.metric
    return PublishedRecord(
        task=metric.task,
        suite=table.name,
        data_revision=table.revision,
        model=table.model,
        provenance=provenance(),
        setting=table.setting,
        estimator=table.estimator,
        metric=metric.name,
        unit=metric.unit,
        direction=metric.direction,
        candidates=len(values),
        spearman=agreement.rho,
        p_value=agreement.p_value,
        p_value_error=agreement.p_value_error,
        exact=agreement.p_value_error == 0,
        kendall=kendall_tau(scores, values),
        weighted_kendall=weighted_tau(scores, values),
        regret=regret(scores, values),
        regret_at_3=regret(scores, values, k=min(3, len(values))),
        regret_by_chance=regret([0.0] * len(values), values),
    )


def interval(
    scores: ArrayLike, values: ArrayLike, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile bootstrap interval of Spearman's ρ over candidates.

    Candidates are drawn with replacement, `RESAMPLES` times; draws in which all scores or all values
    are the same have no ρ and do not count.

    Args:
        scores: shape (candidates,).
        values: shape (candidates,).
        level: share of the draws that lie inside.
        seed: of the draws.

    Returns:
        The lower and the upper end, in [-1, 1]; None for fewer than `LEAST_FOR_INTERVAL` candidates, or
        where no draw has a ρ.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(x) < LEAST_FOR_INTERVAL:
        return None, None
    drawn = np.random.default_rng(seed).integers(len(x), size=(RESAMPLES, len(x)))
    a, b = (scipy.stats.rankdata(each[drawn], axis=1) for each in (x, y))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    defined = spread > 0
    if not defined.any():
        return None, None
    rho = (a * b).sum(axis=1)[defined] / spread[defined]
    low, high = np.quantile(rho, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return max(-1.0, low), min(1.0, high)


def _shared(board: Leaderboard, other: Leaderboard, name: str, title: str) -> Leaderboard:
    """Return the board of those models that another has too."""
    models = set(other.models)
    return board.where(name, title, lambda entry: entry.model in models)
