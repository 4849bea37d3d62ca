"""The section of RESULTS.md on published results of real models."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

from foretune.agreement import DRAWS, smallest_p_value
from foretune.published import STATIC
from foretune.records import PublishedRecord
from foretune.tasks.published import emobox, superb, superb_hidden

from . import tables

_PAPER = "chen2023_"
_EXPERIMENTS = {
    "chen2023_conformer": "layers of a Conformer RNN-T, ASR in 7 other languages",
    "chen2023_hubert": "layers of HuBERT Base, PR",
    "chen2023_models": "models, KS",
}
_NONE = "–"

_INTRODUCTION = (
    "Nothing in this section was trained or measured here: it is arithmetic on results that others "
    "published, which ship with their sources (`foretune.tasks.published`). ρ and regret are as above; in "
    "brackets stands the 95 % bootstrap interval of ρ over models, where there are ten or more. p-values "
    f"count every order of up to 13 candidates; beyond, they come from {DRAWS:,} random orders, and "
    "1.0e-05 is the smallest possible."
)
_PAPER_TEXT = (
    "Chen et al., 2023 (arXiv:2306.01015) print the rank of every candidate by fine-tuning and by each "
    "estimator. Below, ρ is computed again from these ranks, and from the metric: in the Conformer's table "
    "the ranks of layers 4 and 6 stand in each other's place. The printed ρ are those of the metric, "
    "rounded, so the slip is in the table and not in the paper's computation. Its p-values are asymptotic; "
    "beside them are exact ones, which count every order of the candidates."
)
_COST_TEXT = "What the paper says that this cost, for four of the models together:"
_SUPERB_TEXT = (
    "*parameters* and *pretraining_hours*: more is better; *publication*: the newer paper (by arXiv number) "
    "is better; *other_tasks*: the mean rank on the board's other tasks, which one has only for models that "
    "somebody has evaluated before. This is the bar: an estimator that reads weights and speech has to "
    "rank real models better than these do without."
)
_REGRET_TEXT = (
    "What choosing the first of the ranking loses, in the metric's unit (mean over ties), beside what a "
    "random choice loses:"
)
_MATRIX_TEXT = "One task for another: ρ between the results on the task of the row and those of the column."
_BASE_TEXT = (
    "The 42 models range from filter banks to 317 million parameters, which makes rankings easy. Among "
    "models of one size, what is left is harder:"
)
_HIDDEN_TEXT = (
    "The benchmark's hidden set: other speech for the same kinds of tasks. *public_set*: the results on the "
    "public set of the same task, for the models that have both: how far an evaluation, repeated on other "
    "speech, agrees with itself (QbE is measured in another metric there, MTWV)."
)
_EMOBOX_TEXT = (
    "Emotion recognition by frozen encoders on eleven corpora (unweighted accuracy). *other_tasks*: the "
    "mean rank on the other corpora; *superb_er*: SUPERB's emotion recognition, for the models that have "
    "both."
)


def section(records: Sequence[PublishedRecord]) -> list[str]:
    """Return the parts of the section, headings and tables; none where there are no records."""
    if not records:
        return []
    parts = ["## Published results of real models", _INTRODUCTION]
    by_suite: dict[str, list[PublishedRecord]] = {}
    for record in sorted(records, key=_place):
        by_suite.setdefault(record.suite, []).append(record)
    paper = [record for suite in sorted(by_suite) if suite.startswith(_PAPER) for record in by_suite[suite]]
    if paper:
        parts += ["### The paper's own numbers", _PAPER_TEXT, _paper(paper), *_costs(paper)]
    writers: dict[str, Callable[[list[PublishedRecord]], list[str]]] = {
        "superb": _superb,
        "superb_base": _superb_base,
        "superb_hidden": lambda found: _hidden(found, by_suite.get("superb_both", [])),
        "emobox": lambda found: _emobox(found, by_suite.get("emobox_superb", [])),
        "xares_mlp": _xares,
    }
    for suite, write in writers.items():
        if suite in by_suite:
            parts += write(by_suite[suite])
    return parts


@functools.cache
def _tasks() -> list[str]:
    """Return all tasks in the order of the boards."""
    return list(dict.fromkeys([*superb().metrics, *superb_hidden().metrics, *emobox().metrics]))


def _place(record: PublishedRecord) -> tuple[int, str, int, str, str]:
    """Return the order of the report, whichever process wrote first: tasks as the boards have them."""
    tasks = _tasks()
    task = tasks.index(record.task) if record.task in tasks else len(tasks)
    estimator = STATIC.index(record.estimator) if record.estimator in STATIC else len(STATIC)
    return (task, record.task, estimator, record.estimator, record.truth)


def _paper(records: Sequence[PublishedRecord]) -> str:
    found = {(record.suite, record.estimator, record.truth): record for record in records}
    headers = ["experiment", "estimator", "n", "ρ printed", "ρ of the ranks", "ρ of the metric"]
    headers += ["p printed", "exact p of the ranks", "exact p of the metric"]
    rows = []
    for suite, estimator in sorted({key[:2] for key in found}):
        by_ranks, by_metric = (found.get((suite, estimator, truth)) for truth in ("printed ranks", "metric"))
        if by_ranks is None or by_metric is None:
            continue
        rows.append(
            [
                _EXPERIMENTS.get(suite, suite),
                estimator,
                str(by_ranks.candidates),
                tables.number(by_ranks.printed_spearman),
                tables.number(by_ranks.spearman, 3),
                tables.number(by_metric.spearman, 3),
                tables.significant(by_ranks.printed_p_value, 1),
                tables.significant(by_ranks.p_value),
                tables.significant(by_metric.p_value),
            ]
        )
    return tables.markdown(headers, rows, text_columns=2)


def _costs(records: Sequence[PublishedRecord]) -> list[str]:
    rows = [
        [
            record.estimator,
            f"{record.score_seconds:.2f}",
            f"{record.fine_tune_seconds:,.0f}",
            f"{record.fine_tune_seconds / record.score_seconds:,.0f}",
        ]
        for record in sorted(records, key=lambda record: record.estimator)
        if record.truth == "metric" and record.score_seconds and record.fine_tune_seconds
    ]
    headers = ["estimator", "scoring, seconds", "fine-tuning, seconds", "cost ratio"]
    return [_COST_TEXT, tables.markdown(headers, rows)] if rows else []


def _whole(records: Sequence[PublishedRecord]) -> list[str]:
    """Return the estimators that are no single task: the static ones, then those of whoever judged more."""
    tasks = {record.task for record in records}
    names = dict.fromkeys(record.estimator for record in records if record.estimator not in tasks)
    return sorted(names, key=lambda name: (STATIC.index(name) if name in STATIC else len(STATIC), name))


def _most(records: Sequence[PublishedRecord]) -> int:
    """Return how many models the board has: the static estimators rank them all."""
    return max(record.candidates for record in records)


def _superb(records: list[PublishedRecord]) -> list[str]:
    title = f"### SUPERB, {_most(records)} models"
    return [*_board(title, _SUPERB_TEXT, records), _MATRIX_TEXT, _matrix(records)]


def _superb_base(records: list[PublishedRecord]) -> list[str]:
    title = f"### SUPERB, the {_most(records)} models of 90 to 100 million parameters"
    return _board(title, _BASE_TEXT, records)


def _board(title: str, text: str, records: list[PublishedRecord]) -> list[str]:
    """Return what is shown of any SUPERB board: summary, agreement, regret."""
    whole = _whole(records)
    return [title, text, _summary(records), _agreement(records, whole), _REGRET_TEXT, _regret(records, whole)]


def _hidden(records: list[PublishedRecord], both: list[PublishedRecord]) -> list[str]:
    return [
        f"### SUPERB's hidden set, {_most(records)} models",
        _HIDDEN_TEXT,
        _summary([*records, *both]),
        _agreement([*records, *both], _whole([*records, *both])),
    ]


def _emobox(records: list[PublishedRecord], known: list[PublishedRecord]) -> list[str]:
    return [
        f"### EmoBox, {_most(records)} models",
        _EMOBOX_TEXT,
        _summary([*records, *known]),
        _agreement([*records, *known], _whole([*records, *known])),
    ]


def _xares(records: list[PublishedRecord]) -> list[str]:
    chosen = sum(record.regret == 0 for record in records)
    text = (
        f"With {records[0].candidates} models no p can be below "
        f"{tables.significant(smallest_p_value(records[0].candidates))}, so only the whole counts. Nearest "
        f"neighbours on frozen features, without training, against a linear head trained on the same "
        f"features: mean ρ {tables.number(_mean(records))} over {len(records)} tasks; the best model is "
        f"chosen on {chosen} of them."
    )
    return [f"### X-ARES, {records[0].candidates} models", text]


def _summary(records: Sequence[PublishedRecord]) -> str:
    """Say of each static estimator how it does over the tasks."""
    lines = []
    for estimator in dict.fromkeys(record.estimator for record in records):
        own = [record for record in records if record.estimator == estimator]
        if estimator in {record.task for record in records}:
            continue  # one task for another has a table of its own
        held = sum(record.p_value < tables.SIGNIFICANT and record.spearman > 0 for record in own)
        low, high = min(record.spearman for record in own), max(record.spearman for record in own)
        lines.append(
            f"- **{estimator}**: mean ρ {tables.number(_mean(own))} over {len(own)} tasks, from "
            f"{tables.number(low)} to {tables.number(high)}; ρ > 0 with p < {tables.SIGNIFICANT} on {held}."
        )
    return "\n".join(lines)


def _agreement(records: Sequence[PublishedRecord], estimators: Sequence[str]) -> str:
    found = {(record.task, record.estimator): record for record in records}
    headers = ["task", "metric", *(_heading(records, name) for name in estimators)]
    rows = []
    for task in dict.fromkeys(record.task for record in records):
        first = next(record for record in records if record.task == task)
        cells = [_cell(found.get((task, name))) for name in estimators]
        rows.append([task, f"{first.metric}, {first.direction} is better", *cells])
    return tables.markdown(headers, rows, text_columns=2)


def _heading(records: Sequence[PublishedRecord], estimator: str) -> str:
    """Return an estimator's name, with the number of models that it ranked where these are not all."""
    ranked = max(record.candidates for record in records if record.estimator == estimator)
    return estimator if ranked == _most(records) else f"{estimator} ({ranked} models)"


