"""The tables of the page: what RESULTS.md has, a row a result, with values to sort and filter by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from foretune.records import AgreementRecord, PublishedRecord, TuningRecord
from foretune.setting import Setting

from .. import tables as markdown
from ..settings import (
    BASELINES,
    judged,
    mean_agreement,
    median_seconds,
    metric_name,
    setting_of,
    widely_judged,
)

NONE = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text, and for a number what to sort by; `style` is a class of the style sheet."""

    text: str
    value: float | None = None
    style: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Cells, the first of which names the row; `filters` are the names and values to filter by."""

    cells: Sequence[Cell]
    filters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its heading and a line about it; `numbers` says which columns hold numbers."""

    name: str
    heading: str
    text: str
    columns: Sequence[str]
    numbers: Sequence[bool]
    rows: Sequence[Row]

    def html(self) -> str:
        """Return it as HTML; empty columns are left out."""
        kept = [
            index
            for index in range(len(self.columns))
            if any(row.cells[index].text not in ("", NONE) for row in self.rows)
        ]
        heads = "".join(
            f'<th scope="col"{_class("number" * self.numbers[index])}>{_breakable(self.columns[index])}</th>'
            for index in kept
        )
        body = "\n".join(_row(row, kept, self.numbers) for row in self.rows)
        return (
            f'<section id="{self.name}" aria-labelledby="{self.name}-heading">\n'
            f'<h2 id="{self.name}-heading">{escape(self.heading)}</h2>\n<p>{escape(self.text)}</p>\n'
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(self.heading)}, table">\n'
            f"<table>\n<caption>{escape(self.heading)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n</section>"
        )


def _row(row: Row, kept: Sequence[int], numbers: Sequence[bool]) -> str:
    filters = "".join(f' data-{name}="{escape(value)}"' for name, value in row.filters.items())
    parts = []
    for index in kept:
        cell = row.cells[index]
        tag = 'th scope="row"' if index == 0 else "td"
        value = "" if cell.value is None else f' data-value="{cell.value:.9g}"'
        style = _class(" ".join(filter(None, ("number" * numbers[index], cell.style))))
        parts.append(f"<{tag}{style}{value}>{escape(cell.text)}</{tag[:2]}>")
    return f"<tr{filters}>{''.join(parts)}</tr>"


def _breakable(name: str) -> str:
    return escape(name).replace("_", "_<wbr>")


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def _number(value: float | None, digits: int = 2) -> Cell:
    return Cell(markdown.number(value, digits), value)


def _significant(value: float | None, digits: int = 2) -> Cell:
    return Cell(markdown.significant(value, digits), value)


def _interval(low: float | None, high: float | None) -> Cell:
    known = low is not None and high is not None
    return Cell(f"[{markdown.number(low)}, {markdown.number(high)}]" if known else NONE, low)


def _estimator(name: str) -> Cell:
    return Cell(name, style="baseline" if name in BASELINES else "")


def _filters(cell: AgreementRecord | PublishedRecord) -> dict[str, str]:
    return {
        "suite": cell.suite,
        "task": cell.task,
        "setting": cell.setting,
        "estimator": cell.estimator.lower(),
        **({"protocol": protocol_of(setting_of(cell))} if isinstance(cell, AgreementRecord) else {}),
    }


def protocol_of(setting: Setting) -> str:
    """Return how candidates were fine-tuned, as the filter names it: whole encoders by `full`."""
    return "full" if (setting.kind, setting.protocol) == ("models", "layer") else setting.protocol


_Column = tuple[str, bool, Callable[[AgreementRecord], Cell]]

