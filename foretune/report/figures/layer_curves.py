"""The results of fine-tuning over layers, and the scores below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from foretune.records import AgreementRecord

from .. import tables
from ..settings import BASELINES, judged, leading, metric_name, outcome
from . import palette
from .drawing import WIDTH, Drawing, Sheet, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LIMITS = (-0.1, 1.1)
"""Of the panels of scores, in shares of the distance from the least score to the most."""
_LEFT, _RIGHT, _GAP = 58.0, 8.0, 58.0
_COLUMNS = 3
_ABOVE, _PANEL, _BETWEEN, _BELOW = 30.0, 130.0, 12.0, 46.0
_BAND = _ABOVE + 2 * _PANEL + _BETWEEN + _BELOW
_LEGEND = 44.0


def layer_curves(agreements: Sequence[AgreementRecord], suite: str, family: str) -> Drawing | None:
    """Draw, for a family of tasks, metric and scores over the layers of each model.

    Above, the mean over seeds with a band of one standard deviation; below, the leading estimators, each
    from its least score to its greatest, with a band of one standard error where it is known.

    Returns:
        The figure; None where no layers were ranked.
    """
    of_suite = {key: cells for key, cells in judged(agreements).items() if key.suite == suite}
    settings = {key: cells for key, cells in of_suite.items() if (key.family, key.kind) == (family, "layers")}
    if not settings:
        return None
    shown = leading(of_suite)
    columns = min(len(settings), _COLUMNS)
    bands = -(-len(settings) // columns)
    with sheet(_BAND * bands + _LEGEND) as paper:
        width = (WIDTH - _LEFT - _RIGHT - _GAP * (columns - 1)) / columns
        for number, (setting, cells) in enumerate(settings.items()):
            left = _LEFT + number % columns * (width + _GAP)
            top = _ABOVE + number // columns * _BAND
            truth = next(iter(cells.values()))
            layers = [int(name) for name in truth.names]
            above = paper.axes(left, top, width, _PANEL)
            above.set_title(setting.label, fontweight="bold")
            _truth(paper, above, layers, truth)
            below = paper.axes(left, top + _PANEL + _BETWEEN, width, _PANEL)
            _scores(paper, below, layers, cells, shown)
            best = layers[int(np.argmax(truth.goodness))]
            for axes in (above, below):
                axes.axvline(best, color=palette.MUTED, linestyle="dotted", linewidth=1.2, zorder=1)
                axes.set_xlim(min(layers) - 0.4, max(layers) + 0.4)
                axes.set_xticks(layers[:: 1 + len(layers) // 14])
            above.tick_params(labelbottom=False)
            below.set_xlabel("layer")
            if number % columns == 0:
                below.set_ylabel("score")
        _legend(paper, _BAND * bands, shown)
        return paper.drawing(
            "layer_curves",
            suite=suite,
            task=family,
            title=f"{family}: fine-tuning and scores over layers",
            alt=f"Results of fine-tuning and scores of {', '.join(shown)} over the "
            f"{'; '.join(setting.label for setting in settings)}.",
        )


def _truth(paper: Sheet, axes: Axes, layers: Sequence[int], cell: AgreementRecord) -> None:
    values = np.array(cell.values)
    spread = np.array([deviation or 0.0 for deviation in cell.deviations])
    axes.fill_between(layers, values - spread, values + spread, color=palette.INK, alpha=0.2, linewidth=0)
    (drawn,) = axes.plot(layers, values, color=palette.INK, marker="o")
    paper.name_values(drawn, [f"layer {layer}: {outcome(cell, index)}" for index, layer in enumerate(layers)])
    axes.set_ylabel(metric_name(cell.metric))
    axes.locator_params(axis="y", nbins=4)
    if cell.direction == "lower":
        axes.invert_yaxis()


def _scores(
    paper: Sheet,
    axes: Axes,
    layers: Sequence[int],
    cells: Mapping[str, AgreementRecord],
    shown: Sequence[str],
) -> None:
    for name, (colour, marker, line) in zip(shown, palette.SERIES, strict=False):
        cell = cells.get(name)
        if cell is None:
            continue
        known = [index for index, score in enumerate(cell.scores) if score is not None]
        if not known:
            continue
        scores = np.array([score for score in cell.scores if score is not None])
        least, span = scores.min(), float(np.ptp(scores)) or 1.0
        places = [layers[index] for index in known]
        if cell.score_errors:
            errors = np.array([cell.score_errors[index] or 0.0 for index in known])
            # what lies outside would be drawn over the other panels, as nothing is clipped (drawing.py)
            low, high = (np.clip((scores + sign * errors - least) / span, *_LIMITS) for sign in (-1, 1))
            axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
        (drawn,) = axes.plot(
            places, (scores - least) / span, color=colour, linestyle=line, marker=marker, markersize=5
        )
        paper.name_values(
            drawn,
            [
                f"layer {layer}: {name} {score:.5g} (ρ {tables.number(cell.spearman)})"
                for layer, score in zip(places, scores, strict=True)
            ],
        )
    axes.set(ylim=_LIMITS, yticks=[0, 1], yticklabels=["least", "most"])


def _legend(paper: Sheet, top: float, shown: Sequence[str]) -> None:
    axes = paper.axes(0, top, WIDTH, paper.height - top)
    axes.set(xlim=(0, WIDTH), ylim=(paper.height - top, 0))
    axes.set_axis_off()
    for number, (name, (colour, marker, line)) in enumerate(zip(shown, palette.SERIES, strict=False)):
        x = _LEFT + number * 200
        axes.plot([x, x + 19, x + 38], [8, 8, 8], color=colour, marker=marker, linestyle=line)
        style = "italic" if name in BASELINES else "normal"
        axes.text(x + 46, 8, name, va="center_baseline", fontsize=10.5, style=style)
    axes.text(
        _LEFT, 36, "Black or white: fine-tuning ± its deviation over seeds, better at the top. "
        "Coloured: scores, some ± their error over speech. Dotted: the best layer.",
        fontsize=10, color=palette.MUTED,
    )  # fmt: skip
