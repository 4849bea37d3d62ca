"""Grids of fine-tuning runs: planned, resumed, and shared by several processes.

Every run is claimed by a lock on a file of its own in `<records>.claims/`. The operating system lets
go of a lock when its process ends, however it ends, so the run of a killed worker is free again at
once. Whoever claims a run looks into the records first, hence no run is done twice.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock, Timeout

from foretune.models import load_candidate
from foretune.models.candidate import Candidate
from foretune.records import TuningRecord, append, provenance, read
from foretune.records.tuning import Key, settings_text
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import TaskData

from .display import Show, display
from .finetune import fine_tune
from .frozen import FrozenFeatures
from .protocols import Protocol
from .settings import default_settings, departures

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run of a grid.

    Attributes:
        task: a task's name.
        model: a candidate's name.
        protocol: `layer`, `single-layer` or `probe`; see `plan` on `full`.
        layer: where the encoder is cut, or the one that trains.
        seed: of the head's weights and the order of the data.
    """

    task: str
    model: str
    protocol: Protocol
    layer: int
    seed: int


def plan(
    tasks: Sequence[str],
    models: Sequence[str],
    *,
    layers: Literal["all", "last"] | Sequence[int] = "all",
    protocol: Protocol = "layer",
    seeds: int = 3,
) -> list[Run]:
    """List the runs of a grid, the first seed of everything before the second of anything.

    `full` fine-tuning is `layer` at the top, the same computation under another name: it is planned
    as that, so that grids that overlap share the run.

    Args:
        tasks: names of tasks.
        models: names of candidates.
        layers: `all` (0..num_layers), the `last`, or these.
        protocol: `layer`, `single-layer`; or `full` or `probe`, for which `layers` does not count.
        seeds: seeds 0..seeds-1.

    Raises:
        InputError: an unknown task or candidate, a layer that a candidate does not have.
    """
    for task in tasks:
        get_task(task)
    whole = protocol in ("full", "probe")
    cuts = {model: _cuts(model, "last" if whole else layers) for model in models}
    runs = [
        Run(task, model, _planned(protocol), layer, seed)
        for seed in range(seeds)
        for task in tasks
        for model in models
        for layer in cuts[model]
    ]
    return list(dict.fromkeys(runs))


def _planned(protocol: Protocol) -> Protocol:
    """Return the protocol that a run is planned and looked for under."""
    return "layer" if protocol == "full" else protocol


def _cuts(model: str, layers: Literal["all", "last"] | Sequence[int]) -> list[int]:
    top = load_candidate(model).num_layers
    if layers == "all":
        return list(range(top + 1))
    if layers == "last":
        return [top]
    for layer in layers:
        if not isinstance(layer, int) or not 0 <= layer <= top:
            raise InputError(f"layer {layer}: {model} has layers 0 to {top}")
    return [int(layer) for layer in layers]


def run_grid(
    runs: Iterable[Run],
    *,
    records: Path,
    data: Mapping[str, TaskData] | None = None,
    device: str = "cpu",
    workers: int = 1,
    retry_failed: bool = False,
    progress: bool = True,
) -> list[TuningRecord]:
    """Do the runs that the records lack; write each record as its run ends.

    Other processes may do the same at the same time. A run that fails is recorded as failed, with
    its error, and the rest goes on.

    Args:
        runs: from `plan`.
        records: file of records, made where missing.
        data: each task's data; that of the embedded speech where a task is not named.
        device: a torch device, such as `cpu` or `cuda`.
        workers: processes; with more than one, each computes on one thread.
        retry_failed: run again what is recorded as failed.
        progress: show runs done, time spent and time left.

    Returns:
        The record of each run, in the order of `runs`.

    Raises:
        InputError: an unknown task, data that cannot be made, a damaged file of records.
        RuntimeError: workers died, and left runs undone.
    """
    ordered = list(dict.fromkeys(replace(run, protocol=_planned(run.protocol)) for run in runs))
    needed = {run.task for run in ordered}
    sets = {
        task: data[task] if data and task in data else get_task(task).embedded() for task in sorted(needed)
    }
    worker = Worker(records, sets, device)
    failures = _failures(worker.recorded(), retry_failed)
    with display(len(ordered), progress) as show:
        if workers == 1:
            worker.work(ordered, failures, show)
        else:
            _spawn(workers, worker, ordered, failures, show)
    with suppress(OSError):  # there may be other processes at the same grid
        claims(records).rmdir()
    settled = worker.settled(ordered, failures)
    if missing := [run for run in ordered if run not in settled]:
        raise RuntimeError(f"{len(missing)} runs are undone since their workers died; start the grid again")
    return [settled[run] for run in ordered]


def _failures(recorded: Sequence[TuningRecord], retry: bool) -> Counter[Key] | None:
    """Count how often each run had failed when the grid began; None where failures stand."""
    if not retry:
        return None
    return Counter(_key(record) for record in recorded if record.status == "failed")


def _key(record: TuningRecord) -> Key:
    task, data, model, revision, _, layer, seed, settings = record.key
    return task, data, model, revision, _planned(record.protocol), layer, seed, settings


def claims(records: Path) -> Path:
    """Return the folder of the locks on a grid's runs."""
    return records.with_name(records.name + ".claims")


