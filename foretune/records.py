"""Append-only records of results, one JSON line each.

A record is written the moment its result exists, flushed and fsynced, under a file lock, so that
several workers may share one file and an interrupted run loses nothing. A torn last line (from a
process that was killed while writing) is skipped on reading and mended by the next writer.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from foretune.tasks.errors import InputError

SCHEMA: Literal[1] = 1


class Provenance(BaseModel):
    """Where a result came from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: bool
    python: str
    machine: str
    device: str
    threads: int
    packages: dict[str, str]
    started: str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # `schema` is a method of pydantic's models, hence the alias
    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    task: str
    suite: str
    data_revision: str
    model: str
    provenance: Provenance


class TuningRecord(_Record):
    """One fine-tuning run: a piece of ground truth and what it cost."""

    kind: Literal["tuning"] = "tuning"
    model_revision: str
    protocol: Literal["layer", "full", "probe", "single-layer"]
    layer: int
    seed: int
    learning_rate: float
    steps: int
    status: Literal["done", "failed"]
    error: str = ""
    metric: str
    direction: Literal["higher", "lower"]
    value: float | None
    metrics: dict[str, float]
    parameters_trained: int
    train_utterances: int
    test_utterances: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int

    @property
    def key(self) -> tuple[str, str, str, str, str, int, int]:
        """Return what makes this run the same run as another."""
        return (
            self.task,
            self.data_revision,
            self.model,
            self.model_revision,
            self.protocol,
            self.layer,
            self.seed,
        )


class LabelOrigin(BaseModel):
    """Which alignment the labels of frames come from.

    Attributes:
        aligner: as the user named it.
        aligner_revision: a hash of its weights.
        silence: what became of frames outside of every letter.
        aligned: utterances that were scored on.
        left_out: utterances that could not be aligned well.
        mean_confidence: natural log-probability a frame, mean over the aligned utterances.
        seconds: that the alignment took; it serves all candidates.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    aligner: str
    aligner_revision: str
    silence: Literal["drop", "own-class", "nearest"]
    aligned: int
    left_out: int
    mean_confidence: float
    seconds: float


class ScoreRecord(_Record):
    """One estimator's score of one layer of one candidate."""

    kind: Literal["score"] = "score"
    model_revision: str
    layer: int
    estimator: str
    score: float | None
    standard_error: float | None = None
    frame_stride: int = 1
    unit: Literal["frame", "utterance"] = "frame"
    error: str = ""
    seed: int
    utterances: int
    samples: int
    labels: LabelOrigin | None = None
    forward_seconds: float
    accumulate_seconds: float
    score_seconds: float

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """Return which cell of the grid this is."""
        return (self.suite, self.task, self.model, self.layer, self.estimator)


class AgreementRecord(_Record):
    """How well an estimator's scores agree with the ground truth in one setting.

    The candidates are the layers of `model`, or, with `model` = `all`, models. Where the estimator
    gave no score for one of them, `status` is `failed`, `error` says why, and there is no statistic.

    Attributes:
        layer_policy: how a model's layers make its score (`last`, `best`, `mean`); `each` for layers.
        names: the candidates: layer numbers or models.
        scores: one a candidate, higher predicts better transfer.
        values: the metric after fine-tuning, in its own direction, mean over seeds.
        deviations: the standard deviation of that over seeds; None with a single seed.
        seeds: the least number of seeds that a candidate was fine-tuned with.
        smooth_p_value: see `agreement.smooth_p_value`; None for models.
        regret: the best value less that of the candidate with the best score, in the metric's unit.
        regret_at_3: the same for the best of the three candidates with the best scores.
        score_seconds: what the scores of all candidates cost: forward passes, statistics, scores.
        fine_tune_seconds: what fine-tuning all candidates with one seed costs.
        cost_ratio: the latter over the former.
        least_spearman: the gate that was applied; None where there is none.
        largest_p_value: likewise.
        reason: why a gate is low or absent.
        passed: whether the gates hold.
    """

    kind: Literal["agreement"] = "agreement"
    setting: Literal["layers", "models"]
    estimator: str
    layer_policy: str
    status: Literal["done", "failed"] = "done"
    error: str = ""
    metric: str
    direction: Literal["higher", "lower"]
    candidates: int
    names: list[str]
    scores: list[float | None]
    values: list[float]
    deviations: list[float | None]
    seeds: int
    spearman: float | None
    p_value: float | None
    smallest_p_value: float
    p_value_error: float = 0.0
    smooth_p_value: float | None
    kendall: float | None
    weighted_kendall: float | None
    regret: float | None
    regret_at_3: float | None
    score_seconds: float
    fine_tune_seconds: float
    cost_ratio: float | None
    least_spearman: float | None = None
    largest_p_value: float | None = None
    reason: str = ""
    passed: bool = True

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """Return which cell of the grid this is."""
        return (self.suite, self.task, self.setting, self.model, self.estimator, self.layer_policy)


