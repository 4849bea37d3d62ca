"""What a grid will cost.

A run's seconds come from the records where the same model was fine-tuned on the same data in the same way
(for a layer between recorded ones, by a straight line through these), else from a few updates on a sample of
the data: those are timed at the lowest and the highest layer of the grid, and stretched to a run's updates
and utterances.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from foretune.models.candidate import Candidate
from foretune.records.origin import device_kind
from foretune.records.tuning import Protocol, planned
from foretune.tasks import get_task
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData, Utterance

from .finetune import fine_tune
from .frozen import FrozenFeatures
from .planning import Run
from .settings import Settings
from .worker import Worker

_SAMPLED = 48  # utterances of each part
_UPDATES = 4  # of each stage; the first is not counted

Cell = tuple[str, str]
"""A task and a model."""


@dataclass(slots=True)
class Estimate:
    """What runs will cost.

    Attributes:
        runs: seconds of each run.
        shared: seconds that a task's runs of a model spend once, on what is frozen.
        recorded: how many runs are known from records; the others were timed.
    """

    runs: dict[Run, float] = field(default_factory=dict)
    shared: dict[Cell, float] = field(default_factory=dict)
    recorded: int = 0

    def seconds(self, runs: Sequence[Run], workers: int = 1) -> float:
        """Return what some of the runs take when several processes share them."""
        cells = {(run.task, run.model) for run in runs}
        total = sum(self.runs[run] for run in runs) + sum(self.shared.get(cell, 0.0) for cell in cells)
        return total / max(1, min(workers, len(runs)))


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a candidate is fine-tuned, in seconds.

    Attributes:
        head_update: one update of the head alone.
        update: one update of the last stage.
        rest: what else a run does, on all utterances.
        once: what the runs of a candidate share.
    """

    head_update: float
    update: float
    rest: float
    once: float = 0.0

    def run(self, settings: Settings, data: TaskData) -> float:
        """Return the seconds of a run, without what is shared."""
        rates = max(1, len(settings.learning_rates))
        part = settings.validation * len(data.train) / (len(data.train) + len(data.test))
        evaluations = rates * settings.evaluations * part
        updates = settings.head_steps * self.head_update + rates * settings.steps * self.update
        return updates + self.rest * (1 + evaluations)


def estimate(
    runs: Sequence[Run], worker: Worker, threads: int, show: Callable[[str], None] = lambda _: None
) -> Estimate:
    """Estimate what runs will cost.

    Args:
        runs: that are to be done.
        worker: of their grid.
        threads: that a run computes on; runs recorded with others do not count.
        show: is told what is being timed.

    Raises:
        InputError: a candidate cannot be loaded, or not be fine-tuned on these data.
    """
    found = Estimate()
    recorded = _recorded(worker, threads)
    cells: dict[tuple[str, str, Protocol], list[Run]] = {}
    for run in runs:
        cells.setdefault((run.task, run.model, run.protocol), []).append(run)
    for (name, model, protocol), own in cells.items():
        task, data, candidate = get_task(name), worker.data[name], worker.candidate(model)
        settings = worker.settings(task)
        *same, _, _, setting = worker.key(own[0])
        known = recorded.get((*same, setting), {})
        unknown = [run for run in own if _by_records(known, run.layer) is None]
        for run in own:
            seconds = _by_records(known, run.layer)
            if seconds is not None:
                found.runs[run] = seconds
                found.recorded += 1
        if not unknown:
            continue
        show(f"timing a few updates: {name}, {model}, {protocol}")
        stopwatch = Stopwatch(candidate, task, data, protocol, settings)
        paces = stopwatch.paces(sorted({run.layer for run in unknown}))
        found.shared[name, model] = found.shared.get((name, model), 0.0) + max(
            pace.once for pace in paces.values()
        )
        places, seconds_at = zip(*((at, pace.run(settings, data)) for at, pace in paces.items()), strict=True)
        found.runs |= {run: float(np.interp(run.layer, places, seconds_at)) for run in unknown}
    return found


