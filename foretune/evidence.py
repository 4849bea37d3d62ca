"""One pass of speech through a candidate: what it leaves of every layer, for the estimators to score from.

Features are dropped batch by batch; what stays is of a size that does not depend on the amount of speech.
With a cache (`foretune.cache`) an interrupted pass goes on where it was, and one that was made before is
not made again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from foretune.cache import VERSION, BusyError, Folder, Pace, audio_hash, canonical, content_hash
from foretune.estimators import Estimator, Moments, Reservoir, Samples
from foretune.estimators.validation import as_features
from foretune.extraction import (
    OVERLAP_SECONDS,
    WINDOW_SECONDS,
    Batch,
    Progress,
    default_batch_seconds,
    extract,
    streams_of,
)
from foretune.models.candidate import Candidate
from foretune.sampling import Sampler
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

MAX_SAMPLES = 2048
"""Rows that are kept of each layer for the estimators that need samples."""


@dataclass(frozen=True, slots=True)
class PassSettings:
    """How speech goes through a candidate.

    Attributes:
        seed: of the samples drawn.
        batch_seconds: most seconds of speech and padding in a forward pass; None: what suits the device.
        dtype: the precision, one of `foretune.extraction.PRECISIONS`.
        cache: folder that keeps what is gathered; None keeps nothing.
        progress: called after each batch with seconds of speech done and in all.
        report: called with a line on the precision, and on what the cache found.
    """

    seed: int = 0
    batch_seconds: float | None = None
    dtype: str = "float32"
    cache: Path | None = None
    progress: Progress | None = None
    report: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be gathered of each layer.

    Attributes:
        moments: statistics of all samples.
        grouped: kept apart by group.
        class_moments: statistics with a Gram matrix of each class.
        samples: a bounded sample of the rows.
    """

    moments: bool = False
    grouped: bool = False
    class_moments: bool = False
    samples: bool = False

    @classmethod
    def by(cls, estimators: Sequence[Estimator], *, grouped: bool = False) -> Wanted:
        """Return what estimators need; samples only, without any.

        Args:
            estimators: that are to score.
            grouped: keep moments by group even where none of them needs that.
        """
        of_moments = [each for each in estimators if "moments" in each.needs]
        by_class = [each for each in of_moments if "class_gram" in each.needs]
        return cls(
            moments=len(of_moments) > len(by_class),
            grouped=grouped or any("groups" in each.needs for each in of_moments),
            class_moments=bool(by_class),
            samples=not estimators or any("samples" in each.needs for each in estimators),
        )


@dataclass(slots=True)
class Piece:
    """What one batch gives.

    Attributes:
        features: of each layer, (N, D), tensors or arrays.
        labels: (N,), or None.
        groups: (N,).
        forward_seconds: that its forward pass took.
        select_seconds: that choosing the samples took.
    """

    features: list[Any]
    labels: Any
    groups: Any
    forward_seconds: float
    select_seconds: float


@dataclass(slots=True)
class Evidence:
    """What one pass over speech leaves of it: statistics of each layer, and what they cost."""

    model: str = ""
    moments: list[Moments] = field(default_factory=list)
    class_moments: list[Moments] = field(default_factory=list)
    reservoirs: list[Reservoir] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    utterances: int = 0
    rows: int = 0
    forward_seconds: float = 0.0
    moments_seconds: float = 0.0
    samples_seconds: float = 0.0

    @classmethod
    def empty(cls, candidate: Candidate, utterances: int, wanted: Wanted, seed: int) -> Evidence:
        """Return the evidence of no batch."""
        evidence = cls(candidate.name, utterances=utterances)
        for dimension in candidate.dimensions:
            if wanted.moments:
                evidence.moments.append(Moments(dimension, grouped=wanted.grouped))
            if wanted.class_moments:  # apart from the groups: classes times groups would be too many matrices
                evidence.class_moments.append(Moments(dimension, class_gram=True))
            if wanted.samples:
                evidence.reservoirs.append(Reservoir(MAX_SAMPLES, seed))
        return evidence

    def add(self, piece: Piece) -> None:
        """Add what a batch gives.

        Raises:
            InputError: a feature cannot be used; the message names model and layer.
        """
        start = time.perf_counter()
        layer = 0
        try:
            for layer, moments in enumerate(self.moments):
                moments.update(piece.features[layer], piece.labels, piece.groups if moments.grouped else None)
            for layer, moments in enumerate(self.class_moments):
                moments.update(piece.features[layer], piece.labels)
            updated = time.perf_counter()
            for layer, reservoir in enumerate(self.reservoirs):
                reservoir.update(piece.features[layer], piece.labels, piece.groups)
        except ValueError as error:
            raise InputError(f"{self.model}: layer {layer}: {error}; the weights may be damaged") from None
        self.rows += len(piece.groups)
        self.forward_seconds += piece.forward_seconds
        if self.moments or self.class_moments:
            self.moments_seconds += piece.select_seconds + updated - start
        if self.reservoirs:
            self.samples_seconds += piece.select_seconds + time.perf_counter() - updated

    def draw(self) -> None:
        """Take the samples from the reservoirs, once the pass is over."""
        start = time.perf_counter()
        self.samples = [reservoir.samples() for reservoir in self.reservoirs]
        self.reservoirs = []
        self.samples_seconds += time.perf_counter() - start


