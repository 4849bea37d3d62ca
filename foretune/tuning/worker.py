"""One process at a grid: it does the runs that nobody else has done or is doing.

Every run is claimed by a lock on a file of its own in `<records>.claims/`. The operating system lets
go of a lock when its process ends, however it ends, so the run of a killed worker is free again at
once. Whoever claims a run looks into the records first, hence no run is done twice. What a killed worker
had kept of a long run lies in `<records>.checkpoints/`; whoever does the run next goes on from it.
"""

from __future__ import annotations

import functools
import hashlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from foretune import tensor_files
from foretune.models import load_candidate
from foretune.models.candidate import Candidate
from foretune.records import TuningRecord, append, provenance, read
from foretune.records.tuning import Key, settings_text
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData

from .finetune import fine_tune
from .frozen import FrozenFeatures
from .planning import Run
from .settings import Settings, default_settings, departures

POLL_SECONDS = 0.5

Watch = Callable[[Run, int, int], None]
"""Is told of a run how many updates are made, and how many there are."""


def claims(records: Path) -> Path:
    """Return the folder of the locks on a grid's runs."""
    return records.with_name(records.name + ".claims")


def claim(records: Path, key: Key) -> Path:
    """Return the file whose lock is the right to do a run."""
    return claims(records) / _file_name(key)


def checkpoints(records: Path) -> Path:
    """Return the folder of what a grid's long runs keep."""
    return records.with_name(records.name + ".checkpoints")


def checkpoint(records: Path, key: Key) -> Path:
    """Return the file that a run keeps where it stands in."""
    return checkpoints(records) / f"{_file_name(key)}.safetensors"


def _file_name(key: Key) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:24]


class Worker:
    """Does the runs of a grid that nobody else has done or is doing."""

    def __init__(
        self,
        records: Path,
        data: Mapping[str, TaskData],
        device: str,
        changes: Mapping[str, Any] | None = None,
        deadline: float = math.inf,
        *,
        watch: Watch = lambda *_: None,
    ) -> None:
        """Take what all processes of a grid share.

        Args:
            records: file of records.
            data: each task's data.
            device: a torch device.
            changes: settings that depart from each task's own, by name.
            deadline: no run begins later, in seconds since the epoch.
            watch: is told of every update.

        Raises:
            InputError: there is no such setting.
        """
        for name in changes or {}:
            if name not in {field.name for field in fields(Settings)}:
                raise InputError(f"setting {name}: there is none of this name; see foretune.tuning.Settings")
        self.records = records
        self.changes = dict(changes or {})
        self.deadline = deadline
        self.data = data
        self.device = device
        self.watch = watch
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
        settings = settings_text(departures(task, self.settings(task)))
        revisions = self.data[run.task].revision, run.model, self.revision(run.model)
        return run.task, *revisions, run.protocol, run.layer, run.seed, settings

    def settings(self, task: Task) -> Settings:
        """Return the settings of a task's runs."""
        return replace(default_settings(task), **self.changes)

    def settled(self, runs: Sequence[Run], failures: Counter[Key] | None) -> dict[Run, TuningRecord]:
        """Return the records of the runs that are done, or have failed and are not to be tried again."""
        done: dict[Key, TuningRecord] = {}
        failed: dict[Key, TuningRecord] = {}
        count: Counter[Key] = Counter()
        for record in self.recorded():
            if record.status == "done":
                done[record.run_key] = record
            else:
                failed[record.run_key] = record
                count[record.run_key] += 1
        if failures is not None:
            failed = {key: record for key, record in failed.items() if count[key] > failures[key]}
        found = failed | done
        return {run: found[self.key(run)] for run in runs if self.key(run) in found}

    def work(
        self,
        runs: Sequence[Run],
        failures: Counter[Key] | None,
        show: Callable[[Sequence[TuningRecord]], None] = lambda _: None,
    ) -> None:
        """Do what is free until every run is settled, by this process or another, or it is too late."""
        while True:
            settled = self.settled(runs, failures)
            show(list(settled.values()))
            pending = [run for run in runs if run not in settled]
            if not pending or time.time() > self.deadline:
                return
            # stop at the first, since others may meanwhile have settled the next ones
            if not any(self.attempt(run, failures) for run in pending):
                time.sleep(POLL_SECONDS)

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
        kept = checkpoint(self.records, self.key(run))
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
                settings=self.settings(task),
                frozen=self.frozen,
                progress=functools.partial(self.watch, run),
                checkpoint=kept,
            )
        except Exception as error:
            tensor_files.remove(kept)
            data, settings = self.data[run.task], self.settings(task)
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


def work_alone(
    shared: tuple[Any, ...],
    runs: Sequence[Run],
    failures: Counter[Key] | None,
    place: int,
    updates: Any,
) -> None:
    """Be one worker process.

    Args:
        shared: what `Worker` takes, up to its deadline.
        runs: of the grid.
        failures: see `Worker.settled`.
        place: of this worker, from 0.
        updates: shared by all workers, three whole numbers for each: which of `runs` it is at, updates made
            of it, and updates in all.
    """
    torch.set_num_threads(1)
    number = {run: at for at, run in enumerate(runs)}

    def watch(run: Run, done: int, total: int) -> None:
        updates[3 * place : 3 * place + 3] = number[run], done, total

    Worker(*shared, watch=watch).work(runs, failures)
