"""Rankings: candidates and their layers in order of what an estimator predicts of fine-tuning them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretune import models as candidates
from foretune.alignment import label_frames
from foretune.estimators import get_estimator
from foretune.models.candidate import Candidate
from foretune.records import ScoreRecord, provenance
from foretune.scoring import Layers, score_candidate
from foretune.tasks import get_task
from foretune.tasks.corpora import read_name
from foretune.tasks.errors import InputError
from foretune.tasks.manifest import load_manifest, load_recordings
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData, Utterance

Progress = Callable[[str, float, float], None]
"""Called with a candidate's name, the seconds of speech done and those in all."""

EMBEDDED_SOURCE = "embedded"
"""Names, as a source, the synthetic speech that the shipped models were pre-trained on."""


@dataclass(frozen=True, slots=True)
class Row:
    """A place in a ranking.

    Attributes:
        rank: from 1, the best; equal scores share a rank.
        model: the candidate's name.
        layer: its layer.
        estimator: what scored it.
        score: higher predicts better transfer.
        standard_error: of the score, by leaving out groups of samples; None where there is none.
    """

    rank: int
    model: str
    layer: int
    estimator: str
    score: float
    standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Candidates and layers, best first.

    Attributes:
        rows: in order of rank.
        provenance: where this ranking comes from: task, data, revisions of the models, seconds, code
            and packages; plain JSON values.
    """

    rows: list[Row]
    provenance: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return `ranking` (a list of rows) and `provenance`, for JSON."""
        return {"ranking": [dataclasses.asdict(row) for row in self.rows], "provenance": self.provenance}


