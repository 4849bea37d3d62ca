"""The tables of RESULTS.md, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import scipy.stats
from tabulate import tabulate

from foretune.judging import DEFAULT_POLICY, POLICIES
from foretune.records import AgreementRecord

SIGNIFICANT = 0.05
RANKED = 8
"""Estimators shown beside a ranking: so many, by their place in the summary."""
BASELINES = frozenset({"random", "parameters", "depth", "dimension", "feature_norm", "other_tasks"})
"""Rows to beat: they look at no labels of the task."""

_NONE = "–"


def markdown(headers: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """Return a Markdown table: the first columns to the left, numbers to the right."""
    align = ["left"] * text_columns + ["right"] * (len(headers) - text_columns)
    return tabulate(
        [list(row) for row in rows],
        headers=list(headers),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=align,
    )


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals, without a negative zero."""
    if value is None:
        return _NONE
    shown = f"{value:.{digits}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def significant(value: float | None, digits: int = 2) -> str:
    """Return a number with so many significant digits, for p-values, seconds and ratios."""
    if value is None:
        return _NONE
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])  # of the rounded number
    return f"{value:.{max(0, digits - 1 - exponent)}f}" if -4 <= exponent < 6 else scientific


def estimator_order(agreements: Sequence[AgreementRecord]) -> list[str]:
    """Return the estimators by mean ρ over the default cells, best first, names break ties."""
    means = {
        name: _mean([cell.spearman for cell in default_cells(agreements) if cell.estimator == name])
        for name in {cell.estimator for cell in agreements}
    }
    return sorted(means, key=lambda name: (_descending(means[name]), name))


def default_cells(agreements: Iterable[AgreementRecord]) -> list[AgreementRecord]:
    """Leave out models scored by another policy than the default one."""
    return [cell for cell in agreements if cell.setting == "layers" or cell.layer_policy == DEFAULT_POLICY]


def summary(agreements: Sequence[AgreementRecord]) -> str:
    """Return estimators × (task, setting): the mean ρ over models, and what it costs."""
    cells = default_cells(agreements)
    columns = sorted({(cell.task, cell.setting) for cell in cells})
    headers = ["estimator", *(f"{task}, {setting}" for task, setting in columns), "mean ρ"]
    headers += [f"p < {SIGNIFICANT}", "cost ratio"]
    rows = []
    for estimator in estimator_order(agreements):
        own = [cell for cell in cells if cell.estimator == estimator]
        row = [_name(estimator)]
        for column in columns:
            in_column = [cell for cell in own if (cell.task, cell.setting) == column]
            row.append(number(_mean([cell.spearman for cell in in_column])))
        row.append(number(_mean([cell.spearman for cell in own])))
        agreed = [cell for cell in own if _agrees(cell)]
        row.append(f"{len(agreed)} of {len(own)}")
        ratios = [cell.cost_ratio for cell in own if cell.cost_ratio is not None]
        row.append(significant(statistics.median(ratios)) if ratios else _NONE)
        rows.append(row)
    return markdown(headers, rows)


def comparison(agreements: Sequence[AgreementRecord], estimator: str, rival: str) -> str | None:
    """Return, setting by setting, the ρ of two estimators and which agrees better with fine-tuning.

    None where there is no setting that both have a ρ of.
    """
    found = {
        (cell.task, cell.setting, cell.model, cell.estimator): cell for cell in default_cells(agreements)
    }
    rows = []
    wins = losses = 0
    for task, setting, model in sorted({key[:3] for key in found}):
        pair = [found.get((task, setting, model, name)) for name in (estimator, rival)]
        own, other = (None if cell is None else cell.spearman for cell in pair)
        if own is None or other is None:
            continue
        difference = own - other
        verdict = "equal" if abs(difference) < 1e-9 else "better" if difference > 0 else "worse"
        wins, losses = wins + (verdict == "better"), losses + (verdict == "worse")
        where = "models" if setting == "models" else f"layers of {model}"
        rows.append([f"{task}, {where}", number(own), number(other), verdict])
    if not rows:
        return None
    equal = len(rows) - wins - losses
    table = markdown(["setting", estimator, rival, "agrees"], rows)
    return (
        f"**{estimator} against {rival}**: better in {wins} of {len(rows)} settings, equal in {equal}, "
        f"worse in {losses}.\n\n{table}"
    )


