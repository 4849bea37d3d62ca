"""Colours and markers of the figures, for light pages and dark ones.

Series have the colours of Okabe and Ito, 2008 (https://jfly.uni-koeln.de/color/), which people with any
common kind of colour blindness can tell apart, the pale ones darker on white; and besides a marker and a
line style of their own. A figure is drawn in the light colours; `dark` and `styled` put others in their
place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

INK = "#1f2328"
MUTED = "#59636e"
GRID = "#d1d9e1"
PAPER = "#fffffe"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072b2", "#d55e00", "#00896a", "#b3608f", "#c08000", "#2f93cc",
)  # fmt: skip

ROLES: Mapping[str, tuple[str, str]] = {
    INK: ("ink", "#e6edf3"),
    MUTED: ("muted", "#9aa4af"),
    GRID: ("grid", "#3d444e"),
    PAPER: ("paper", "#0d1117"),
    BLUE: ("blue", "#3f9bdb"),
    VERMILLION: ("vermillion", "#e8751a"),
    GREEN: ("green", "#1fb88c"),
    PURPLE: ("purple", "#d88fb7"),
    ORANGE: ("orange", "#e69f00"),
    SKY: ("sky", "#7cc6ef"),
}
"""Light colour -> its name, and the dark one."""

SERIES = (
    (BLUE, "o", "solid"),
    (VERMILLION, "s", "dashed"),
    (GREEN, "^", "dashdot"),
    (PURPLE, "D", "dotted"),
)
"""Colour, marker and line of the estimators that are drawn side by side."""

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, MUTED)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")


def look(index: int) -> tuple[str, str]:
    """Return colour and marker of the candidate with this number: 84 differ.

    >>> look(0), look(7)
    (('#0072b2', 'o'), ('#0072b2', '<'))
    """
    return _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]


def dark(svg: str) -> str:
    """Return a drawing in the colours for a dark page."""
    return _replace(svg, {light: other for light, (_, other) in ROLES.items()})


def styled(svg: str) -> str:
    """Return a drawing whose colours are custom properties of the page that it stands in."""
    return _replace(svg, {light: f"var(--{name})" for light, (name, _) in ROLES.items()})


def _replace(svg: str, colours: Mapping[str, str]) -> str:
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: colours.get(found[0], found[0]), svg)
