"""What a grid shows while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from foretune.records import TuningRecord

from .planning import Run


class Display:
    """Shows what a grid has done, and what it is doing."""

    def __init__(self, total: int, bar: Progress) -> None:
        """Take the runs of the grid, and what draws bars."""
        self.total = total
        self.bar = bar
        self.line = bar.add_task("fine-tuning", total=total, rate="")
        self.shown: set[tuple[object, ...]] | None = None
        self.running: dict[int, tuple[TaskID, Run]] = {}

    def settled(self, records: Sequence[TuningRecord]) -> None:
        """Take the records of all runs settled so far, old ones included."""
        if self.shown is None:  # done before this grid began
            self.bar.reset(self.line, completed=len(records), total=self.total)
            self.shown = {record.key for record in records}
        console = self.bar.console
        for record in records:
            if record.key not in self.shown and not console.is_terminal:
                console.print(
                    f"{len(records)}/{self.total}  {_line(record)}", highlight=False, soft_wrap=True
                )
        self.shown.update(record.key for record in records)
        speed = self.bar.tasks[0].finished_speed or self.bar.tasks[0].speed
        rate = f"{60 * speed:.1f} a minute" if speed else ""
        self.bar.update(self.line, completed=len(records), rate=rate)

    def updates(self, worker: int, run: Run, done: int, total: int) -> None:
        """Take how many updates a worker, from 0, has made of its run; shown in a terminal alone."""
        if not self.bar.console.is_terminal:
            return
        if worker not in self.running:
            self.running[worker] = self.bar.add_task(_name(run), total=total, rate=""), run
        line, before = self.running[worker]
        if before != run:
            self.bar.reset(line, description=_name(run), total=total)
            self.running[worker] = line, run
        self.bar.update(line, completed=done, total=total)

    def end(self) -> None:
        """Take away what is shown of runs, all of which have ended."""
        for line, _ in self.running.values():
            self.bar.remove_task(line)


@contextmanager
def display(total: int, wanted: bool) -> Iterator[Display]:
    """Show runs done, their rate, time spent and time left, and updates of the runs under way.

    Outside of a terminal there is a line for each run that is done.

    Args:
        total: runs of the grid.
        wanted: whether to show anything.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, quiet=not wanted)
    # a run takes many seconds, so the estimate of time left looks back for half an hour
    with Progress(*columns, console=console, speed_estimate_period=1800) as bar:
        shown = Display(total, bar)
        yield shown
        shown.end()


def _name(run: Run) -> str:
    return f"  {Path(run.model).name} layer {run.layer} seed {run.seed}"


def _line(record: TuningRecord) -> str:
    result = f"{record.metric} {record.value:.3f}" if record.value is not None else f"failed: {record.error}"
    protocol = f"{record.protocol} " if record.protocol in ("single-layer", "probe") else ""
    return (
        f"{record.task} {record.model} {protocol}layer {record.layer} seed {record.seed}: {result} "
        f"({record.wall_seconds:.1f} s)"
    )