_AGREEMENT: Sequence[_Column] = (
    ("estimator", False, lambda cell: _estimator(cell.estimator)),
    ("suite", False, lambda cell: Cell(cell.suite)),
    ("task", False, lambda cell: Cell(cell.task)),
    ("setting", False, lambda cell: Cell(setting_of(cell).title)),
    ("layers' scores", False, lambda cell: Cell(cell.layer_policy)),
    ("n", True, lambda cell: Cell(str(cell.candidates), cell.candidates)),
    ("ρ", True, lambda cell: _number(cell.spearman)),
    ("95 %", True, lambda cell: _interval(cell.low, cell.high)),
    ("ceiling", True, lambda cell: _number(cell.ceiling)),
    ("over seeds", True, lambda cell: _interval(cell.seed_low, cell.seed_high)),
    ("over speech", True, lambda cell: _interval(cell.utterance_low, cell.utterance_high)),
    ("p", True, lambda cell: _significant(cell.p_value)),
    ("smallest p", True, lambda cell: _significant(cell.smallest_p_value)),
    ("p, smooth", True, lambda cell: _significant(cell.smooth_p_value)),
    ("partial ρ", True, lambda cell: _number(cell.partial_spearman)),
    ("given", False, lambda cell: Cell(cell.held_fixed or NONE)),
    ("r", True, lambda cell: _number(cell.pearson)),
    ("τ", True, lambda cell: _number(cell.kendall)),
    ("τ_w", True, lambda cell: _number(cell.weighted_kendall)),
    ("recall@3", True, lambda cell: _number(cell.top_3_recall)),
    ("regret", True, lambda cell: _number(cell.regret, 3)),
    ("regret@3", True, lambda cell: _number(cell.regret_at_3, 3)),
    ("scoring, s", True, lambda cell: _significant(cell.score_seconds)),
    ("fine-tuning, s", True, lambda cell: _significant(None if cell.of_part else cell.fine_tune_seconds, 3)),
    ("gate", False, lambda cell: Cell(_gate(cell))),
    ("note", False, lambda cell: Cell(cell.error or cell.reason, style="note")),
)


def _gate(cell: AgreementRecord) -> str:
    if cell.least_spearman is None and cell.largest_p_value is None:
        return NONE
    return "held" if cell.passed else "broken"


def summary(agreements: Sequence[AgreementRecord], ratio: markdown.Ratio) -> Table:
    """Return estimators by mean ρ over the settings of a suite, the best first, and what they cost."""
    settings = judged(agreements)
    families = sorted({setting.family for setting in settings})
    columns = ["estimator", "suite", "mean ρ", *families, "settings", "p < 0.01", "seconds", "cost ratio"]
    rows = []
    for suite in dict.fromkeys(setting.suite for setting in settings):
        own = widely_judged({key: cells for key, cells in settings.items() if key.suite == suite})
        parts = {
            family: mean_agreement({key: cells for key, cells in own.items() if key.family == family})
            for family in families
        }
        for name, mean in mean_agreement(own).items():
            cells = [found[name] for found in own.values() if name in found]
            sure = [cell for cell in cells if (cell.spearman or 0) > 0 and (cell.p_value or 0) < 0.01]
            rows.append(
                Row(
                    [
                        _estimator(name),
                        Cell(suite),
                        _number(mean),
                        *(_number(parts[family].get(name)) for family in families),
                        Cell(str(len(cells)), len(cells)),
                        Cell(str(len(sure)), len(sure)),
                        _significant(median_seconds(cells)),
                        _significant(markdown.median_ratio(cells, ratio)),
                    ],
                    {"suite": suite, "estimator": name.lower()},
                )
            )
    numbers = [False, False, *[True] * (len(columns) - 2)]
    text = (
        "Mean Spearman's ρ between scores and the results of fine-tuning, over the settings in which at "
        "least half of the suite's estimators were judged; models scored by the default layer policy. Median "
        "seconds, and median cost ratio (operations of fine-tuning over those of scoring)."
    )
    return Table("summary", "Which estimator?", text, columns, numbers, rows)


def agreements_table(agreements: Iterable[AgreementRecord], ratio: markdown.Ratio) -> Table:
    """Return every agreement, a row each."""
    rows = [
        Row([*(make(cell) for _, _, make in _AGREEMENT), _significant(ratio(cell))], _filters(cell))
        for cell in sorted(agreements, key=lambda cell: (cell.suite != "embedded", cell.key))
    ]
    text = (
        "Each estimator in each setting. ρ: Spearman's, metrics turned so that higher is better; p: exact, "
        "two-sided; ceiling: what a perfect estimator would reach despite noise over seeds; regret: what "
        "fine-tuning only the candidate with the best score loses, in the metric's unit."
    )
    columns = [*(column for column, _, _ in _AGREEMENT), "cost ratio"]
    numbers = [*(number for _, number, _ in _AGREEMENT), True]
    return Table("settings", "Every setting", text, columns, numbers, rows)


