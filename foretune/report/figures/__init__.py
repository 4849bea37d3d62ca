"""The figures of RESULTS.md, from agreements and nothing else: one file a kind of figure.

`draw` makes them, `write` puts them into files for light pages and dark ones, and `links` returns the
Markdown that shows them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path, PurePath
from urllib.parse import quote

from foretune.records import AgreementRecord

from ..settings import judged
from .cost import cost
from .drawing import Drawing
from .heat_map import heat_map
from .layer_curves import layer_curves
from .scatter import scatter

__all__ = ["Drawing", "draw", "links", "write"]


def draw(agreements: Sequence[AgreementRecord]) -> list[Drawing]:
    """Draw a heat map, the first suite's costs, and scatter and layer curves of each family of tasks.

    Args:
        agreements: one a cell; of any suites. Where none is of the default layer policy, there is no figure.

    Raises:
        InputError: matplotlib is not installed.
    """
    families = dict.fromkeys((setting.suite, setting.family) for setting in judged(agreements))
    if not families:
        return []
    first = next(suite for suite, _ in families)
    found = [heat_map(agreements), cost(agreements, first)]
    for suite, family in families:
        found += [scatter(agreements, suite, family), layer_curves(agreements, suite, family)]
    return [drawing for drawing in found if drawing is not None]


def write(drawings: Iterable[Drawing], folder: Path) -> None:
    """Write each figure as `NAME.svg` and `NAME-dark.svg`.

    Args:
        drawings: by `draw`.
        folder: made where it is not there.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for drawing in drawings:
        for name, dark in ((drawing.name, False), (f"{drawing.name}-dark", True)):
            temporary = folder / f"{name}.{os.getpid()}.tmp"
            temporary.write_text(drawing.file(dark=dark), encoding="utf-8", newline="\n")
            temporary.replace(folder / f"{name}.svg")


def links(drawings: Iterable[Drawing], folder: str) -> dict[tuple[str, str], list[str]]:
    """Return the Markdown that shows figures, in the colours that suit the reader's, by suite and task.

    Args:
        drawings: that `write` has written.
        folder: as seen from the Markdown file.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for drawing in drawings:
        path = quote(PurePath(folder, drawing.name).as_posix())
        found.setdefault((drawing.suite, drawing.task), []).append(
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{path}-dark.svg">'
            f'<img alt="{escape(drawing.alt)}" src="{path}.svg"></picture>'
        )
    return found
