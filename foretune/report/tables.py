"""The tables of RESULTS.md, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from foretune.agreement import mean_interval
from foretune.judging import DEFAULT_POLICY
from foretune.records import AgreementRecord

SIGNIFICANT = 0.05
STRICT = 0.01
"""In the summary, which counts many tests."""
BASELINES = frozenset({"random", "parameters", "depth", "dimension", "feature_norm", "other_tasks"})
"""Rows to beat: they look at no labels of the task."""

NONE = "–"
"""What is shown where there is nothing."""


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
        return NONE
    shown = f"{value:.{digits}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def significant(value: float | None, digits: int = 2) -> str:
    """Return a number with so many significant digits, for p-values, seconds and ratios."""
    if value is None:
        return NONE
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
    return sorted(means, key=lambda name: (descending(means[name]), name))


def default_cells(agreements: Iterable[AgreementRecord]) -> list[AgreementRecord]:
    """Return one cell of each estimator a setting, so that none counts twice.

    Models by the default policy; layers as `layer` fine-tunes them, or each alone where that is all there is.
    """
    cells = [cell for cell in agreements if cell.setting == "layers" or cell.layer_policy == DEFAULT_POLICY]
    usual = {_place(cell) for cell in cells if cell.protocol == "layer"}
    return [
        cell
        for cell in cells
        if cell.protocol == "layer" or (cell.protocol == "single-layer" and _place(cell) not in usual)
    ]


def _place(cell: AgreementRecord) -> tuple[str, ...]:
    return (cell.suite, cell.task, cell.setting, cell.model)


def summary(agreements: Sequence[AgreementRecord]) -> str:
    """Return estimators × tasks: the mean ρ over a task's settings with its interval, and what it costs."""
    cells = default_cells(agreements)
    tasks = sorted({cell.task for cell in cells})
    headers = ["estimator", *tasks, "mean ρ", f"p < {STRICT}", "regret", "cost ratio"]
    rows = []
    for estimator in estimator_order(agreements):
        own = [cell for cell in cells if cell.estimator == estimator]
        row = [label(estimator)]
        row += [mean_with_interval([cell for cell in own if cell.task == task]) for task in tasks]
        row.append(mean_with_interval(own))
        row.append(f"{sum(_agrees(cell) for cell in own)} of {len(own)}")
        lost = _mean([share_lost(cell) for cell in own])
        row.append(NONE if lost is None else f"{100 * lost:.0f} %")
        ratios = [cell.cost_ratio for cell in own if cell.cost_ratio is not None]
        row.append(significant(statistics.median(ratios)) if ratios else NONE)
        rows.append(row)
    return markdown(headers, rows)


def mean_with_interval(cells: Sequence[AgreementRecord]) -> str:
    """Return the mean ρ of some cells, with its 95 % interval where each of them has one."""
    judged = [cell for cell in cells if cell.spearman is not None]
    mean = _mean([cell.spearman for cell in judged])
    if not judged or any(cell.low is None for cell in judged):
        return number(mean)
    rho = [cell.spearman or 0.0 for cell in judged]
    return f"{number(mean)} {interval(*mean_interval(rho, [cell.candidates for cell in judged]))}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in brackets."""
    return NONE if low is None or high is None else f"[{number(low)}, {number(high)}]"


def share_lost(cell: AgreementRecord) -> float | None:
    """Return the regret as a share of the distance from the worst candidate to the best; None without one."""
    spread = max(cell.values) - min(cell.values)
    return None if cell.regret is None or spread == 0 else cell.regret / spread


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


def _agrees(cell: AgreementRecord) -> bool:
    """Whether the estimator agrees (and does not disagree) significantly."""
    return (
        cell.p_value is not None and cell.spearman is not None and cell.p_value < STRICT and cell.spearman > 0
    )


def label(estimator: str) -> str:
    """Return an estimator's name, in italics where it is a baseline."""
    return f"*{estimator}*" if estimator in BASELINES else estimator


def descending(value: float | None) -> float:
    """Return what sorts the highest value first, and what there is not last."""
    return math.inf if value is None else -value


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