def claim(records: Path, key: Key) -> Path:
    """Return the file whose lock is the right to do a run."""
    return claims(records) / hashlib.sha256(repr(key).encode()).hexdigest()[:24]


class Worker:
    """Does the runs of a grid that nobody else has done or is doing."""

    def __init__(self, records: Path, data: Mapping[str, TaskData], device: str) -> None:
        self.records = records
        self.data = data
        self.device = device
        self.revisions: dict[str, str] = {}
        self.frozen = FrozenFeatures()
        self.candidate = functools.lru_cache(maxsize=8)(self._load)

    def _load(self, model: str) -> Candidate:
        return load_candidate(model, device=self.device)

    def recorded(self) -> list[TuningRecord]:
        """Return all fine-tuning records of the file."""
        if not self.records.is_file():
            return []
        return [record for record in read(self.records) if isinstance(record, TuningRecord)]

    def revision(self, model: str) -> str:
        """Return a candidate's revision, empty where it cannot be loaded."""
        if model not in self.revisions:
            try:
                self.revisions[model] = self.candidate(model).revision
            except InputError:
                self.revisions[model] = ""
        return self.revisions[model]

    def key(self, run: Run) -> Key:
        """Return what the record of a run will be known by."""
        task = get_task(run.task)
        settings = settings_text(departures(task, default_settings(task)))
        revisions = self.data[run.task].revision, run.model, self.revision(run.model)
        return run.task, *revisions, run.protocol, run.layer, run.seed, settings

    def settled(self, runs: Sequence[Run], failures: Counter[Key] | None) -> dict[Run, TuningRecord]:
        """Return the records of the runs that are done, or have failed and are not to be tried again."""
        done: dict[Key, TuningRecord] = {}
        failed: dict[Key, TuningRecord] = {}
        count: Counter[Key] = Counter()
        for record in self.recorded():
            if record.status == "done":
                done[_key(record)] = record
            else:
                failed[_key(record)] = record
                count[_key(record)] += 1
        if failures is not None:
            failed = {key: record for key, record in failed.items() if count[key] > failures[key]}
        found = failed | done
        return {run: found[self.key(run)] for run in runs if self.key(run) in found}

    def work(self, runs: Sequence[Run], failures: Counter[Key] | None, show: Show = lambda _: None) -> None:
        """Do what is free until every run is settled, by this process or another."""
        while True:
            settled = self.settled(runs, failures)
            show(list(settled.values()))
            pending = [run for run in runs if run not in settled]
            if not pending:
                return
            # stop at the first, since others may meanwhile have settled the next ones
            if not any(self.attempt(run, failures) for run in pending):
                time.sleep(_POLL_SECONDS)

    def attempt(self, run: Run, failures: Counter[Key] | None) -> bool:
        """Do a run unless it is settled; return False where another process is doing it."""
        lock = claim(self.records, self.key(run))
        try:
            with FileLock(lock, blocking=False):
                if not self.settled([run], failures):
                    append(self.records, self._record(run))
                # safe while it is held: whoever opened it before finds the run settled
                lock.unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def _record(self, run: Run) -> TuningRecord:
        task = get_task(run.task)
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            candidate = self.candidate(run.model)
            return fine_tune(
                candidate,
                task,
                self.data[run.task],
                layer=run.layer,
                protocol=run.protocol,
                seed=run.seed,
                frozen=self.frozen,
            )
        except Exception as error:
            data, settings = self.data[run.task], default_settings(task)
            return TuningRecord(
                task=run.task,
                suite=data.suite,
                data_revision=data.revision,
                model=run.model,
                provenance=provenance(self.device),
                model_revision=self.revision(run.model),
                protocol=run.protocol,
                layer=run.layer,
                seed=run.seed,
                learning_rate=settings.learning_rate,
                steps=settings.steps,
                settings=departures(task, settings),
                status="failed",
                error=f"{type(error).__name__}: {error}",
                metric=task.metric,
                direction=task.direction,
                value=None,
                metrics={},
                parameters_trained=0,
                train_utterances=len(data.train),
                test_utterances=len(data.test),
                wall_seconds=time.perf_counter() - wall,
                cpu_seconds=time.process_time() - cpu,
                peak_memory_bytes=0,
            )


def _spawn(
    workers: int,
    worker: Worker,
    runs: Sequence[Run],
    failures: Counter[Key] | None,
    show: Show,
) -> None:
    """Let several processes do the runs, and show what the records say meanwhile."""
    context = get_context("spawn")
    arguments = (worker.records, worker.data, worker.device, list(runs), failures)
    processes = [context.Process(target=work_alone, args=arguments, daemon=True) for _ in range(workers)]
    for process in processes:
        process.start()
    try:
        size = -1
        while any(process.is_alive() for process in processes):
            grown = worker.records.stat().st_size if worker.records.is_file() else 0
            if grown != size:
                size = grown
                show(list(worker.settled(runs, failures).values()))
            time.sleep(_POLL_SECONDS)
        show(list(worker.settled(runs, failures).values()))
    finally:
        for process in processes:
            process.terminate()
            process.join()


def work_alone(
    records: Path,
    data: Mapping[str, TaskData],
    device: str,
    runs: Sequence[Run],
    failures: Counter[Key] | None,
) -> None:
    """Be one worker process."""
    torch.set_num_threads(1)
    Worker(records, data, device).work(runs, failures)