def _recorded(worker: Worker, threads: int) -> dict[tuple[str, ...], dict[int, float]]:
    """Return the mean seconds of recorded runs by what they were of, and by layer."""
    times: dict[tuple[str, ...], dict[int, list[float]]] = {}
    wanted = device_kind(worker.device), threads
    for record in worker.recorded():
        where = record.provenance
        if record.status == "done" and (device_kind(where.device), where.threads) == wanted:
            key = (*record.key[:4], planned(record.protocol), record.key[-1])
            times.setdefault(key, {}).setdefault(record.layer, []).append(record.wall_seconds)
    return {
        key: {layer: statistics.fmean(seconds) for layer, seconds in layers.items()}
        for key, layers in times.items()
    }


def _by_records(known: Mapping[int, float], layer: int) -> float | None:
    """Return the seconds of a run that is recorded with another seed, or between recorded layers."""
    if layer in known:
        return known[layer]
    if not known or not min(known) < layer < max(known):
        return None
    places = sorted(known)
    return float(np.interp(layer, places, [known[place] for place in places]))


class Stopwatch:
    """Times a few updates of a candidate on a sample of a task's data."""

    def __init__(
        self, candidate: Candidate, task: Task, data: TaskData, protocol: Protocol, settings: Settings
    ) -> None:
        """Draw the sample."""
        self.candidate = candidate
        self.task = task
        self.protocol = protocol
        self.settings = replace(
            settings, steps=_UPDATES, head_steps=_UPDATES, learning_rates=(), validation=0.0
        )
        train, test = _sample(data.train, task), _sample(data.test, task)
        self.data = replace(data, revision=f"{data.revision} sample", train=train, test=test)
        self.utterances = len(data.train) + len(data.test)
        self.stretch = self.utterances / (len(train) + len(test))
        self.frozen = FrozenFeatures()

    def paces(self, layers: Sequence[int]) -> dict[int, Pace]:
        """Time the lowest and the highest of some layers, and stretch what all utterances cost."""
        lowest, highest = min(layers), max(layers)
        first = self._time(highest)
        found = {}
        for layer in dict.fromkeys((lowest, highest)):
            timing = self._time(layer)
            utterance = timing.after / len(self.data.test)
            fixed = max(0.0, timing.before - utterance * len(self.data.train))
            once = max(0.0, first.before - timing.before) * self.stretch if layer == highest else 0.0
            found[layer] = Pace(timing.head_update, timing.update, fixed + utterance * self.utterances, once)
        return found

    def _time(self, layer: int) -> Timing:
        stamps: list[float] = []
        begun = time.perf_counter()
        fine_tune(
            self.candidate,
            self.task,
            self.data,
            layer=layer,
            protocol=self.protocol,
            settings=self.settings,
            frozen=self.frozen,
            progress=lambda *_: stamps.append(time.perf_counter()),
        )
        ended = time.perf_counter()
        # a stage's first update is late by what comes before it
        head = statistics.median(np.diff(stamps[:_UPDATES]).tolist())
        last = statistics.median(np.diff(stamps[_UPDATES:]).tolist())
        late = stamps[_UPDATES] - stamps[_UPDATES - 1] - last
        return Timing(head, last, stamps[0] - begun - head + late, ended - stamps[-1])


@dataclass(frozen=True, slots=True)
class Timing:
    """What a brief run took, in seconds.

    Attributes:
        head_update: one update of the head alone.
        update: one update of the last stage.
        before: all before and between updates: what is frozen, and the training part's hidden states.
        after: the evaluation of the test part.
    """

    head_update: float
    update: float
    before: float
    after: float


def _sample(utterances: Sequence[Utterance], task: Task) -> list[Utterance]:
    """Draw some utterances, of two classes at least where there are two."""
    order = torch.randperm(len(utterances), generator=torch.Generator().manual_seed(0)).tolist()
    drawn = [utterances[index] for index in order[:_SAMPLED]]
    if task.kind == "utterance" and len({task.target(each) for each in drawn}) == 1:
        others = (each for each in utterances if task.target(each) != task.target(drawn[0]))
        drawn.extend(each for each, _ in zip(others, range(1), strict=False))
    return drawn
