"""Score against ground truth, in small multiples: settings × estimators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foretune.models import UNTRAINED, is_twin
from foretune.records import AgreementRecord

from .. import tables
from ..settings import BASELINES, Judged, judged, leading, metric_name, outcome
from . import palette
from .drawing import WIDTH, Drawing, Sheet, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT, _GAP = 58.0, 8.0, 24.0
_TOP, _ROW, _PANEL, _LEGEND_ROW = 30.0, 200.0, 128.0, 18.0
_LEGEND_COLUMNS = 5


def scatter(agreements: Sequence[AgreementRecord], suite: str, family: str) -> Drawing | None:
    """Draw, for a family of tasks, each candidate's result of fine-tuning over its score.

    Better results are higher up, whatever the metric's direction, so points that rise agree.

    Returns:
        The figure; None where no estimator gave scores.
    """
    everything = judged(agreements)
    of_suite = {key: cells for key, cells in everything.items() if key.suite == suite}
    settings = {key: cells for key, cells in of_suite.items() if key.family == family}
    shown = [
        name for name in leading(of_suite) if any(_scored(cells.get(name)) for cells in settings.values())
    ]
    if not shown:
        return None
    looks = _looks(settings)
    legend = -(-len(looks) // _LEGEND_COLUMNS) * _LEGEND_ROW + 24
    with sheet(_TOP + _ROW * len(settings) + legend) as paper:
        width = (WIDTH - _LEFT - _RIGHT - _GAP * (len(shown) - 1)) / len(shown)
        paper.text(8, 14, "Left to right: the estimator's score. Upwards: better after fine-tuning.")
        for row, (setting, cells) in enumerate(settings.items()):
            top = _TOP + _ROW * row
            paper.text(8, top + 16, setting.label, fontweight="bold")
            for column, name in enumerate(shown):
                axes = paper.axes(_LEFT + column * (width + _GAP), top + 46, width, _PANEL)
                _panel(paper, axes, name, cells, looks)
                if column == 0:
                    axes.set_ylabel(metric_name(next(iter(cells.values())).metric))
                else:
                    axes.tick_params(labelleft=False)
        _legend(paper, _TOP + _ROW * len(settings) + 6, looks, settings)
        return paper.drawing(
            "scatter",
            suite=suite,
            task=family,
            title=f"{family}: score against fine-tuning",
            alt=f"Results of fine-tuning over the scores of {', '.join(shown)}; a panel for each of "
            f"{', '.join(setting.label for setting in settings)}.",
        )


def _scored(cell: AgreementRecord | None) -> bool:
    return cell is not None and any(score is not None for score in cell.scores)


def _looks(settings: Judged) -> dict[str, tuple[str, str]]:
    """Return colour and marker of models; an untrained twin has its model's, and is hollow."""
    names = {
        name.removesuffix(UNTRAINED)
        for setting, cells in settings.items()
        if setting.kind == "models"
        for cell in cells.values()
        for name in cell.names
    }
    return {name: palette.look(index) for index, name in enumerate(sorted(names))}


def _panel(
    paper: Sheet,
    axes: Axes,
    name: str,
    cells: dict[str, AgreementRecord],
    looks: dict[str, tuple[str, str]],
) -> None:
    cell = cells.get(name)
    style = "italic" if name in BASELINES else "normal"
    axes.set_title(name, style=style, pad=19)
    truth = cell or next(iter(cells.values()))
    _limit(axes, truth)
    if cell is None or not _scored(cell):
        axes.set(xticks=[])
        axes.text(0.5, 0.5, "no score", transform=axes.transAxes, ha="center", color=palette.MUTED)
        return
    axes.text(
        0, 1.035, _agreement(cell),
        transform=axes.transAxes, fontsize=10, color=palette.MUTED,
    )  # fmt: skip
    known = [index for index, score in enumerate(cell.scores) if score is not None]
    scores = [score for score in cell.scores if score is not None]
    values = [cell.values[index] for index in known]
    deviations = [cell.deviations[index] or 0.0 for index in known]
    axes.errorbar(scores, values, yerr=deviations, fmt="none", ecolor=palette.MUTED, elinewidth=0.8)
    said = [_said(cell, index) for index in known]
    if cell.setting == "layers":
        _layers(
            paper, axes, names=[cell.names[index] for index in known], scores=scores, values=values, said=said
        )
    else:
        for index, score, value, text in zip(known, scores, values, said, strict=True):
            base = cell.names[index].removesuffix(UNTRAINED)
            colour, marker = looks[base]
            hollow = cell.names[index] != base
            drawn = axes.scatter(
                [score], [value], s=38, marker=marker, zorder=3, linewidths=1.5 if hollow else 0.7,
                c=palette.PAPER if hollow else colour, edgecolors=colour if hollow else palette.INK,
            )  # fmt: skip
            paper.name_values(drawn, [text])
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter(lambda score, _: f"{score:.4g}".replace("-", "−"))


