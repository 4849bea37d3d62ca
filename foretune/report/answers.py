"""Which estimator for which task: the answer that a reader looks for, how sure it is, what it costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from foretune.records import AgreementRecord

from . import comparisons, tables
from .settings import BASELINES, default_cells, setting_of

TEXT = (
    "Of each task, the estimator with the highest mean ρ over its settings (baselines apart), chosen after "
    "the fact among all of them: look at how near the next one is before you prefer it. *above LogME* and "
    "*above the best baseline* give the mean difference of ρ, in how many settings the estimator is surely "
    "better and surely worse (p < 0.05 by swapping ranks of the same candidates, corrected by Holm for all "
    "estimators), and p of the difference over the task's settings, corrected likewise, which with few "
    "settings cannot be small. The best baseline is chosen anew in each setting. *regret*: what fine-tuning "
    "only the first of the ranking loses, as a share of the distance from the worst candidate to the best. "
    "*seconds*: to score all candidates of a setting (median), *cost ratio*: operations of fine-tuning "
    "them all once over those of scoring them (median)."
)


_ALL = "all tasks"


def table(cells: Sequence[AgreementRecord], ratio: tables.Ratio) -> str:
    """Return one row a task, and one for all of them together where there are several.

    Args:
        cells: of one suite, one a cell.
        ratio: of the costs of a cell.
    """
    headers = ["task", "settings", "use", "mean ρ", "next", "p < 0.01", "above LogME"]
    headers += ["above the best baseline", "regret", "seconds", "cost ratio"]
    rows = []
    names = sorted({cell.task for cell in cells})
    for task in [*names, _ALL] if len(names) > 1 else names:
        of_task = default_cells([cell for cell in cells if task in (cell.task, _ALL)])
        order = [name for name in tables.estimator_order(of_task) if name not in BASELINES]
        scored = [
            name
            for name in order
            if any(cell.spearman is not None for cell in of_task if cell.estimator == name)
        ]
        if not scored:
            continue
        best, others = scored[0], scored[1:3]
        own = [cell for cell in of_task if cell.estimator == best]
        nearest = [f"{name} {tables.number(_mean_rho(of_task, name))}" for name in others]
        rows.append(
            [
                task if task in names else f"**{task}**",
                str(len({setting_of(cell) for cell in of_task})),
                f"**{best}**",
                tables.mean_with_interval(own),
                ", ".join(nearest) or tables.NONE,
                tables.agreeing(own),
                _above(of_task, best, comparisons.logme),
                _above(of_task, best, comparisons.best_baseline),
                tables.regret(own),
                tables.significant(statistics.median(cell.score_seconds for cell in own)),
                tables.significant(tables.median_ratio(own, ratio)),
            ]
        )
    return tables.markdown(headers, rows, text_columns=3)


def _mean_rho(cells: Sequence[AgreementRecord], estimator: str) -> float | None:
    known = [cell.spearman for cell in cells if cell.estimator == estimator and cell.spearman is not None]
    return math.fsum(known) / len(known) if known else None


def _above(
    cells: Sequence[AgreementRecord],
    estimator: str,
    rival: Callable[[Sequence[AgreementRecord]], AgreementRecord | None],
) -> str:
    """Return by how much an estimator is above a rival over settings, and in how many it surely is."""
    settings = comparisons.by_setting(cells)
    standing = comparisons.across(settings, rival).get(estimator)
    if standing is None:
        return tables.NONE
    within = [comparisons.within(each, rival(each)).get(estimator) for each in settings]
    sure = [each for each in within if each is not None and each.adjusted < tables.SIGNIFICANT]
    better = sum(each.difference > 0 for each in sure)
    worse = sum(each.difference < 0 for each in sure)
    return (
        f"{tables.signed(standing.difference)}: surely better in {better}, worse in {worse} of "
        f"{standing.settings}; p {tables.significant(standing.adjusted)}"
    )