def estimators(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return one setting: a row an estimator, best ρ first."""
    layers = cells[0].setting == "layers"
    headers = ["estimator", "ρ", "p"]
    headers += ["p, smooth"] if layers else []
    headers += ["τ", "τ_w", "regret", "regret@3", "seconds", "cost ratio", "gate"]
    rows = []
    place = {estimator: i for i, estimator in enumerate(order)}
    for cell in sorted(cells, key=lambda cell: (_descending(cell.spearman), place[cell.estimator])):
        row = [_name(cell.estimator), number(cell.spearman), _p_value(cell)]
        row += [significant(cell.smooth_p_value)] if layers else []
        row += [number(cell.kendall), number(cell.weighted_kendall)]
        row += [number(cell.regret, 3), number(cell.regret_at_3, 3)]
        row += [significant(cell.score_seconds), significant(cell.cost_ratio), _gate(cell)]
        rows.append(row)
    return markdown(headers, rows)


def policies(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return ρ over models by the policy that makes a model's score from its layers'."""
    names = [policy for policy in POLICIES if any(cell.layer_policy == policy for cell in cells)]
    found = {(cell.estimator, cell.layer_policy): cell.spearman for cell in cells}
    rows = [
        [_name(estimator), *(number(found.get((estimator, policy))) for policy in names)]
        for estimator in order
        if any((estimator, policy) in found for policy in names)
    ]
    return markdown(["estimator", *(f"{policy} layer{'s' * (policy == 'mean')}" for policy in names)], rows)


def ranking(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return the candidates, best by fine-tuning first, with each estimator's rank of them."""
    truth = cells[0]
    shown = [estimator for estimator in order if any(cell.estimator == estimator for cell in cells)][:RANKED]
    ranks = {
        cell.estimator: _ranks(cell.scores)
        for cell in cells
        if cell.estimator in shown and cell.status == "done"
    }
    goodness = [value if truth.direction == "higher" else -value for value in truth.values]
    true_ranks = _ranks(goodness)
    rows = []
    for i in sorted(range(len(truth.names)), key=lambda i: (-goodness[i], i)):
        name = f"layer {truth.names[i]}" if truth.setting == "layers" else truth.names[i]
        deviation = truth.deviations[i]
        spread = "" if deviation is None else f" ± {deviation:.3f}"
        row = [name, f"{truth.values[i]:.3f}{spread}", true_ranks[i]]
        rows.append(row + [ranks[estimator][i] if estimator in ranks else _NONE for estimator in shown])
    candidate = "layer" if truth.setting == "layers" else "model"
    return markdown([candidate, truth.metric.upper(), "rank", *shown], rows)


def _ranks(values: Sequence[float | None]) -> list[str]:
    """Return ranks as text, 1 for the highest; ties share their mean rank."""
    known = [value for value in values if value is not None]
    ranks = iter(scipy.stats.rankdata([-value for value in known]).tolist())
    return [_NONE if value is None else f"{next(ranks):g}" for value in values]


def _p_value(cell: AgreementRecord) -> str:
    shown = significant(cell.p_value)
    return shown if cell.p_value_error == 0 else f"{shown} ± {significant(cell.p_value_error, 1)}"


def _gate(cell: AgreementRecord) -> str:
    limits = []
    if cell.least_spearman is not None:
        limits.append(f"ρ ≥ {cell.least_spearman:g}")
    if cell.largest_p_value is not None:
        limits.append(f"p ≤ {cell.largest_p_value:g}")
    if not limits:
        return "none"
    return f"{', '.join(limits)}: {'held' if cell.passed else '**broken**'}"


def _agrees(cell: AgreementRecord) -> bool:
    """Whether the estimator agrees (and does not disagree) significantly."""
    return (
        cell.p_value is not None
        and cell.spearman is not None
        and cell.p_value < SIGNIFICANT
        and cell.spearman > 0
    )


def _name(estimator: str) -> str:
    return f"*{estimator}*" if estimator in BASELINES else estimator


def _descending(value: float | None) -> float:
    return math.inf if value is None else -value


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
