"""Grids of fine-tuning runs: resumed, and shared by several processes."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from foretune.models.weights import check_device
from foretune.records import TuningRecord
from foretune.records.tuning import Key, planned
from foretune.tasks import get_task
from foretune.tasks.utterance import TaskData

from .display import Display, display
from .further import check_seeds, runs_with_seeds, seeded_settings
from .planning import Run
from .worker import POLL_SECONDS, Worker, checkpoints, claims, work_alone


def run_grid(
    runs: Iterable[Run],
    *,
    records: Path,
    data: Mapping[str, TaskData] | None = None,
    device: str = "cpu",
    workers: int = 1,
    retry_failed: bool = False,
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = None,
    max_seeds: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[TuningRecord]:
    """Do the runs that the records lack; write each record as its run ends.

    Other processes may do the same at the same time. A run that fails is recorded as failed, with
    its error, and the rest goes on.

    Args:
        runs: from `plan`.
        records: file of records, made where missing.
        data: each task's data; that of the embedded speech where a task is not named.
        device: a torch device, such as `cpu` or `cuda`, or several, parted by commas, such as
            `cuda:0,cuda:1`, which workers take in turn.
        workers: processes, one for each device at least; with more than one, each computes on one thread.
        retry_failed: run again what is recorded as failed.
        progress: show runs done, time spent and time left.
        settings: those that depart from each task's own, by name; see `Settings`.
        seconds: no run begins later than so many seconds from now.
        max_seeds: when all runs are settled, candidates of settings whose seeds disagree get so many seeds;
            see `further_runs`. None: no further seeds.
        report: is told on which settings they disagree.

    Returns:
        The record of each run, in the order of `runs`, then of those with further seeds; where `seconds`
        were too few, of those done.

    Raises:
        InputError: an unknown task, setting or device, data that cannot be made, a damaged file of records,
            or `max_seeds` is not more than the seeds of the runs, two at least.
        RuntimeError: workers died, and left runs undone.
    """
    ordered = list(dict.fromkeys(replace(run, protocol=planned(run.protocol)) for run in runs))
    first_seeds = 1 + max((run.seed for run in ordered), default=-1)
    if max_seeds is not None and ordered:
        check_seeds(first_seeds, max_seeds)
    sets = data_of({run.task for run in ordered}, data)
    deadline = math.inf if seconds is None else time.time() + seconds
    crew = crew_of(device, workers)
    for each in dict.fromkeys(crew):
        check_device(each)
    worker = Worker(records, sets, crew[0], settings, deadline)
    failures = _failures(worker.recorded(), retry_failed)
    settled = _settle(ordered, worker, failures, crew, progress)
    if max_seeds is not None and ordered and len(settled) == len(ordered):
        more = _further(list(settled.values()), first_seeds, max_seeds, report)
        if more:
            ordered += more
            settled = _settle(ordered, worker, failures, crew, progress)
    for folder in (claims(records), checkpoints(records)):
        with suppress(OSError):  # there may be other processes at the same grid
            folder.rmdir()
    return [settled[run] for run in ordered if run in settled]


def crew_of(device: str, workers: int) -> list[str]:
    """Return the device of each worker, one worker for each device at least; see `run_grid`.

    >>> crew_of("cuda:0,cuda:1", 3)
    ['cuda:0', 'cuda:1', 'cuda:0']
    """
    devices = device.split(",")
    return [devices[place % len(devices)] for place in range(max(workers, len(devices)))]


def _settle(
    runs: Sequence[Run],
    worker: Worker,
    failures: Counter[Key] | None,
    devices: Sequence[str],
    progress: bool,
) -> dict[Run, TuningRecord]:
    """Do the runs, a process on each device, and return the records of those that are settled.

    These are all, unless it has become too late.
    """
    with display(len(runs), progress) as shown:
        if len(devices) == 1:
            worker.watch = partial(shown.updates, 0)
            worker.work(runs, failures, shown.settled)
        else:
            _spawn(devices, worker, runs, failures, shown)
    settled = worker.settled(runs, failures)
    missing = len(runs) - len(settled)
    if missing and time.time() <= worker.deadline:
        raise RuntimeError(f"{missing} runs are undone since their workers died; start the grid again")
    return settled


def _further(
    settled: Sequence[TuningRecord], seeds: int, max_seeds: int, report: Callable[[str], None]
) -> list[Run]:
    """Return the runs with further seeds, and say which settings they are for."""
    found = seeded_settings(settled, seeds)
    for each in found:
        if each.agreement.disagree:
            report(f"seeds disagree: {each.setting.task}, {each.setting.title}: {each.agreement}")
    unsure = sum(each.agreement.disagree for each in found)
    more = runs_with_seeds(found, range(seeds, max_seeds))
    report(
        f"{seeds} seeds disagree in {unsure} of {len(found)} settings: {len(more)} runs with further seeds"
    )
    return more


def data_of(tasks: Iterable[str], data: Mapping[str, TaskData] | None = None) -> dict[str, TaskData]:
    """Return each task's data: what is given for it, or that of the embedded speech."""
    given = data or {}
    return {task: given[task] if task in given else get_task(task).embedded() for task in sorted(set(tasks))}


def _failures(recorded: Sequence[TuningRecord], retry: bool) -> Counter[Key] | None:
    """Count how often each run had failed when the grid began; None where failures stand."""
    if not retry:
        return None
    return Counter(record.run_key for record in recorded if record.status == "failed")


def _spawn(
    devices: Sequence[str],
    worker: Worker,
    runs: Sequence[Run],
    failures: Counter[Key] | None,
    shown: Display,
) -> None:
    """Let several processes do the runs, and show what the records, and they, say meanwhile."""
    context = get_context("spawn")
    updates = context.Array("q", 3 * len(devices))
    processes = []
    for place, device in enumerate(devices):
        shared = (worker.records, worker.data, device, worker.changes, worker.deadline)
        args = (shared, list(runs), failures, place, updates)
        processes.append(context.Process(target=work_alone, args=args, daemon=True))
    for process in processes:
        process.start()
    try:
        size = -1
        while any(process.is_alive() for process in processes):
            grown = worker.records.stat().st_size if worker.records.is_file() else 0
            if grown != size:
                size = grown
                shown.settled(list(worker.settled(runs, failures).values()))
            for place in range(len(devices)):
                number, done, total = updates[3 * place : 3 * place + 3]
                if total:
                    shown.updates(place, runs[number], done, total)
            time.sleep(POLL_SECONDS)
        shown.settled(list(worker.settled(runs, failures).values()))
    finally:
        for process in processes:
            process.terminate()
            process.join()