def rank(
    task: str | Task,
    data: str | os.PathLike[str] | TaskData | None,
    models: Sequence[str | Candidate] | str,
    *,
    layers: Layers = "all",
    estimator: str = "logme",
    source: str | os.PathLike[str] | Sequence[Utterance] | None = None,
    utterances: int | None = None,
    aligner: str | None = None,
    silence: str = "drop",
    frame_stride: int = 1,
    unit: str = "frame",
    skip_bad: bool = False,
    standard_errors: bool = True,
    device: str = "cpu",
    dtype: str = "float32",
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> Ranking:
    """Rank candidates and their layers for a task, before fine-tuning any of them.

    Args:
        task: by name, or a task of your own.
        data: a manifest (CSV, TSV, JSON lines, Parquet) or audio folder with your speech; a corpus by name,
            `NAME:FOLDER` or, from the hub, `NAME[/CONFIG,…][@REVISION]` (see `foretune list corpora`);
            loaded task data; or None for the task's embedded speech.
        models: names as `foretune.models.load_candidate` takes them, `all` for all that ship, or
            loaded candidates.
        layers: `all`, the `last` of each candidate, or a list of layers that every one has.
        estimator: by name.
        source: for estimators that compare with pre-training speech: a manifest or audio folder of
            it (no labels needed), a corpus by name, utterances, or `embedded` for what the shipped models
            were pre-trained on; by default that of `data`, if it has any.
        utterances: at most so many of each part of a corpus that is named, drawn by `seed`; by default all
            that are in its folder, and 1,000 from the hub.
        aligner: what aligns transcripts with speech for a sequence task (see `load_aligner`); by default
            the one that ships, where utterances have no true times.
        silence: what becomes of frames in which nothing is said: `drop`, `own-class` or `nearest`.
        frame_stride: of a sequence task: every so many of an utterance's labelled frames is a sample.
        unit: of a sequence task: a sample is a `frame`, or an `utterance`'s mean by label.
        skip_bad: leave bad rows of the manifests out, where otherwise they are an error.
        standard_errors: say how sure the scores are that are made from moments (see `score_candidate`).
        device: a torch device, for candidates given by name.
        dtype: precision of the forward passes: `float32`, `bfloat16` or `float16`.
        cache: folder that keeps what the passes gather, so that an interrupted ranking goes on; None keeps
            nothing.
        seed: of everything random.
        progress: called after each batch.
        report: called with a line for each remark on the data.

    Raises:
        InputError: something given cannot be used; the message names it.
        UnknownEstimatorError: there is no such estimator.
    """
    task = get_task(task) if isinstance(task, str) else task
    get_estimator(estimator)  # before anything that takes time
    chosen = _candidates([models] if isinstance(models, str) else models)
    loaded = load_data(
        task, data, source=source, utterances=utterances, skip_bad=skip_bad, seed=seed, report=report
    )
    labelling = label_frames(
        task,
        loaded,
        aligner=aligner,
        silence=silence,
        frame_stride=frame_stride,
        unit=unit,
        device=device,
        progress=name_progress(progress, "alignment"),
        report=report,
    )
    loaded = labelling.select(loaded)
    records: list[ScoreRecord] = []
    for model in chosen:
        candidate = model if isinstance(model, Candidate) else candidates.load_candidate(model, device=device)
        records += score_candidate(
            candidate,
            task,
            loaded,
            [estimator],
            layers=layers,
            standard_errors=standard_errors,
            seed=seed,
            labelling=labelling,
            dtype=dtype,
            cache=None if cache is None else Path(cache),
            progress=name_progress(progress, candidate.name),
            report=report,
        )
    return Ranking(_rows(records), _provenance(task, loaded, records, path=data, device=device, dtype=dtype))


def load_data(
    task: Task,
    data: str | os.PathLike[str] | TaskData | None,
    *,
    source: str | os.PathLike[str] | Sequence[Utterance] | None = None,
    utterances: int | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> TaskData:
    """Load a task's data; the arguments are those of `rank`.

    Raises:
        InputError: a manifest or a corpus cannot be used, the data are of another task, or so many
            utterances are asked for where no corpus is named.
    """
    settings: dict[str, Any] = {"skip_bad": skip_bad} | ({"report": report} if report else {})
    corpora = {text: read_name(str(text)) for text in (data, source) if isinstance(text, str | os.PathLike)}
    whole = task.name if task.only is None else task.name.partition(":")[0]
    if utterances is not None and not any(corpora.values()):
        raise InputError(f"--utterances {utterances}: for a corpus that is named; shorten your data instead")
    if data is None:
        loaded = task.embedded()
    elif isinstance(data, TaskData):
        loaded = data
    elif named := corpora[data]:
        loaded = named.load(whole, utterances=utterances, seed=seed)
    else:
        loaded = load_manifest(Path(data), task, **settings)
    if loaded.task not in (task.name, whole):
        raise InputError(f"data: made for the task {loaded.task}, not {task.name}; load them for it")
    loaded = task.restrict(loaded)
    if source is None:
        return loaded
    if isinstance(source, str | os.PathLike):
        if str(source) == EMBEDDED_SOURCE:
            from foretune.tasks.embedded.corpus import source_speech

            source = source_speech()
        elif named := corpora[source]:
            source = named.load(named.corpus.tasks[0], utterances=utterances, seed=seed).train
        else:
            source = load_recordings(Path(source), **settings)
    return dataclasses.replace(loaded, source=tuple(source))


def _candidates(models: Sequence[str | Candidate]) -> list[str | Candidate]:
    """Return what is to be ranked, `all` spelt out, having checked that it is there."""
    if not models:
        raise InputError("models: none given; name at least one")
    given = candidates.expand([model for model in models if isinstance(model, str)])
    chosen: list[str | Candidate] = [*given, *(model for model in models if isinstance(model, Candidate))]
    seen: set[str] = set()
    for model in chosen:
        name = model if isinstance(model, str) else model.name
        if name in seen:
            raise InputError(f"model {name}: given twice; give each once")
        seen.add(name)
        if isinstance(model, str):
            candidates.check_name(model)
    return chosen


def name_progress(progress: Progress | None, name: str) -> Callable[[float, float], None] | None:
    """Return what reports one candidate's progress under its name; None where nobody listens."""
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)


def _rows(records: Sequence[ScoreRecord]) -> list[Row]:
    """Return the records as rows, best first, equal scores in the order they came in."""
    scored: list[tuple[float, ScoreRecord]] = []
    for record in records:
        if record.score is None:
            raise InputError(
                f"{record.model}: layer {record.layer}: {record.estimator} gives no score: {record.error}"
            )
        scored.append((record.score, record))
    scored.sort(key=lambda item: -item[0])
    rows: list[Row] = []
    for place, (score, record) in enumerate(scored, start=1):
        tied = bool(rows) and rows[-1].score == score
        rows.append(
            Row(
                rows[-1].rank if tied else place,
                record.model,
                record.layer,
                record.estimator,
                score,
                record.standard_error,
            )
        )
    return rows


def _provenance(
    task: Task,
    data: TaskData,
    records: Sequence[ScoreRecord],
    *,
    path: object,
    device: str,
    dtype: str,
) -> dict[str, Any]:
    one_each = {record.model: record for record in records}
    passes = sum(each.forward_seconds + each.accumulate_seconds for each in one_each.values())
    return {
        "task": task.name,
        "data": str(path) if isinstance(path, str | os.PathLike) else data.suite,
        "data_revision": data.revision,
        "train_utterances": len(data.train),
        "test_utterances": len(data.test),
        "source_utterances": len(data.source),
        "models": {record.model: record.model_revision for record in one_each.values()},
        "samples": {record.model: record.samples for record in one_each.values()},
        "labels": labels.model_dump() if (labels := records[0].labels) else None,
        "seed": records[0].seed,
        "dtype": dtype,
        "forward_seconds": sum(each.forward_seconds for each in one_each.values()),
        "seconds": passes + sum(record.score_seconds for record in records),
        **provenance(device).model_dump(),
    }
