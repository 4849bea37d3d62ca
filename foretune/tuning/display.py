"""What a grid shows while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from foretune.records import TuningRecord

Show = Callable[[Sequence[TuningRecord]], None]


@contextmanager
def display(total: int, wanted: bool) -> Iterator[Show]:
    """Show runs done, their rate, time spent and time left; outside of a terminal a line for each run.

    Args:
        total: runs of the grid.
        wanted: whether to show anything.

    Yields:
        A function to call with the records of all runs settled so far, old ones included.
    """
    console = Console(stderr=True, quiet=not wanted)
    columns = (
        TextColumn("fine-tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # a run takes many seconds, so the estimate of time left looks back for half an hour
    with Progress(*columns, console=console, speed_estimate_period=1800) as bar:
        line = bar.add_task("", total=total, rate="")
        shown: set[tuple[object, ...]] | None = None

        def show(settled: Sequence[TuningRecord]) -> None:
            nonlocal shown
            if shown is None:  # done before this grid began
                bar.reset(line, completed=len(settled), total=total)
                shown = {record.key for record in settled}
            for record in settled:
                if record.key not in shown and not console.is_terminal:
                    console.print(f"{len(settled)}/{total}  {_line(record)}", highlight=False, soft_wrap=True)
            shown.update(record.key for record in settled)
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(line, completed=len(settled), rate=f"{60 * speed:.1f} a minute" if speed else "")

        yield show


def _line(record: TuningRecord) -> str:
    result = f"{record.metric} {record.value:.3f}" if record.value is not None else f"failed: {record.error}"
    protocol = f"{record.protocol} " if record.protocol in ("single-layer", "probe") else ""
    return (
        f"{record.task} {record.model} {protocol}layer {record.layer} seed {record.seed}: {result} "
        f"({record.wall_seconds:.1f} s)"
    )
