"""The tables of one setting: how well each estimator ranks its candidates, and which ranks it gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import scipy.stats

from foretune.judging import POLICIES
from foretune.records import AgreementRecord

from . import comparisons, tables
from .settings import RIVALS

RANKED = 8
"""Estimators shown beside a ranking: so many, by their place in the summary."""


def estimators(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return one setting: a row an estimator, best ρ first, with how sure that is and against whom."""
    layers = cells[0].setting == "layers"
    against_logme = comparisons.within(cells, comparisons.logme(cells))
    baseline = comparisons.best_baseline(cells)
    against_baseline = comparisons.within(cells, baseline)
    headers = ["estimator", "ρ", "95 %", "ceiling", "over seeds", "over speech", "p"]
    headers += ["p, smooth"] if layers else []
    headers += ["p against logme"]
    headers += [] if baseline is None else [f"p against {baseline.estimator}"]
    rows = []
    for cell in by_rho(cells, order):
        row = [
            tables.label(cell.estimator),
            tables.number(cell.spearman),
            tables.interval(cell.low, cell.high),
        ]
        row += [tables.number(cell.ceiling), tables.interval(cell.seed_low, cell.seed_high)]
        row += [tables.interval(cell.utterance_low, cell.utterance_high), _p_value(cell)]
        row += [tables.significant(cell.smooth_p_value)] if layers else []
        row.append(_adjusted(against_logme.get(cell.estimator)))
        row += [] if baseline is None else [_adjusted(against_baseline.get(cell.estimator))]
        rows.append(row)
    return tables.markdown(headers, rows)


def compact(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return the main statistics of the estimators that matter in a setting, best ρ first.

    These are its three best, the first of the summary, the best baseline, and those that are always shown.
    """
    best = by_rho([cell for cell in cells if cell.spearman is not None], order)
    baseline = comparisons.best_baseline(cells)
    wanted = {*RIVALS, *order[:1], *(cell.estimator for cell in best[:3])}
    wanted |= {baseline.estimator} if baseline else set()
    against_logme = comparisons.within(cells, comparisons.logme(cells))
    against_baseline = comparisons.within(cells, baseline)
    layers = cells[0].setting == "layers"
    headers = ["estimator", "ρ", "95 %", "p", *(["p, smooth"] if layers else []), "p against logme"]
    headers += [] if baseline is None else [f"p against {baseline.estimator}"]
    headers += ["regret", "regret@3", "seconds"]
    rows = []
    for cell in by_rho([cell for cell in cells if cell.estimator in wanted], order):
        row = [tables.label(cell.estimator), tables.number(cell.spearman)]
        row += [tables.interval(cell.low, cell.high), _p_value(cell)]
        row += [tables.significant(cell.smooth_p_value)] if layers else []
        row.append(_adjusted(against_logme.get(cell.estimator)))
        row += [] if baseline is None else [_adjusted(against_baseline.get(cell.estimator))]
        row += [tables.number(cell.regret, 3), tables.number(cell.regret_at_3, 3)]
        rows.append([*row, tables.significant(cell.score_seconds)])
    return tables.markdown(headers, rows)


def measures(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return the other statistics of a setting, what choosing by the scores loses, and what they cost."""
    held_fixed = next((cell.held_fixed for cell in cells if cell.held_fixed), "")
    headers = ["estimator", *([f"ρ given {held_fixed}", "p"] if held_fixed else [])]
    headers += ["r", "τ", "τ_w", "recall@3", "regret", "regret@3", "seconds", "gate"]
    rows = []
    for cell in by_rho(cells, order):
        row = [tables.label(cell.estimator)]
        if held_fixed:
            row += [tables.number(cell.partial_spearman), tables.significant(cell.partial_p_value)]
        row += [
            tables.number(cell.pearson),
            tables.number(cell.kendall),
            tables.number(cell.weighted_kendall),
        ]
        row += [
            tables.number(cell.top_3_recall),
            tables.number(cell.regret, 3),
            tables.number(cell.regret_at_3, 3),
        ]
        row += [tables.significant(cell.score_seconds), _gate(cell)]
        rows.append(row)
    return tables.markdown(headers, rows)


def by_rho(cells: Iterable[AgreementRecord], order: Sequence[str]) -> list[AgreementRecord]:
    """Return the cells of a setting, best ρ first; ties by the estimators' order."""
    place = {estimator: i for i, estimator in enumerate(order)}
    return sorted(cells, key=lambda cell: (tables.descending(cell.spearman), place[cell.estimator]))


def _adjusted(standing: comparisons.Standing | None) -> str:
    """Return Holm's p, and whether the estimator agrees better or worse than the rival."""
    if standing is None:
        return tables.NONE
    sign = "+" if standing.difference > 0 else "-" if standing.difference < 0 else "="
    return f"{sign} {tables.significant(standing.adjusted)}"


def policies(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return ρ over models by the policy that makes a model's score from its layers'."""
    names = [policy for policy in POLICIES if any(cell.layer_policy == policy for cell in cells)]
    found = {(cell.estimator, cell.layer_policy): cell.spearman for cell in cells}
    rows = [
        [tables.label(estimator), *(tables.number(found.get((estimator, policy))) for policy in names)]
        for estimator in order
        if any((estimator, policy) in found for policy in names)
    ]
    return tables.markdown(
        ["estimator", *(f"{policy} layer{'s' * (policy == 'mean')}" for policy in names)], rows
    )


def ranking(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return the candidates, best by fine-tuning first, with each estimator's rank of them."""
    truth = cells[0]
    shown = [estimator for estimator in order if any(cell.estimator == estimator for cell in cells)][:RANKED]
    ranks = {
        cell.estimator: _ranks(cell.scores)
        for cell in cells
        if cell.estimator in shown and cell.status == "done"
    }
    goodness = truth.goodness
    true_ranks = _ranks(goodness)
    rows = []
    for i in sorted(range(len(truth.names)), key=lambda i: (-goodness[i], i)):
        name = f"layer {truth.names[i]}" if truth.setting == "layers" else truth.names[i]
        deviation = truth.deviations[i]
        spread = "" if deviation is None else f" ± {deviation:.3f}"
        row = [name, f"{truth.values[i]:.3f}{spread}", true_ranks[i]]
        rows.append(row + [ranks[estimator][i] if estimator in ranks else tables.NONE for estimator in shown])
    candidate = "layer" if truth.setting == "layers" else "model"
    return tables.markdown([candidate, truth.metric.upper(), "rank", *shown], rows)


def _ranks(values: Sequence[float | None]) -> list[str]:
    """Return ranks as text, 1 for the highest; ties share their mean rank."""
    known = [value for value in values if value is not None]
    ranks = iter(scipy.stats.rankdata([-value for value in known]).tolist())
    return [tables.NONE if value is None else f"{next(ranks):g}" for value in values]


def _p_value(cell: AgreementRecord) -> str:
    shown = tables.significant(cell.p_value)
    return shown if cell.p_value_error == 0 else f"{shown} ± {tables.significant(cell.p_value_error, 1)}"


def _gate(cell: AgreementRecord) -> str:
    limits = []
    if cell.least_spearman is not None:
        limits.append(f"ρ ≥ {cell.least_spearman:g}")
    if cell.largest_p_value is not None:
        limits.append(f"p ≤ {cell.largest_p_value:g}")
    if not limits:
        return "none"
    return f"{', '.join(limits)}: {'held' if cell.passed else '**broken**'}"
