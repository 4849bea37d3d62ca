"""From a candidate and a task's training data to scores: one forward pass, every layer.

Test utterances are never touched; `sampling.py` says what a sample is.

Layer l is scored as it is within the whole encoder, whatever layers are asked for; an encoder that is
cut after layer l for fine-tuning has its final norm, where the family has one, on top of it.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foretune.alignment import TRUE_TIMES, Labelling, check_no_leak
from foretune.estimators import (
    ESTIMATORS,
    Estimator,
    Inputs,
    Jackknife,
    Metadata,
    Moments,
    Samples,
    get_estimator,
    jackknives,
    load_plugins,
)
from foretune.evidence import Evidence, PassSettings, Wanted, cost_of_passes
from foretune.extraction import Progress, default_batch_seconds
from foretune.gathering import gather
from foretune.heard import Heard
from foretune.memory import peak_memory
from foretune.models.candidate import Candidate
from foretune.records import Provenance, ScoreRecord, provenance
from foretune.sampling import source_sampler, target_sampler
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData

Layers = Literal["all", "last"] | Sequence[int]


def score_candidate(
    candidate: Candidate,
    task: Task,
    data: TaskData,
    estimators: Sequence[str] | Literal["all"],
    *,
    layers: Layers = "all",
    standard_errors: bool = False,
    seed: int = 0,
    batch_seconds: float | None = None,
    dtype: str = "float32",
    cache: Path | None = None,
    labelling: Labelling = TRUE_TIMES,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> list[ScoreRecord]:
    """Score a candidate's layers for a task, before any fine-tuning.

    The training speech goes through the candidate once, however many estimators and layers; not at
    all where every estimator needs metadata only. The source speech follows in a second pass where
    an estimator compares with it.

    Args:
        candidate: to be scored.
        task: tells the labels.
        data: its `train` part is scored on, its `source` part is what target speech is compared with.
        estimators: by name, or `all` that are registered.
        layers: `all`, the `last`, or a list of layers.
        standard_errors: give scores made from moments their standard errors, by leaving out groups (speakers,
            sentences or utterances, in eight parts); costs as many eigendecompositions a layer.
        seed: of the samples drawn and of everything random in the estimators.
        batch_seconds: most seconds of speech and padding in a forward pass; by default what suits the device.
        dtype: precision of the forward pass, one of `foretune.extraction.PRECISIONS`; half precision is
            checked against float32 on the first batch.
        cache: folder that keeps what a pass gathers (see `foretune.cache`): an interrupted one goes on, one
            that was made before is not made again. None keeps nothing.
        labelling: where the labels of a sequence task's frames come from (see `foretune.alignment`); what
            an alignment leaves out is not scored on.
        progress: called after each batch with seconds of speech done and in all.
        report: called with a line on the precision, and on what the cache found.

    Returns:
        One record for each layer and estimator, layers in order. `forward_seconds` and
        `accumulate_seconds` are those of the pass that all layers share, and are the same in all of an
        estimator's records; `score_seconds` is that layer's own. A score that could not be made is
        None, and `error` says why.

    Raises:
        InputError: a label is missing, all labels are the same, a sequence task's utterances have neither
            true times nor an alignment, the alignment was made by the candidate itself or a relative, there
            is no such layer, an utterance or a feature cannot be used, or an estimator was asked for by name
            that needs what is not there.
        UnknownEstimatorError: there is no estimator of that name.
    """
    chosen = _resolve_estimators(estimators)
    depths = resolve_layers(candidate, layers)
    if estimators != "all":
        for each in chosen:
            if reason := _lack(each, task, data):
                raise InputError(f"estimator {each.name}: {reason}")
    names = [each.name for each in chosen]
    prepared = prepare(
        candidate,
        task,
        data,
        names,
        grouped=standard_errors,
        seed=seed,
        batch_seconds=batch_seconds,
        dtype=dtype,
        cache=cache,
        labelling=labelling,
        progress=progress,
        report=report,
    )
    records = []
    for depth in depths:
        scored = [prepared.score(depth, name) for name in names]
        records += prepared.with_errors(scored) if standard_errors else scored
    return records


def prepare(
    candidate: Candidate,
    task: Task,
    data: TaskData,
    estimators: Sequence[str],
    *,
    grouped: bool = False,
    seed: int = 0,
    batch_seconds: float | None = None,
    dtype: str = "float32",
    cache: Path | None = None,
    labelling: Labelling = TRUE_TIMES,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
    other_tasks: Mapping[int, float] | None = None,
    heard: Heard | None = None,
) -> Prepared:
    """Send a task's speech through a candidate, and keep what the estimators need of every layer.

    Args:
        candidate: to be scored.
        task: tells the labels.
        data: as for `score_candidate`.
        estimators: by name; what one of them needs and cannot have is told by its scores.
        grouped: keep moments by group even where no estimator needs that, for standard errors.
        seed: of the samples drawn and of everything random in the estimators.
        batch_seconds: most seconds of speech and padding in a forward pass; by default what suits the device.
        dtype: precision of the forward pass, one of `foretune.extraction.PRECISIONS`; half precision is
            checked against float32 on the first batch.
        cache: folder that keeps what a pass gathers (see `foretune.cache`): an interrupted one goes on, one
            that was made before is not made again. None keeps nothing.
        labelling: where the labels of a sequence task's frames come from (see `foretune.alignment`); what
            an alignment leaves out is not scored on.
        progress: called after each batch with seconds of speech done and in all.
        report: called with a line on the precision, and on what the cache found.
        other_tasks: by layer, how well it does on other tasks; see `Metadata.other_tasks`.
        heard: passes over source speech that other tasks have made, and what this one adds to them.

    Raises:
        InputError: as `score_candidate`.
        UnknownEstimatorError: there is no estimator of some name.
    """
    if labelling.alignments is not None:
        check_no_leak(candidate, labelling.alignments.aligner)
        data = labelling.select(data)
    chosen = _resolve_estimators(estimators)
    lacking = {each.name: _lack(each, task, data) for each in chosen}
    scorable = [each for each in chosen if not lacking[each.name]]
    settings = PassSettings(seed, batch_seconds, dtype, cache, progress, report)
    target, source = Evidence(), Evidence()
    if _any_needs(scorable, "moments", "samples", "labels", "groups"):
        sampler = target_sampler(task, data.train, labelling)
        target = gather(candidate, data.train, sampler, Wanted.by(scorable, grouped=grouped), settings)
    if _any_needs(scorable, "source"):
        labelled = _any_needs(scorable, "source_labels")
        sampler = source_sampler(task, data.source, labelled=labelled, silence=labelling.silence)
        hear = gather if heard is None else heard.gather
        source = hear(candidate, data.source, sampler, Wanted.by([]), settings)
    origin = provenance(str(candidate.device))
    return Prepared(
        candidate,
        task,
        data,
        target,
        source,
        settings,
        origin,
        lacking,
        other_tasks or {},
        labelling,
    )


def resolve_layers(candidate: Candidate, layers: Layers) -> list[int]:
    """Return the layers that `all`, `last` or a list of them means, in order, each once.

    Raises:
        InputError: the candidate has no such layer, or the list is empty.
    """
    if layers == "all":
        return list(range(candidate.num_layers + 1))
    if layers == "last":
        return [candidate.num_layers]
    if isinstance(layers, str) or not layers:
        raise InputError(f"layers {layers}: give all, last, or a list of layers such as 0,6,12")
    return sorted({candidate.check_layer(layer) for layer in layers})


# --- scores


def _resolve_estimators(names: Sequence[str] | Literal["all"]) -> list[Estimator]:
    if names == "all":
        load_plugins()
        return list(ESTIMATORS.values())
    if isinstance(names, str) or not names:
        raise InputError(f"estimators {names!r}: give a list of names, or all")
    return [get_estimator(name) for name in dict.fromkeys(names)]


def _any_needs(estimators: Sequence[Estimator], *needs: str) -> bool:
    return any(not estimator.needs.isdisjoint(needs) for estimator in estimators)


def _lack(estimator: Estimator, task: Task, data: TaskData) -> str:
    """Return what an estimator needs and cannot get, empty where nothing."""
    if "posteriors" in estimator.needs:
        return "needs posteriors of a classifier of the candidate's own, which candidates do not have here"
    if estimator.needs & {"source", "source_labels"} and not data.source:
        return "needs speech from the candidates' pre-training, and there is none; give it as source"
    of_utterances = "source_labels" in estimator.needs and task.kind == "utterance"
    if of_utterances and not all(map(task.has_target, data.source)):
        return f"needs labels of the source speech for {task.name}, which it does not have"
    return ""


@dataclass(slots=True)
class Prepared:
    """What the passes over a task's speech left of a candidate; scores are made from it.

    Attributes:
        candidate: that was listened through.
        task: that it is scored for.
        data: the task's.
        target: of the training speech.
        source: of the source speech.
        settings: how the passes were made; the seed is that of everything random in the estimators, too.
        origin: code, packages and machine.
        lacking: for each estimator that was prepared for, what it needs and cannot have, or empty.
        other_tasks: by layer, how well it does on other tasks.
        labelling: where the labels of frames come from, and what a sample is.
    """

    candidate: Candidate
    task: Task
    data: TaskData
    target: Evidence
    source: Evidence
    settings: PassSettings
    origin: Provenance
    lacking: dict[str, str]
    other_tasks: Mapping[int, float]
    labelling: Labelling = TRUE_TIMES
    _counted: dict[int, int] = field(default_factory=dict, init=False, repr=False)

    def score(self, layer: int, name: str) -> ScoreRecord:
        """Score one layer by one of the estimators that were prepared for; see `score_candidate`."""
        estimator, lack = get_estimator(name), self.lacking[name]
        value, error, start, cpu_start = None, lack, time.perf_counter(), time.process_time()
        if not lack:
            try:
                value = estimator.score(self._inputs(layer, estimator))
            except ValueError as reason:  # degenerate features: this estimator fails, others may not
                error = str(reason)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        seen = not lack and not estimator.needs <= {"metadata", "other_tasks"}
        needs = estimator.needs if seen else frozenset()
        shared = cost_of_passes(needs, self.target, self.source, self.candidate.dimensions)
        return ScoreRecord(
            task=self.task.name,
            suite=self.data.suite,
            data_revision=self.data.revision,
            model=self.candidate.name,
            provenance=self.origin,
            model_revision=self.candidate.revision,
            layer=layer,
            estimator=estimator.name,
            score=value,
            error=error,
            parameters=self._parameters(layer),
            dtype=self.settings.dtype,
            batch_seconds=self.settings.batch_seconds or default_batch_seconds(self.candidate),
            seed=self.settings.seed,
            utterances=self.target.utterances if seen else 0,
            samples=self.target.rows if seen else 0,
            labels=self.labelling.origin() if seen else None,
            frame_stride=self.labelling.frame_stride,
            unit=self.labelling.unit,
            load_seconds=self.candidate.load_seconds,
            **shared,
            score_seconds=seconds,
            score_cpu_seconds=cpu_seconds,
            score_flops=None if seen else 0,
            peak_memory_bytes=peak_memory(self.candidate.device),
        )

    def with_errors(self, records: Sequence[ScoreRecord]) -> list[ScoreRecord]:
        """Return scores with their jackknife errors over groups of utterances, where these can be had."""
        errors = {
            layer: self.errors(layer, {record.estimator for record in records if record.layer == layer})
            for layer in {record.layer for record in records}
        }
        completed = []
        for record in records:
            found = errors[record.layer].get(record.estimator)
            completed.append(
                record
                if found is None
                else record.with_error(found.standard_error, found.group_errors.tolist())
            )
        return completed

    def errors(self, layer: int, names: Collection[str]) -> dict[str, Jackknife | None]:
        """Return the jackknife errors of a layer's scores, by estimator.

        None where there is none: the score is not made from moments alone or from class Gram matrices (which
        are not kept by group), the moments were not kept by group, or a score fails without one of them.
        """
        named = [get_estimator(name) for name in sorted(names) if not self.lacking[name]]
        inputs = {each.name: self._inputs(layer, each) for each in named}
        functions = {
            each.name: functools.partial(_score_moments, each, inputs[each.name])
            for each in named
            if "moments" in each.needs and each.needs.isdisjoint({"samples", "source", "class_gram"})
        }
        return jackknives(self.target.moments[layer], functions) if functions else {}

    def _inputs(self, layer: int, estimator: Estimator) -> Inputs:
        moments = self.target.class_moments if "class_gram" in estimator.needs else self.target.moments

        def of(items: Sequence[Samples]) -> Samples | None:
            return items[layer] if items else None

        return Inputs(
            moments=moments[layer] if moments else None,
            samples=of(self.target.samples),
            source=of(self.source.samples),
            metadata=Metadata(
                name=self.candidate.name,
                layer=layer,
                depth=layer,
                parameters=self._parameters(layer),
                dimension=self.candidate.dimensions[layer],
                other_tasks=self.other_tasks.get(layer),
            ),
            seed=self.settings.seed,
        )

    def _parameters(self, layer: int) -> int:
        """Return the parameters of the encoder up to a layer, counted once for all estimators."""
        if layer not in self._counted:
            self._counted[layer] = self.candidate.parameters(layer)
        return self._counted[layer]


def _score_moments(estimator: Estimator, inputs: Inputs, moments: Moments) -> float:
    return estimator.score(dataclasses.replace(inputs, moments=moments))