def candidates(agreements: Iterable[AgreementRecord]) -> Table:
    """Return what fine-tuning gave for each candidate of each setting."""
    columns = ["candidate", "suite", "task", "setting", "metric", "value", "± over seeds", "seeds", "rank"]
    rows = []
    for setting, cells in judged(agreements).items():
        truth = next(iter(cells.values()))
        for index, name in enumerate(truth.names):
            rank = 1 + sum(other > truth.goodness[index] for other in truth.goodness)
            rows.append(
                Row(
                    [
                        Cell(f"layer {name}" if setting.kind == "layers" else name),
                        Cell(setting.suite),
                        Cell(setting.task),
                        Cell(setting.title),
                        Cell(f"{metric_name(truth.metric)}, {truth.direction} is better"),
                        _number(truth.values[index], 3),
                        _number(truth.deviations[index], 3),
                        Cell(str(truth.seed_numbers[index]), truth.seed_numbers[index]),
                        Cell(str(rank), rank),
                    ],
                    {
                        "suite": setting.suite,
                        "task": setting.task,
                        "setting": setting.kind,
                        "protocol": protocol_of(setting),
                    },
                )
            )
    numbers = [False] * 5 + [True] * 4
    text = "The ground truth: the mean over seeds of real fine-tuning, and its standard deviation."
    return Table("candidates", "Fine-tuning", text, columns, numbers, rows)


def published(tabulated: Iterable[PublishedRecord]) -> Table:
    """Return how rankings agree with published results."""
    columns = ["estimator", "suite", "task", "setting", "against", "n", "ρ", "95 %", "p", "τ", "regret"]
    columns += ["by chance", "unit"]
    rows = [
        Row(
            [
                _estimator(cell.estimator),
                Cell(cell.suite),
                Cell(cell.task),
                Cell(cell.setting),
                Cell(cell.truth),
                Cell(str(cell.candidates), cell.candidates),
                _number(cell.spearman),
                _interval(cell.low, cell.high),
                _significant(cell.p_value),
                _number(cell.kendall),
                _number(cell.regret),
                _number(cell.regret_by_chance),
                Cell(cell.unit),
            ],
            _filters(cell),
        )
        for cell in sorted(tabulated, key=lambda cell: cell.key)
    ]
    numbers = [False] * 5 + [True] * 7 + [False]
    text = "Rankings made without any weights, held against results that others published."
    return Table("published", "Published results of real models", text, columns, numbers, rows)


def provenance(records: Iterable[AgreementRecord | TuningRecord]) -> Table:
    """Return the code, data, machines and packages behind the records."""
    found: dict[tuple[str, ...], int] = {}
    for record in records:
        origin = record.provenance
        key = (
            "agreement" if isinstance(record, AgreementRecord) else "fine-tuning",
            record.suite,
            record.task,
            record.data_revision,
            origin.commit + (" (changed)" if origin.dirty else ""),
            f"{origin.machine}, {origin.device}, threads: {origin.threads}",
            " ".join(f"{name} {origin.packages[name]}" for name in sorted(origin.packages)),
        )
        found[key] = found.get(key, 0) + 1
    rows = [
        Row(
            [
                *(Cell(text) for text in key[:-1]),
                Cell(key[-1], style="note"),
                Cell(str(count), count),
            ],
            {"suite": key[1], "task": key[2]},
        )
        for key, count in sorted(found.items())
    ]
    columns = ["records", "suite", "task", "data", "code", "machine", "packages", "number"]
    text = "What made the records that this page was written from."
    return Table("provenance", "Where the numbers come from", text, columns, [False] * 7 + [True], rows)