def _cell(record: PublishedRecord | None) -> str:
    if record is None:
        return _NONE
    interval = ""
    if record.low is not None and record.high is not None:
        interval = f" [{tables.number(record.low)}, {tables.number(record.high)}]"
    return f"{tables.number(record.spearman)}{interval}, p {tables.significant(record.p_value)}"


def _regret(records: Sequence[PublishedRecord], estimators: Sequence[str]) -> str:
    found = {(record.task, record.estimator): record for record in records}
    headers = ["task", "unit", *(_heading(records, name) for name in estimators), "random choice"]
    rows = []
    for task in dict.fromkeys(record.task for record in records):
        first = next(record for record in records if record.task == task)
        digits = 2 if first.unit else 4
        cells = [found.get((task, name)) for name in estimators]
        losses = [None if cell is None else cell.regret for cell in cells]
        shown = [tables.number(loss, digits) for loss in (*losses, first.regret_by_chance)]
        rows.append([task, f"{first.metric}, {first.unit}" if first.unit else first.metric, *shown])
    return tables.markdown(headers, rows, text_columns=2)


def _matrix(records: Sequence[PublishedRecord]) -> str:
    found = {(record.estimator, record.task): record.spearman for record in records}
    tasks = list(dict.fromkeys(record.task for record in records))
    rows = []
    for row in tasks:
        others = [found[row, task] for task in tasks if (row, task) in found]
        if others:
            cells = [tables.number(found.get((row, task))) for task in tasks]
            rows.append([row, *cells, tables.number(math.fsum(others) / len(others))])
    return tables.markdown(["", *tasks, "mean"], rows)


def _mean(records: Sequence[PublishedRecord]) -> float:
    return math.fsum(record.spearman for record in records) / len(records)
