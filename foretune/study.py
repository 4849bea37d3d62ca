"""The study: tasks with their data and ground truth, and the estimators' scores to hold against it.

This is what the fixtures of the pytest plugin supply. Nothing is made before it is asked for: speech,
candidates and forward passes are shared by all tests of a session, and the features of one task are
dropped when the next one begins.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from foretune import tasks as registry
from foretune.experiments import ESTIMATORS as EXPERIMENT_ESTIMATORS
from foretune.features import Features
from foretune.ground_truth import (
    LEAST_CANDIDATES,
    MODEL_PROTOCOLS,
    GroundTruth,
    Outcome,
    shares_beaten,
)
from foretune.models import is_twin
from foretune.records import Record, TuningRecord, append, read_tuning
from foretune.records.tuning import Protocol
from foretune.suites import EMBEDDED, Suite
from foretune.tasks import Task, get_task
from foretune.tasks.errors import InputError

if TYPE_CHECKING:
    from foretune.alignment import Labelling
    from foretune.heard import Heard
    from foretune.models import Candidate
    from foretune.tasks.utterance import TaskData

LAYER_PROTOCOLS: tuple[Protocol, ...] = ("layer", "single-layer")
"""How layers are fine-tuned: the encoder cut after each, or each alone."""
SEEDS = 3
"""Seeds of the runs that are made where the ground truth lacks them."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a study is about and where its records are.

    Attributes:
        records: where scores and agreements are appended.
        ground_truth: file of fine-tuning records; None: those that ship, and those made here before.
        made_here: where runs are appended that the ground truth lacked.
        fine_tune: whether to do these runs; otherwise their lack is an error.
        suite: what the tasks' data are, which candidates there are, and whose ground truth counts.
        models: only these candidates; None: all that the ground truth has.
        estimators: only these; None: all that are registered.
        device: where candidates compute.
        aligner: what aligns transcripts for a sequence task without true times (see `label_frames`).
        seed: of everything random in scoring.
    """

    records: Path
    ground_truth: Path | None = None
    made_here: Path = Path("results/records/ground_truth.jsonl")
    fine_tune: bool = False
    suite: Suite = field(default_factory=Suite)
    models: Sequence[str] | None = None
    estimators: Sequence[str] | None = None
    device: str = "cpu"
    aligner: str | None = None
    seed: int = 0

    def ground_truth_files(self) -> list[Path]:
        """Return the files that ground truth is read from.

        Raises:
            InputError: there is none, and none is to be made.
        """
        if self.ground_truth is not None:
            files = [self.ground_truth]
        else:
            files = self.suite.ground_truth(self.made_here)
        present = [path for path in files if path.is_file()]
        if not present and not self.fine_tune:
            raise InputError(f"{files[0]}: no ground truth there; add --fine-tune missing to make it")
        return present

    def new_runs(self) -> Path:
        """Return the file that new fine-tuning runs go to."""
        return self.made_here if self.ground_truth is None else self.ground_truth


class Study:
    """All tasks of a session.

    Attributes:
        options: what it is about.
        made: what this process has recorded, in this order.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.tasks = functools.cache(self._task)
        self.candidate = functools.cache(self._candidate)
        self.ground_truth = functools.cache(self._ground_truth)
        self._scored: set[tuple[object, ...]] = set()
        self.made: list[Record] = []
        self._heard: Heard | None = None

    @functools.cached_property
    def runs(self) -> list[TuningRecord]:
        """The finished fine-tuning runs, of all tasks."""
        files = self.options.ground_truth_files()
        return [run for run in read_tuning(files) if self.options.suite.has(run)]

    @property
    def heard(self) -> Heard:
        """The passes over source speech, which each candidate makes once for all tasks."""
        if self._heard is None:
            from foretune.heard import Heard

            self._heard = Heard()
        return self._heard

    def estimator_names(self) -> list[str]:
        """Return the names of the estimators.

        Raises:
            UnknownEstimatorError: one was asked for that does not exist.
        """
        from foretune.estimators import ESTIMATORS, get_estimator, load_plugins

        load_plugins()
        if self.options.estimators is None:
            return list(ESTIMATORS)
        return [get_estimator(name).name for name in self.options.estimators]

    def _candidate(self, name: str) -> Candidate:
        """Load a candidate, once for all tasks."""
        from foretune.models import load_candidate

        return load_candidate(name, device=self.options.device)

    def _ground_truth(self, task: str, protocol: Protocol, metric: str | None = None) -> GroundTruth:
        """Return the runs of a task by a protocol, gathered once until there are new ones."""
        return GroundTruth(task, self.runs, metric=metric, protocol=protocol)

    def _task(self, name: str) -> TaskStudy:
        return TaskStudy(get_task(name), self)

    def task_names(self) -> list[str]:
        """Return the tasks that have ground truth, or can get it now, in the registry's order.

        Raises:
            InputError: there is no ground truth at all.
        """
        if self.options.fine_tune:
            return self.options.suite.tasks(registry.TASKS)
        found = {run.task for run in self.runs}
        for name in sorted(found):
            get_task(name)  # says what an unknown name may have meant
        if not found:
            raise InputError(
                f"no ground truth of the suite {self.options.suite.name}; add --fine-tune missing to make it"
            )
        return [name for name in self.options.suite.tasks(registry.TASKS) if name in found]

    def check(self) -> None:
        """Check, before the long work, that the candidates of another suite than the shipped one are there.

        Raises:
            InputError: one is not; the message names it.
        """
        if self.options.suite.name != EMBEDDED:
            self.options.suite.check_candidates(
                sorted({model for task in self.task_names() for model in self.models(task)})
            )

    def models(self, task: str) -> list[str]:
        """Return the candidates of a task in the setting `models`.

        Without untrained twins, unless they were asked for (see `foretune.setting.by_setting`).
        """
        if self.options.models is not None:
            return list(self.options.models)
        by_each = [self.ground_truth(task, each).models() for each in MODEL_PROTOCOLS]
        known = {model for models in by_each for model in models if not is_twin(model)}
        return sorted(known) or self._shipped_models()

    def layered_models(self, task: str) -> list[str]:
        """Return the candidates of a task whose layers are ranked."""
        by_each = [self.ground_truth(task, each).layered_models() for each in LAYER_PROTOCOLS]
        known = sorted({model for models in by_each for model in models})
        if self.options.models is not None:
            wanted = list(self.options.models)
            return wanted if self.options.fine_tune else [model for model in wanted if model in known]
        return known or self._shipped_models()

    def _shipped_models(self) -> list[str]:
        pool = self.options.suite.pool() if self.options.fine_tune else []
        return [model for model in pool if not is_twin(model)]

    def append(self, *records: Record) -> None:
        """Record results; a score that this session has recorded before is not recorded again."""
        new = []
        for record in records:
            key = (record.kind, *record.key)
            if record.kind != "score" or key not in self._scored:
                self._scored.add(key)
                new.append(record)
        if new:
            append(self.options.records, *new)
            self.made += new

    def drop_features(self, *, except_of: str) -> None:
        """Free the features of all tasks but one."""
        for name in registry.TASKS:
            if name != except_of:
                self.tasks(name).features.cache_clear()

    def reread(self) -> None:
        """Take note of fine-tuning runs that were made meanwhile."""
        del self.runs
        self.ground_truth.cache_clear()


