"""From matplotlib to a small SVG whose bytes depend on nothing but what is drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from foretune.tasks.errors import InputError

from . import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 860.0
"""Of every figure, in pixels: what fits beside a repository's README."""
FONT = "DejaVu Sans, Verdana, Segoe UI, Helvetica, Arial, sans-serif"

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_STYLED = re.compile(r'style="([^"]*)"')
_STYLE: Mapping[str, Any] = {
    "figure.dpi": 72,  # so that a point is a pixel
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a task may have a dollar in its name
    "font.size": 11,
    "text.color": palette.INK,
    "axes.edgecolor": palette.MUTED,
    "axes.labelcolor": palette.INK,
    "axes.titlecolor": palette.INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.6,
    "xtick.color": palette.MUTED,
    "ytick.color": palette.MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure.

    Attributes:
        kind: what it shows, also the beginning of its name: `heat_map`, `cost`, `scatter`, `layer_curves`.
        suite: of the speech; empty for all.
        task: family of tasks; empty for all.
        title: a heading.
        alt: what is to be seen, for those who cannot.
        svg: in the colours for a light page; elements with a value have it as their `title`.
    """

    kind: str
    suite: str
    task: str
    title: str
    alt: str
    svg: str

    @property
    def name(self) -> str:
        """Return the name of its file, without the ending."""
        return _name(self.kind, self.suite, self.task)

    def file(self, *, dark: bool = False) -> str:
        """Return the SVG to be shown as an image, on a light page or a dark one; styles said once each."""
        plain = re.sub(r"<title>[^<]*</title>", "", self.svg)
        styles = {style: f"a{index}" for index, style in enumerate(dict.fromkeys(_STYLED.findall(plain)))}
        rules = "".join(f".{name}{{{style}}}" for style, name in styles.items())
        plain = _STYLED.sub(lambda found: f'class="{styles[found[1]]}"', plain)
        plain = plain.replace(">", f"><style>{rules}</style>", 1)
        return palette.dark(plain) if dark else plain


class Sheet:
    """A figure while it is drawn; places are in pixels from its upper left corner.

    Attributes:
        figure: of matplotlib.
        height: in pixels.
    """

    def __init__(self, figure: Figure, height: float) -> None:
        self.figure = figure
        self.height = height
        self._values: dict[str, Sequence[str]] = {}

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes."""
        return self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Write a line whose baseline is at `top`."""
        self.figure.text(left / WIDTH, 1 - top / self.height, text, **style)

    def name_values(self, artist: Any, values: Sequence[str]) -> None:
        """Say what each marker of a line or a collection stands for, in their order."""
        name = f"values-{len(self._values)}"
        artist.set_gid(name)
        self._values[name] = values

    def drawing(self, kind: str, *, suite: str, task: str, title: str, alt: str) -> Drawing:
        """Return the finished figure."""
        import matplotlib as mpl

        name = _name(kind, suite, task)
        written = io.BytesIO()
        for artist in self.figure.findobj():
            artist.set_clip_on(False)  # nothing is drawn outside; paths that clip fill a file
        for patch in (self.figure.patch, *(axes.patch for axes in self.figure.axes)):
            patch.set_visible(False)
        with mpl.rc_context({"svg.hashsalt": name}):
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            self.figure.savefig(written, format="svg", metadata=nothing)
        svg = _tidy(written.getvalue().decode(), name, self._values, self.height)
        return Drawing(kind, suite, task, title, alt, svg)


@contextmanager
def sheet(height: float) -> Iterator[Sheet]:
    """Give an empty figure, of our width and this height in pixels, and our style while it is drawn.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError(
            "figures need matplotlib: python -m pip install 'foretune[draw]', or report with --no-figures"
        ) from None
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's own style is
        mpl.rcParams.update(_STYLE)
        yield Sheet(Figure(figsize=(WIDTH / 72, height / 72)), height)


def _name(*parts: str) -> str:
    words = (re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in parts)
    return "-".join(word for word in words if word)


def _tidy(svg: str, name: str, values: Mapping[str, Sequence[str]], height: float) -> str:
    """Drop what nobody sees, shorten numbers, name values, and keep apart from other figures of a page."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own, just written)
    for tag in ("metadata", "defs"):
        for child in root.findall(f"{{{_SVG}}}{tag}"):
            if tag == "metadata" or child.find(f"{{{_SVG}}}style") is not None:
                root.remove(child)
    for group in root.iter(f"{{{_SVG}}}g"):
        markers = group.iter(f"{{{_SVG}}}use")
        for used, value in zip(markers, values.get(group.get("id", ""), ()), strict=False):
            ElementTree.SubElement(used, f"{{{_SVG}}}title").text = value
    _name_anew(root, name)
    for element in root.iter():
        _shorten(element)
    _unwrap(root)
    root.attrib.clear()
    root.attrib |= {
        "viewBox": f"0 0 {WIDTH:g} {height:g}",
        "width": f"{WIDTH:g}",
        "height": f"{height:g}",
        "font-family": FONT,
        "stroke-linejoin": "round",
    }
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _unwrap(element: ElementTree.Element) -> None:
    """Put what groups without attributes hold in their place."""
    children = []
    for child in element:
        _unwrap(child)
        children += list(child) if child.tag == f"{{{_SVG}}}g" and not child.attrib else [child]
    element[:] = children


def _name_anew(root: ElementTree.Element, name: str) -> None:
    """Keep the names that something refers to, numbered in their order."""
    text = ElementTree.tostring(root, encoding="unicode")
    referred = set(re.findall(r"#([\w-]+)", text))
    names: dict[str, str] = {}
    for element in root.iter():
        old = element.attrib.pop("id", "")
        if old in referred:
            names.setdefault(old, f"{name}-{len(names)}")
            element.set("id", names[old])
    for element in root.iter():
        for key, value in element.attrib.items():
            if "#" in value:
                element.set(
                    key, re.sub(r"#([\w-]+)", lambda found: "#" + names.get(found[1], found[1]), value)
                )


def _shorten(element: ElementTree.Element) -> None:
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    for key, value in element.attrib.items():
        if key in ("d", "x", "y", "transform", "style", "width", "height"):
            element.set(key, re.sub(r"-?\d+\.\d+", _rounded, " ".join(value.split())))
    if "d" in element.attrib:
        element.set("d", re.sub(r" ?([A-Za-z]) ?", r"\1", element.attrib["d"]))
    if element.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    if "style" in element.attrib:
        element.set("style", _short_style(element.attrib["style"]))


def _short_style(style: str) -> str:
    rules = (rule.split(": ", 1) for rule in style.split("; "))
    return ";".join(f"{key}:{value}" for key, value in rules if key not in ("font-family", "stroke-linecap"))


def _rounded(number: re.Match[str]) -> str:
    return f"{round(float(number[0]), 2) + 0.0:g}"