def gather(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    sampler: Sampler,
    wanted: Wanted,
    settings: PassSettings,
) -> Evidence:
    """Run a candidate over speech once, and keep what is wanted of every layer.

    Args:
        candidate: to be listened through.
        utterances: the speech.
        sampler: of these utterances.
        wanted: what to keep.
        settings: how.

    Raises:
        InputError: an utterance or a feature cannot be used, no frame counts, half precision is too far
            from float32, or the cache cannot be written to.
    """
    evidence = Evidence.empty(candidate, len(utterances), wanted, settings.seed)
    with _keeper(candidate, utterances, sampler, wanted, settings) as keeper:
        batches = extract(
            candidate,
            utterances,
            batch_seconds=settings.batch_seconds,
            dtype=settings.dtype,
            skip_batches=keeper.restore(evidence),
            progress=settings.progress,
            report=settings.report,
        )
        whole = True
        try:
            with _one_thread_for_sums(candidate):
                for batch in batches:
                    whole = False
                    piece = _select(candidate, batch, sampler)
                    evidence.add(piece)
                    keeper.keep(piece, evidence)
                    whole = True
        finally:
            if whole:  # also where reading the next batch failed, or somebody lost patience
                keeper.save(evidence)
    if evidence.rows == 0:
        raise InputError(f"{candidate.name}: no frame lies within a phone; check the true times")
    evidence.draw()
    return evidence


def _one_thread_for_sums(candidate: Candidate) -> AbstractContextManager[object]:
    """Keep NumPy's and SciPy's products to one thread while the next batches are at work on all cores."""
    if streams_of(candidate) == 1:
        return nullcontext()
    # not those of torch, which has its own
    limits: AbstractContextManager[object] = (
        ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    )
    return limits


def _select(candidate: Candidate, batch: Batch, sampler: Sampler) -> Piece:
    start = time.perf_counter()
    rows = sampler.rows(candidate, batch)
    features = [rows.select(hidden) for hidden in batch.states.layers]
    return Piece(features, rows.labels, rows.groups, batch.seconds, time.perf_counter() - start)


# --- what several tasks have in common

HELD_BYTES = 2**29
"""Memory for what passes over the same speech leave; beyond it the oldest is forgotten, and heard again."""


class Heard:
    """Passes over speech that several tasks have in common, such as the candidates' source, each made once.

    Of an utterance task the pooled features are kept, which each task labels and groups in its own way; of a
    sequence task what was gathered, which serves the tasks that label the same frames alike. Seconds are
    those of the pass that was made: what a task would take by itself.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[_Pooled] | Evidence] = {}

    def gather(
        self,
        candidate: Candidate,
        utterances: Sequence[Utterance],
        sampler: Sampler,
        wanted: Wanted,
        settings: PassSettings,
    ) -> Evidence:
        """Return what `gather` returns for the same arguments, from an earlier pass where there is one."""
        key = _key(candidate, utterances, sampler, settings)
        if not sampler.pooled:
            name = json.dumps([key, canonical(wanted), settings.seed])
            held = self._held.get(name)
            if not isinstance(held, Evidence):
                held = gather(candidate, utterances, sampler, wanted, settings)
                self._hold(name, held)
            return held
        name = json.dumps(key | {"speech": audio_hash(utterances), "sampling": "pooled"})
        pieces = self._held.get(name)
        if not isinstance(pieces, list):
            pieces = list(_pool(candidate, utterances, sampler, settings))
            self._hold(name, pieces)
        evidence = Evidence.empty(candidate, len(utterances), wanted, settings.seed)
        for each in pieces:
            labels, groups = sampler.of_utterances(each.indices)
            evidence.add(Piece(each.features, labels, groups, each.forward_seconds, each.select_seconds))
        evidence.draw()
        return evidence

    def _hold(self, name: str, found: list[_Pooled] | Evidence) -> None:
        self._held[name] = found
        while sum(map(_bytes_of, self._held.values())) > HELD_BYTES and len(self._held) > 1:
            del self._held[next(iter(self._held))]


@dataclass(frozen=True, slots=True)
class _Pooled:
    """The pooled features of one batch: of each layer (N, D), with the numbers of its utterances."""

    indices: Sequence[int]
    features: list[Any]
    forward_seconds: float
    select_seconds: float


def _pool(
    candidate: Candidate, utterances: Sequence[Utterance], sampler: Sampler, settings: PassSettings
) -> Iterator[_Pooled]:
    batches = extract(
        candidate,
        utterances,
        batch_seconds=settings.batch_seconds,
        dtype=settings.dtype,
        progress=settings.progress,
        report=settings.report,
    )
    for batch in batches:
        piece = _select(candidate, batch, sampler)
        features = [as_features(layer) for layer in piece.features]
        yield _Pooled(batch.indices, features, piece.forward_seconds, piece.select_seconds)


def _bytes_of(found: list[_Pooled] | Evidence) -> int:
    if isinstance(found, list):
        return sum(layer.nbytes for each in found for layer in each.features)
    return sum(samples.features.nbytes for samples in found.samples)


# --- what the cache keeps


class _Keeper:
    """Keeps nothing."""

    def restore(self, evidence: Evidence) -> int:
        """Fill empty evidence with what was kept, and return the number of batches it is from."""
        return 0

    def keep(self, piece: Piece, evidence: Evidence) -> None:
        """Take note of a batch and of the evidence that it has been added to."""

    def save(self, evidence: Evidence) -> None:
        """Write what has not been written yet."""


class _PooledFeatures(_Keeper):
    """Keeps the pooled features of utterances, a few batches a file; the evidence is made from them again."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._files = 0
        self._waiting: list[Piece] = []
        self._pace = Pace()

    def restore(self, evidence: Evidence) -> int:
        batches = 0
        while (pieces := self._folder.read(self._name)) is not None:
            for content in pieces:
                evidence.add(Piece(**content))
            batches += len(pieces)
            self._files += 1
        # what came after a damaged file, which need not be cut into files where the new ones will be
        self._folder.remove_from(self._name)
        return batches

    def keep(self, piece: Piece, evidence: Evidence) -> None:
        features = [as_features(layer) for layer in piece.features]
        self._waiting.append(dataclasses.replace(piece, features=features))
        if self._pace.due():
            self.save(evidence)

    def save(self, evidence: Evidence) -> None:
        if self._waiting:
            start = time.perf_counter()
            self._folder.write(self._name, [_fields(piece) for piece in self._waiting])
            self._waiting = []
            self._files += 1
            self._pace.saved(start)

    @property
    def _name(self) -> str:
        return f"pooled-{self._files:06d}"