def _layers(
    paper: Sheet,
    axes: Axes,
    *,
    names: Sequence[str],
    scores: Sequence[float],
    values: Sequence[float],
    said: Sequence[str],
) -> None:
    axes.plot(scores, values, color=palette.MUTED, linewidth=0.8)
    drawn = axes.scatter(
        scores, values, s=30, c=np.arange(len(names)), cmap="cividis", zorder=3, linewidths=0.7,
        edgecolors=palette.INK,
    )  # fmt: skip
    paper.name_values(drawn, said)
    for index in sorted({0, len(names) - 1}):
        axes.annotate(
            names[index], (scores[index], values[index]), (5, 4), textcoords="offset points", fontsize=10
        )


def _agreement(cell: AgreementRecord) -> str:
    known = cell.low is not None and cell.high is not None
    interval = f" [{tables.number(cell.low)}, {tables.number(cell.high)}]" if known else ""
    return f"ρ {tables.number(cell.spearman)}{interval}, p {tables.significant(cell.p_value)}"


def _said(cell: AgreementRecord, index: int) -> str:
    candidate = f"layer {cell.names[index]}" if cell.setting == "layers" else cell.names[index]
    return f"{candidate}: {cell.estimator} {cell.scores[index]:.5g}, {outcome(cell, index)}"


def _limit(axes: Axes, cell: AgreementRecord) -> None:
    """Give all panels of a row the same range, and turn it where lower is better."""
    spread = [deviation or 0.0 for deviation in cell.deviations]
    least = min(np.array(cell.values) - spread)
    largest = max(np.array(cell.values) + spread)
    margin = 0.08 * (largest - least) or 0.05
    limits = (least - margin, largest + margin)
    axes.set_ylim(limits if cell.direction == "higher" else limits[::-1])
    axes.locator_params(axis="y", nbins=4)


def _legend(paper: Sheet, top: float, looks: dict[str, tuple[str, str]], settings: Judged) -> None:
    axes = paper.axes(0, top, WIDTH, paper.height - top)
    axes.set(xlim=(0, WIDTH), ylim=(paper.height - top, 0))
    axes.set_axis_off()
    notes = ["Bars: ± the standard deviation over seeds."]
    if any(setting.kind == "layers" for setting in settings):
        notes.append("Layers are joined in their order, dark to bright; the first and the last are numbered.")
    if any(is_twin(name) for cells in settings.values() for cell in cells.values() for name in cell.names):
        notes.append("Hollow: untrained twin.")
    axes.text(8, 12, " ".join(notes), fontsize=10, color=palette.MUTED)
    for index, (name, (colour, marker)) in enumerate(looks.items()):
        x = 14 + index % _LEGEND_COLUMNS * (WIDTH / _LEGEND_COLUMNS)
        y = 28 + index // _LEGEND_COLUMNS * _LEGEND_ROW
        axes.scatter([x], [y], s=38, c=colour, marker=marker, edgecolors=palette.INK, linewidths=0.7)
        axes.text(x + 10, y, name, va="center_baseline", fontsize=10)
