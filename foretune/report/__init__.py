"""RESULTS.md, from records and nothing else: the same records give the same bytes.

`write_report` reads agreements (made by `pytest bench/`) and fine-tuning runs (the ground truth);
`render` turns them into Markdown, `figures` draws them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from foretune.ground_truth import shipped
from foretune.judging import completed
from foretune.records import AgreementRecord, PublishedRecord, Record, TuningRecord, latest, read
from foretune.tasks.errors import InputError

from .figures import draw, links, write
from .markdown import render
from .page import page

__all__ = ["render", "write_report"]


def write_report(
    records: Sequence[Path],
    output: Path = Path("RESULTS.md"),
    ground_truth: Sequence[Path] | None = None,
    figures: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write RESULTS.md from records; of repeated results the last counts.

    Args:
        records: files that `pytest bench/` wrote, or that hold the same kinds of records, such as those
            of real speech.
        output: the Markdown file; replaced as a whole, and only once everything has been read.
        ground_truth: files of fine-tuning runs, which say how the ground truth was made; by default
            those that ship.
        figures: folder for the figures, which the Markdown then shows; without it there are none.
        html: a page of the same, in one file, with tables to sort and filter; none by default.

    Raises:
        InputError: a file is missing or holds something else, no record is an agreement, or figures are
            wanted and matplotlib is not installed (a page has them too).
    """
    if ground_truth is None:
        ground_truth = [shipped()] if shipped().is_file() else []
    found: list[Record] = []
    for path in dict.fromkeys([*ground_truth, *records]):
        found.extend(read(path))
    unique = latest(found)
    agreements = [completed(record) for record in unique if isinstance(record, AgreementRecord)]
    if not agreements:
        given = ", ".join(str(path) for path in records) or "no files"
        raise InputError(f"{given}: no agreement to report; run `pytest bench/` first")
    runs = [record for record in unique if isinstance(record, TuningRecord)]
    tabulated = [record for record in unique if isinstance(record, PublishedRecord)]
    drawings = [] if figures is None and html is None else draw(agreements)
    shown = {}
    if figures is not None:
        write(drawings, figures)
        shown = links(drawings, os.path.relpath(figures, output.parent))
    _replace(output, render(agreements, runs, tabulated, shown))
    if html is not None:
        _replace(html, page(agreements, runs, tabulated, drawings))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
