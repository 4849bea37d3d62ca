"""What estimators cost against how well they agree with fine-tuning."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foretune.records import AgreementRecord

from .. import tables
from ..settings import BASELINES, Judged, judged, mean_agreement, median_seconds, widely_judged
from . import palette
from .drawing import WIDTH, Drawing, Sheet, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOP, _HEIGHT, _BOTTOM = 34.0, 400.0, 62.0
_LEFT, _RIGHT, _GAP = 62.0, 20.0, 16.0
_LABEL, _LETTER = 12.5, 6.2
"""Pixels between names, one above the other, and those that a letter takes."""
_APART = 20.0
"""Costs so many times apart are drawn in two parts of a broken axis."""


@dataclass(frozen=True, slots=True)
class _Point:
    """An estimator: median seconds of a setting, mean ρ, least and largest ρ."""

    name: str
    seconds: float
    rho: float
    least: float
    largest: float


def cost(agreements: Sequence[AgreementRecord], suite: str) -> Drawing | None:
    """Draw each estimator's mean ρ over the seconds that it takes, and name those that none beats in both.

    Args:
        agreements: of any suites.
        suite: whose settings count, those in which at least half of the estimators were judged.

    Returns:
        The figure; None where fewer than two estimators gave scores.
    """
    settings = widely_judged({key: cells for key, cells in judged(agreements).items() if key.suite == suite})
    points = _points(settings)
    if len(points) < 2:
        return None
    front = pareto({point.name: (point.seconds, point.rho) for point in points})
    parts = _parts(sorted({point.seconds for point in points}))
    with sheet(_TOP + _HEIGHT + _BOTTOM) as paper:
        paper.text(
            _LEFT, 16, "mean ρ, best at the top; the line joins estimators that no other beats in both"
        )
        span = WIDTH - _LEFT - _RIGHT - _GAP * (len(parts) - 1)
        shares = [0.30, 0.70] if len(parts) == 2 else [1.0]
        left = _LEFT
        for number, (part, share) in enumerate(zip(parts, shares, strict=True)):
            axes = paper.axes(left, _TOP, span * share, _HEIGHT)
            inside = [point for point in points if part[0] <= point.seconds <= part[-1]]
            _draw(paper, axes, inside, front, limits=(part[0] / 2, part[-1] * 2), everything=points)
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_formatter(lambda value, _: "")
            if number:
                axes.spines["left"].set_visible(False)
                axes.tick_params(labelleft=False, left=False)
            left += span * share + _GAP
        paper.text(
            _LEFT, _TOP + _HEIGHT + 42,
            "seconds for the scores of all candidates of a setting (log; median over settings)"
            + (", the axis is broken" if len(parts) == 2 else ""),
        )  # fmt: skip
        return paper.drawing(
            "cost",
            suite=suite,
            task="",
            title="Cost against agreement",
            alt=f"Mean ρ of {len(points)} estimators over the seconds that they take. Not beaten in both: "
            f"{', '.join(front)}.",
        )


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names for which no other costs no more and agrees better, cheapest first.

    >>> pareto({"cheap": (1, 0.1), "good": (9, 0.8), "worse": (9, 0.7), "dear": (10, 0.8)})
    ['cheap', 'good']
    """
    front: list[str] = []
    best = -np.inf
    for name in sorted(points, key=lambda name: (points[name][0], -points[name][1], name)):
        if points[name][1] > best:
            front.append(name)
            best = points[name][1]
    return front


def _points(settings: Judged) -> list[_Point]:
    points = []
    for name, mean in mean_agreement(settings).items():
        cells = [found[name] for found in settings.values() if name in found]
        known = [cell.spearman for cell in cells if cell.spearman is not None]
        points.append(_Point(name, max(median_seconds(cells), 1e-6), mean, min(known), max(known)))
    return points


def _parts(seconds: Sequence[float]) -> list[list[float]]:
    """Break the axis at its widest gap, where that is wide."""
    gaps = [after / before for before, after in itertools.pairwise(seconds)]
    widest = int(np.argmax(gaps)) if gaps else 0
    if not gaps or gaps[widest] < _APART or widest == len(gaps) - 1:
        return [list(seconds)]
    return [list(seconds[: widest + 1]), list(seconds[widest + 1 :])]


def _draw(
    paper: Sheet,
    axes: Axes,
    points: Sequence[_Point],
    front: Sequence[str],
    *,
    limits: tuple[float, float],
    everything: Sequence[_Point],
) -> None:
    low = min(point.rho for point in everything)
    high = max(point.rho for point in everything)
    axes.set(xscale="log", xlim=limits, ylim=(low - 0.08, high + 0.08))
    axes.axhline(0, color=palette.MUTED, linewidth=0.8)
    _draw_front(axes, [point for point in everything if point.name in front], limits)
    for baseline, colour, marker in ((False, palette.BLUE, "o"), (True, palette.ORANGE, "D")):
        own = [point for point in points if (point.name in BASELINES) == baseline]
        if own:
            drawn = axes.scatter(
                [point.seconds for point in own], [point.rho for point in own], s=42, c=colour,
                marker=marker, edgecolors=palette.INK, linewidths=0.8, zorder=3,
                label="baseline, looks at no label" if baseline else "estimator",
            )  # fmt: skip
            paper.name_values(drawn, [_said(point) for point in own])
    _label(axes, points)


def _draw_front(axes: Axes, front: Sequence[_Point], limits: tuple[float, float]) -> None:
    """Draw the part of the front's steps that lies within the limits."""
    ordered = sorted(front, key=lambda point: point.seconds)
    before = [point.rho for point in ordered if point.seconds < limits[0]]
    inside = [point for point in ordered if limits[0] <= point.seconds <= limits[1]]
    seconds = [*([limits[0]] if before else []), *(point.seconds for point in inside)]
    rhos = [*before[-1:], *(point.rho for point in inside)]
    if rhos:
        axes.step(
            [*seconds, limits[1]], [*rhos, rhos[-1]], where="post", color=palette.VERMILLION, linewidth=1.4,
            linestyle="dashed",
        )  # fmt: skip


def _said(point: _Point) -> str:
    return (
        f"{point.name}: mean ρ {point.rho:.2f} ({point.least:.2f} to {point.largest:.2f} over settings), "
        f"{tables.significant(point.seconds)} s"
    )


def _label(axes: Axes, points: Sequence[_Point]) -> None:
    """Name points at their right, and move down names that would cover others."""
    places = axes.transData.transform([(point.seconds, point.rho) for point in points])
    taken: list[tuple[float, float, float]] = []
    for point, (x, y) in sorted(
        zip(points, places.tolist(), strict=True), key=lambda pair: (-pair[1][1], pair[1][0])
    ):
        left, right, height = x + 12, x + 24 + _LETTER * len(point.name), y + 6
        for other_left, other_right, other in taken:  # from above, so one pass is enough
            if left < other_right and other_left < right and abs(height - other) < _LABEL:
                height = other - _LABEL
        taken.append((left, right, height))
        line = {"arrowstyle": "-", "color": palette.MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
        axes.annotate(
            point.name, (point.seconds, point.rho), (12, height - y), textcoords="offset points",
            va="center", fontsize=10.5, style="italic" if point.name in BASELINES else "normal",
            arrowprops=line if abs(height - y) > _LABEL / 2 else None,
        )  # fmt: skip