class _Accumulators(_Keeper):
    """Keeps the accumulators, in one file."""

    _NAME = "accumulators"

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._batches = self._saved = 0
        self._pace = Pace()

    def restore(self, evidence: Evidence) -> int:
        content = self._folder.read(self._NAME)
        if content is not None:
            self._batches = self._saved = content.pop("batches")
            for name, value in content.items():
                setattr(evidence, name, value)
        return self._batches

    def keep(self, piece: Piece, evidence: Evidence) -> None:
        self._batches += 1
        if self._pace.due():
            self.save(evidence)

    def save(self, evidence: Evidence) -> None:
        if self._batches > self._saved:
            start = time.perf_counter()
            content = {
                name: value for name, value in _fields(evidence).items() if name not in ("model", "samples")
            }
            self._folder.write(self._NAME, content | {"batches": self._batches})
            self._saved = self._batches
            self._pace.saved(start)


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


@contextmanager
def _keeper(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    sampler: Sampler,
    wanted: Wanted,
    settings: PassSettings,
) -> Iterator[_Keeper]:
    """Open what a cache has of a pass; what keeps nothing where there is no cache, or it is in use."""
    if settings.cache is None:
        yield _Keeper()
        return
    key = _key(candidate, utterances, sampler, settings)
    if not sampler.pooled:
        key |= {"wanted": canonical(wanted), "seed": settings.seed, "samples": MAX_SAMPLES}
    try:
        folder = Folder(settings.cache, key, settings.report)
    except BusyError as error:
        if settings.report is not None:
            settings.report(f"{candidate.name}: {error}")
        yield _Keeper()
        return
    try:
        yield _PooledFeatures(folder) if sampler.pooled else _Accumulators(folder)
    finally:
        folder.close()


def _key(
    candidate: Candidate, utterances: Sequence[Utterance], sampler: Sampler, settings: PassSettings
) -> dict[str, Any]:
    """Return all that decides which samples a pass gives, and with which features."""
    sampling = {
        each.name: canonical(getattr(sampler, each.name))
        for each in dataclasses.fields(sampler)
        if each.name != "utterances"
    }
    return {
        "version": VERSION,
        "packages": {
            name: importlib.metadata.version(name) for name in ("foretune", "torch", "transformers")
        },
        "model": candidate.name,
        "weights": candidate.revision,
        "dimensions": list(candidate.dimensions),
        "grid": canonical(candidate.grid),
        "device": candidate.device.type,
        "speech": content_hash(utterances),
        "sampling": hashlib.blake2b(json.dumps(sampling).encode(), digest_size=16).hexdigest(),
        "dtype": settings.dtype,
        "batch_seconds": settings.batch_seconds or default_batch_seconds(candidate),
        "window_seconds": WINDOW_SECONDS,
        "overlap_seconds": OVERLAP_SECONDS,
    }
