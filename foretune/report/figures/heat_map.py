"""ρ of every estimator in every setting, at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from foretune.records import AgreementRecord
from foretune.setting import Setting

from .. import tables
from ..settings import BASELINES, Judged, judged, mean_agreement, widely_judged
from . import palette
from .drawing import WIDTH, Drawing, Sheet, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _BOTTOM = 182.0, 44.0
_ROW = 18.0
_WIDEST = 64.0
_MOST = 20
"""Settings side by side; more make another row."""
_LONGEST = 54
"""Letters of a heading, which stands on a slope: a letter takes so much of the figure's height and width."""
_UP, _ASIDE = 5.2, 3.0


def heat_map(agreements: Sequence[AgreementRecord]) -> Drawing:
    """Draw estimators, best mean ρ first, against settings, and the mean over all in the first column.

    Parts of a task, which few estimators are judged on, are left out.
    """
    settings = judged(cell for cell in agreements if not cell.of_part)
    means = mean_agreement(widely_judged(settings)) or mean_agreement(settings)
    others = sorted({name for cells in settings.values() for name in cells} - set(means))
    rows = [*means, *others]
    letters = max(map(len, map(_heading, settings)), default=0)
    top = 24 + _UP * letters
    bands = _bands(settings)
    most = max(map(len, bands), default=0) + 1
    width = min((WIDTH - _LEFT - _ASIDE * letters) / most, _WIDEST)
    height = top + _ROW * len(rows)
    with sheet(height * len(bands) + _BOTTOM) as paper:
        for number, band in enumerate(bands):
            place = (_LEFT, number * height + top, width * (len(band) + 1), _ROW * len(rows))
            axes = paper.axes(*place)
            axes.set(xlim=(0, len(band) + 1), ylim=(len(rows), 0), xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            _cells(paper, axes, rows, means, band)
            _names(axes, rows, ["mean", *map(_heading, band)])
        _key(paper, height * len(bands) + 12)
        return paper.drawing(
            "heat_map",
            suite="",
            task="",
            title="ρ of every estimator in every setting",
            alt=f"Heat map of Spearman's ρ: {len(rows)} estimators in {len(settings)} settings. "
            f"Best mean: {', '.join(rows[:3])}.",
        )


def _bands(settings: Judged) -> list[Judged]:
    """Return the settings in rows of nearly the same length, none too long for its cells to be read."""
    number = max(1, -(-len(settings) // _MOST))
    size = -(-len(settings) // number)
    keys = list(settings)
    return [
        {key: settings[key] for key in keys[start : start + size]} for start in range(0, len(keys), size or 1)
    ]


def _cells(paper: Sheet, axes: Axes, rows: Sequence[str], means: dict[str, float], settings: Judged) -> None:
    import matplotlib as mpl
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    found = [(0, rows.index(name), mean, False, f"{name}: mean ρ {mean:.2f}") for name, mean in means.items()]
    for column, (setting, cells) in enumerate(settings.items(), start=1):
        for name, cell in cells.items():
            if cell.spearman is not None:
                sure = cell.p_value is not None and cell.p_value < tables.SIGNIFICANT
                found.append((column, rows.index(name), cell.spearman, sure, _said(name, setting, cell)))
    colours = mpl.colormaps["RdBu"]((np.array([each[2] for each in found]) + 1) / 2)
    box = axes.get_window_extent()
    shape = Affine2D().scale(box.width / (len(settings) + 1) - 1.5, _ROW - 1.5)
    square = Path([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)])
    places = [(column + 0.5, row + 0.5) for column, row, *_ in found]
    collection = PathCollection(
        [square], offsets=places, offset_transform=axes.transData, facecolors=colours, linewidths=0
    )
    collection.set_transform(shape)
    axes.add_collection(collection, autolim=False)
    paper.name_values(collection, [each[4] for each in found])
    for (x, y), (_, _, rho, sure, _), colour in zip(places, found, colours, strict=True):
        luminance = float(np.array([0.2126, 0.7152, 0.0722]) @ colour[:3] ** 2.2)
        axes.text(
            x, y, tables.number(rho).replace("0.", ".", 1), ha="center", va="center_baseline", fontsize=9.5,
            color="#000000" if luminance > 0.2 else "#ffffff", fontweight="bold" if sure else "normal",
        )  # fmt: skip


def _said(name: str, setting: Setting, cell: AgreementRecord) -> str:
    where = f"{cell.task}, {setting.label.rpartition(': ')[2]}"
    return f"{name}, {where}: ρ {tables.number(cell.spearman)}, p {tables.significant(cell.p_value)}"


def _names(axes: Axes, rows: Sequence[str], headings: Sequence[str]) -> None:
    for row, name in enumerate(rows):
        style = "italic" if name in BASELINES else "normal"
        axes.text(-0.08, row + 0.5, name, ha="right", va="center_baseline", fontsize=10.5, style=style)
    for column, text in enumerate(headings):
        axes.text(
            column + 0.55, -0.35, text, rotation=60, rotation_mode="anchor", ha="left", va="baseline",
            fontsize=10, fontweight="bold" if column == 0 else "normal",
        )  # fmt: skip


def _heading(setting: Setting) -> str:
    suite = "" if setting.suite == "embedded" else f"{setting.suite.partition(',')[0]}: "
    heading = f"{suite}{setting.task}, {setting.label.rpartition(': ')[2]}"
    return heading if len(heading) <= _LONGEST else f"{heading[: _LONGEST - 1]}…"


def _key(paper: Sheet, top: float) -> None:
    import matplotlib as mpl

    key = paper.axes(_LEFT, top, 110, 10)
    steps = np.linspace(-1, 1, 21)
    key.bar(steps, 1, width=0.1, color=mpl.colormaps["RdBu"]((steps + 1) / 2))
    key.set(xlim=(-1.05, 1.05), ylim=(0, 1), yticks=[], xticks=[-1, 0, 1])
    key.grid(visible=False)
    paper.text(
        _LEFT + 130, top + 9,
        "ρ with fine-tuning; bold: p < 0.05; italics: baselines; empty: no score or not judged",
        fontsize=10, color=palette.MUTED,
    )  # fmt: skip