class TaskStudy:
    """One task: what its fixture supplies.

    Attributes:
        task: its declaration.
    """

    def __init__(self, task: Task, study: Study) -> None:
        self.task = task
        self.study = study
        self.features = functools.cache(self._features)

    @functools.cached_property
    def data(self) -> TaskData:
        """The task's speech, made when first asked for."""
        return self.study.options.suite.load(self.task)

    @functools.cached_property
    def labelling(self) -> Labelling:
        """Where the labels of frames come from: true times, or one alignment for all candidates."""
        from foretune.alignment import label_frames

        options = self.study.options
        aligner = options.aligner if self.task.kind == "sequence" else None
        return label_frames(self.task, self.data, aligner=aligner, device=options.device)

    @property
    def ground_truth(self) -> GroundTruth:
        """What fine-tuning gave, averaged over seeds, matched by the revisions of data and weights."""
        return self.ground_truth_by("layer")

    def ground_truth_by(self, protocol: Protocol) -> GroundTruth:
        """Return what fine-tuning by a protocol gave.

        Of a part of a task for which nothing was fine-tuned alone: what fine-tuning for the whole task gave
        on that part of the test data.
        """
        name, metric = self.task.name, self.task.metric
        own = self.study.ground_truth(name, protocol, metric)
        if own.runs or self.task.only is None:
            return own
        of_part = f"{metric}:{self.task.only}"
        return self.study.ground_truth(self._whole.name, protocol, of_part)

    @property
    def _whole(self) -> Task:
        """The task, or that of which it is a part."""
        return self.task if self.task.only is None else get_task(self.task.name.partition(":")[0])

    def _features(self, model: str) -> Features:
        from foretune.scoring import prepare

        self.study.drop_features(except_of=self.task.name)
        candidate = self.study.candidate(model)
        beaten = shares_beaten(self.study.runs, except_task=self.task.name)
        prepared = prepare(
            candidate,
            self.task,
            self.data,
            # parts of a task are in the paper's experiments only
            self.study.estimator_names() if self.task.only is None else EXPERIMENT_ESTIMATORS,
            grouped=self.task.only is None,
            seed=self.study.options.seed,
            labelling=self.labelling,
            other_tasks={layer: share for (name, layer), share in beaten.items() if name == model},
            heard=self.study.heard,
        )
        return Features(prepared, list(range(candidate.num_layers + 1)))

    def layer_protocols(self, model: str) -> list[Protocol]:
        """Return the protocols that a model's layers were fine-tuned by, or are to be where none were."""
        found = [each for each in LAYER_PROTOCOLS if model in self.ground_truth_by(each).layered_models()]
        return found or ["layer"]

    def layers(self, model: str, protocol: Protocol = "layer") -> dict[int, Outcome]:
        """Return what fine-tuning a model cut after each of its layers gave, by a protocol.

        Raises:
            InputError: some of it is missing or stale, and is not to be made now.
        """
        layers = range(self.study.candidate(model).num_layers + 1)
        if self.study.options.fine_tune and len(layers) >= LEAST_CANDIDATES:
            self._fine_tune_missing(model, layers, protocol)
        truth = self.ground_truth_by(protocol)
        return truth.layers(model, **self._revisions(model, truth))

    def model_protocols(self) -> list[Protocol]:
        """Return the protocols that enough models were fine-tuned by, `layer` where there is none."""
        models = set(self.study.models(self.task.name))
        found = [
            each
            for each in MODEL_PROTOCOLS
            if len(models.intersection(self.ground_truth_by(each).models())) >= LEAST_CANDIDATES
        ]
        return found or ["layer"]

    def models(self, protocol: Protocol = "layer") -> dict[str, Outcome]:
        """Return what fine-tuning each candidate as a whole gave, by a protocol.

        Not every candidate needs to have been fine-tuned by each protocol: those are returned that were.

        Raises:
            InputError: some of it is missing or stale, and is not to be made now.
        """
        found = {}
        for model in self.study.models(self.task.name):
            top = self.study.candidate(model).num_layers
            if self.study.options.fine_tune:
                self._fine_tune_missing(model, [top], protocol)
            truth = self.ground_truth_by(protocol)
            if self._owed(model, protocol, truth) or truth.reaches(model, top):
                found[model] = truth.full(model, top, **self._revisions(model, truth))
        return found

    def _owed(self, model: str, protocol: Protocol, truth: GroundTruth) -> bool:
        """Whether it is an error that a candidate was not fine-tuned as a whole.

        It is where the user has named it, or its layers were fine-tuned but not the last; not where it was
        only probed.
        """
        asked = self.study.options.models is not None
        return protocol == "layer" and (asked or model in truth.models())

    def _revisions(self, model: str, truth: GroundTruth) -> Mapping[str, str]:
        of_whole = truth.task != self.task.name
        data = self.study.options.suite.load(self._whole) if of_whole else self.data
        return {
            "data_revision": data.revision,
            "model_revision": self.study.candidate(model).revision,
        }

    def _fine_tune_missing(self, model: str, layers: Sequence[int], protocol: Protocol) -> None:
        from foretune.tuning import plan, run_grid

        truth = self.ground_truth_by(protocol)
        revisions = self._revisions(model, truth)
        missing = [
            run
            for run in plan([self.task.name], [model], layers=layers, protocol=protocol, seeds=SEEDS)
            if not truth.has(model, run.layer, run.seed, **revisions)
        ]
        if not missing:
            return
        options = self.study.options
        made = run_grid(
            missing, records=options.new_runs(), data={self.task.name: self.data}, device=options.device
        )
        for record in made:
            if record.status == "failed":
                what = f"{self.task.name}: fine-tuning {model} cut after layer {record.layer}"
                raise InputError(f"{what} failed: {record.error}")
        self.study.reread()