class PublishedRecord(_Record):
    """How well a ranking agrees with published results of real models, without any weights.

    The candidates are those of a table that ships (`suite` is its name, `data_revision` its hash), so
    neither their names nor their values are repeated here.

    Attributes:
        estimator: what ranks the candidates.
        truth: what the ranking is held against: the published metric, or the ranks printed beside it.
        candidates: how many.
        exact: whether every permutation was counted for `p_value`.
        low: lower end of the 95 % bootstrap interval of ρ over candidates; None for few of them.
        high: upper end.
        regret: as in an agreement, in the metric's unit.
        regret_at_3: likewise.
        regret_by_chance: what choosing one at random loses on average.
        printed_spearman: what the source itself says; None where it does not.
        printed_p_value: likewise.
        score_seconds: what the source says that scores cost; None where it does not.
        fine_tune_seconds: likewise of fine-tuning.
    """

    kind: Literal["published"] = "published"
    setting: Literal["layers", "models"]
    estimator: str
    truth: Literal["metric", "printed ranks"] = "metric"
    metric: str
    unit: str
    direction: Literal["higher", "lower"]
    candidates: int
    spearman: float
    p_value: float
    p_value_error: float
    exact: bool
    low: float | None = None
    high: float | None = None
    kendall: float
    weighted_kendall: float
    regret: float
    regret_at_3: float
    regret_by_chance: float
    printed_spearman: float | None = None
    printed_p_value: float | None = None
    score_seconds: float | None = None
    fine_tune_seconds: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """Return which cell of which table this is."""
        return (self.suite, self.task, self.setting, self.model, self.estimator, self.truth)


Record = TuningRecord | ScoreRecord | AgreementRecord | PublishedRecord
_ANY: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def append(path: Path, record: Record) -> None:
    """Append a record to a file, durably, while other processes may do the same.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = record.model_dump_json(by_alias=True) + "\n"
    with FileLock(f"{path}.lock"), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line: keep it apart from ours
                file.write(b"\n")
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *, offset: int = 0) -> list[Record]:
    """Read every record of a file; an unfinished line (a writer was killed) is left out.

    Args:
        path: the file.
        offset: bytes to skip, where earlier records end.

    Raises:
        InputError: the file is missing, or a finished line is not a record.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of records; run `foretune tune` or `pytest bench/` first")
    records: list[Record] = []
    for number, line in enumerate(path.read_bytes()[offset:].split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(_ANY.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "json_invalid":  # torn
                continue
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"{path}:{number}: not a record of schema {SCHEMA}: {where}: {first['msg']}"
            ) from None
    return records


def read_tuning(paths: Iterable[Path]) -> list[TuningRecord]:
    """Read the finished fine-tuning runs of several files; of repeated runs the last counts."""
    runs: dict[tuple[str, str, str, str, str, int, int], TuningRecord] = {}
    for path in paths:
        for record in read(path):
            if isinstance(record, TuningRecord) and record.status == "done":
                runs[record.key] = record
    return list(runs.values())


def latest(records: Iterable[Record]) -> list[Record]:
    """Return the last record of every run and cell, in the order in which these first came."""
    last: dict[tuple[object, ...], Record] = {}
    for record in records:
        last[(record.kind, *record.key)] = record
    return list(last.values())


def compact(path: Path, *, offset: int = 0) -> None:
    """Keep the last record of every run and cell; writers wait, readers see the old file or the new one.

    Args:
        path: the file.
        offset: bytes to drop from its beginning, where earlier records end.

    Raises:
        InputError: the file is missing, or a finished line is not a record.
        OSError: the file cannot be written.
    """
    with FileLock(f"{path}.lock"):  # held from reading on: what is appended meanwhile would be lost
        lines = [record.model_dump_json(by_alias=True) for record in latest(read(path, offset=offset))]
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def provenance(device: str = "cpu") -> Provenance:
    """Describe this process: code, packages, machine, time (UTC)."""
    import torch

    commit, dirty = _code_version()
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        device=device,
        threads=torch.get_num_threads(),
        packages=_package_versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@functools.cache
def _package_versions() -> dict[str, str]:
    names = ("foretune", "torch", "transformers", "numpy", "scipy", "scikit-learn", "POT")
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@functools.cache
def _code_version() -> tuple[str, bool]:
    """Return (commit, dirty) of the checkout this code runs from; the version where there is none."""
    root = Path(__file__).resolve().parent.parent
    git = ["git", "-C", str(root)]
    try:
        top = subprocess.run(
            [*git, "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, text=True, check=True
        )
        toplevel, commit = top.stdout.splitlines()
        if Path(toplevel).resolve() != root:
            raise FileNotFoundError(toplevel)  # installed inside somebody else's checkout
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError, ValueError):
        return _package_versions()["foretune"], False
    return commit[:12], bool(status.stdout.strip())
