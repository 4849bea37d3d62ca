"""What the command shows: tables on standard output, progress and remarks on standard error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from foretune.tasks.errors import InputError

if TYPE_CHECKING:
    from foretune.alignment import Alignments
    from foretune.ranking import Ranking
    from foretune.records import AgreementRecord, TuningRecord
    from foretune.tasks.utterance import Utterance

NARROWEST = 100
"""Columns that a table may take where the output is no terminal, so that a pipe gets whole names."""


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns that hold only numbers are set to the right."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[number], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_number(cell) if isinstance(cell, float) else str(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, NARROWEST))
    console.print(table)


def _number(value: float) -> str:
    """Return four decimals, or three significant digits of what is too small for that."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


def show_ranking(ranking: Ranking) -> None:
    """Print a ranking, and what it was made from."""
    facts = ranking.provenance
    columns = ["rank", "model", "layer", ranking.rows[0].estimator]
    rows: list[list[object]] = [[row.rank, row.model, row.layer, row.score] for row in ranking.rows]
    errors = [row.standard_error for row in ranking.rows]
    if any(error is not None for error in errors):
        columns.append("± s.e.")
        for cells, error in zip(rows, errors, strict=True):
            cells.append("–" if error is None else error)
    show_table(f"{facts['task']}, best first", columns, rows)
    say(
        f"scored on {facts['train_utterances']} training utterances of {facts['data']} "
        f"({facts['test_utterances']} kept for testing) in {facts['seconds']:.1f} s, "
        f"{facts['forward_seconds']:.1f} s of them forward passes"
    )


def show_alignments(alignments: Alignments, utterances: Sequence[Utterance]) -> None:
    """Print how well each utterance was aligned, and which were left out."""
    rows = []
    for utterance in utterances:
        aligned = alignments.of.get(utterance.id)
        words = str(len(aligned.words)) if aligned else "–"
        sure = f"{aligned.confidence:.2f}" if aligned else "–"
        rows.append([utterance.id, words, sure, alignments.left_out.get(utterance.id, "")])
    show_table("alignment", ["utterance", "words", "confidence", "left out"], rows)
    say(alignments.remark())


def show_runs(records: Sequence[TuningRecord]) -> None:
    """Print fine-tuning results, the mean and the range over seeds."""
    runs: dict[tuple[str, str, int, str], list[float]] = {}
    for record in records:
        if record.value is not None:
            key = (record.task, record.model, record.layer, record.metric)
            runs.setdefault(key, []).append(record.value)
    rows = [
        [task, model, layer, metric, sum(values) / len(values), min(values), max(values), len(values)]
        for (task, model, layer, metric), values in runs.items()
    ]
    columns = ["task", "model", "layer", "metric", "mean", "least", "most", "seeds"]
    show_table("fine-tuning", columns, rows)


def show_agreements(cells: Sequence[AgreementRecord]) -> None:
    """Print how well each estimator agrees with fine-tuning, best first."""
    ordered = sorted(cells, key=lambda cell: (cell.setting, cell.model, -(cell.spearman or 0.0)))
    rows = [
        [
            f"layers of {cell.model}" if cell.setting == "layers" else f"models, {cell.layer_policy} layer",
            cell.estimator,
            cell.candidates,
            "–" if cell.spearman is None else f"{cell.spearman:.3f}",
            cell.error if cell.p_value is None else f"{cell.p_value:.3g}",
            f"{cell.smallest_p_value:.2g}",
        ]
        for cell in ordered
    ]
    columns = ["setting", "estimator", "candidates", "Spearman's ρ", "exact p", "smallest p"]
    show_table("agreement with fine-tuning", columns, rows)


def say(text: str) -> None:
    """Print a remark on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


class SpeechColumn(ProgressColumn):
    """Minutes of speech done and in all, and seconds of speech that a second takes in."""

    def render(self, task: Task) -> Text:
        """Return the text; no rate before there is one."""
        rate = "" if task.speed is None else f"  {task.speed:.1f} × real time"
        return Text(f"{task.completed / 60:.1f}/{(task.total or 0) / 60:.1f} min of speech{rate}")


@contextmanager
def progress_bars(*, speech: bool = False) -> Iterator[Callable[[str, float, float], None]]:
    """Draw a bar for each name, with the time left, on standard error; nothing where that is no terminal.

    Args:
        speech: what is counted is seconds of speech, whose rate is shown; otherwise it is steps.

    Yields:
        A function of a name, what is done, and what there is in all.
    """
    console = Console(stderr=True)
    count = SpeechColumn() if speech else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: float, total: float) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield show


def check_output(path: Path | None, option: str) -> None:
    """Check, before the long work, that a file can be written.

    Raises:
        InputError: its folder is missing or not writable, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder; name a file")
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"{option} {path}: there is no folder {folder} to write to; make it first")


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write lines of text as a whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as a whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
