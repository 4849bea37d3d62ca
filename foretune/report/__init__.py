"""RESULTS.md, from records and nothing else: the same records give the same bytes.

`write_report` reads agreements (made by `pytest bench/`) and fine-tuning runs (the ground truth);
`render` turns them into Markdown, `pages` into a page a task, `figures` draws them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from foretune.ground_truth import shipped
from foretune.judging import completed
from foretune.records import AgreementRecord, PublishedRecord, ScoreRecord, TuningRecord, latest, read
from foretune.tasks.errors import InputError

from . import pages as task_pages
from .costs import Costs
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
    *,
    pages: Path | None = None,
) -> None:
    """Write RESULTS.md from records; of repeated results the last counts.

    Args:
        records: files that `pytest bench/` wrote, or that hold the same kinds of records, such as those
            of real speech. A fine-tuning run of theirs that the ground truth has too says what it costs
            here, beside the scores, and takes nothing's place.
        output: the Markdown file; replaced as a whole, and only once everything has been read.
        ground_truth: files of fine-tuning runs, which say how the ground truth was made; by default
            those that ship.
        figures: folder for the figures, which the Markdown then shows; without it there are none.
        html: a page of the same, in one file, with tables to sort and filter; none by default.
        pages: folder for a Markdown file a task with everything that RESULTS.md has no room for; none by
            default. What an earlier report wrote there and this one does not is removed.

    Raises:
        InputError: a file is missing or holds something else, no record is an agreement, or figures are
            wanted and matplotlib is not installed (a page has them too).
    """
    if ground_truth is None:
        ground_truth = [shipped()] if shipped().is_file() else []
    true = latest(each for path in dict.fromkeys(ground_truth) for each in read(path))
    others = dict.fromkeys(path for path in records if path not in ground_truth)
    made = latest(each for path in others for each in read(path))
    known = {record.run_key for record in true if isinstance(record, TuningRecord)}
    timed = [record for record in made if isinstance(record, TuningRecord)]
    repeated = {record.key for record in timed if record.run_key in known}
    unique = latest(
        [*true, *(record for record in made if record.kind != "tuning" or record.key not in repeated)]
    )
    agreements = [completed(record) for record in unique if isinstance(record, AgreementRecord)]
    if not agreements:
        given = ", ".join(str(path) for path in records) or "no files"
        raise InputError(f"{given}: no agreement to report; run `pytest bench/` first")
    runs = [record for record in unique if isinstance(record, TuningRecord)]
    scores = [record for record in unique if isinstance(record, ScoreRecord)]
    tabulated = [record for record in unique if isinstance(record, PublishedRecord)]
    drawings = [] if figures is None and html is None else draw(agreements)
    shown, linked = {}, {}
    if figures is not None:
        write(drawings, figures)
        shown = links(drawings, os.path.relpath(figures, output.parent))
    if pages is not None:
        written = task_pages.render(agreements, Path(os.path.relpath(output, pages)).as_posix())
        linked = task_pages.links(list(written), pages, output)
        task_pages.write(written, pages)
    text = render(agreements, runs, tabulated, shown, scores=scores, timed=timed, pages=linked)
    _replace(output, text)
    if html is not None:
        _replace(html, page(agreements, runs, tabulated, drawings, ratio=Costs(scores, runs, timed).ratio))


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
