"""One pass of speech through a candidate, and what a cache keeps of it.

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
from typing import Any

from threadpoolctl import ThreadpoolController

from foretune.cache import VERSION, BusyError, Folder, canonical, content_hash, saving_pace
from foretune.estimators.validation import as_features
from foretune.evidence import MAX_SAMPLES, Evidence, PassSettings, Piece, Wanted
from foretune.extraction import (
    OVERLAP_SECONDS,
    WINDOW_SECONDS,
    Batch,
    default_batch_seconds,
    extract,
    streams_of,
)
from foretune.extraction.batches import samples
from foretune.models.candidate import Candidate
from foretune.sampling import Sampler
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance


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
        skip = keeper.restore(evidence)
        whole, cpu = True, _cpu_clock(candidate)
        try:
            with _one_thread_for_sums(candidate):
                for _, piece in pieces_of(candidate, utterances, sampler, settings, skip_batches=skip):
                    whole = False
                    evidence.add(piece, cpu)
                    keeper.keep(piece, evidence)
                    whole = True
        finally:
            if whole:  # also where reading the next batch failed, or somebody lost patience
                keeper.save(evidence)
    if evidence.rows == 0:
        raise InputError(f"{candidate.name}: no frame lies within a phone; check the true times")
    evidence.finish(candidate)
    return evidence


def pieces_of(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    sampler: Sampler,
    settings: PassSettings,
    *,
    skip_batches: int = 0,
) -> Iterator[tuple[Batch, Piece]]:
    """Yield each batch of a pass, and what is to be gathered of it.

    Args:
        candidate: to be listened through.
        utterances: the speech.
        sampler: of these utterances.
        settings: how.
        skip_batches: leave out so many batches, which an earlier run has done.
    """
    batches = extract(
        candidate,
        utterances,
        batch_seconds=settings.batch_seconds,
        dtype=settings.dtype,
        skip_batches=skip_batches,
        progress=settings.progress,
        report=settings.report,
    )
    cpu = _cpu_clock(candidate)
    mark, summing = time.process_time(), 0.0
    for batch in batches:
        passed = max(0.0, time.process_time() - mark - summing)
        mark, began = time.process_time(), cpu()
        piece = _select(candidate, batch, sampler, passed, cpu)
        piece.forward_flops = _flops_of_all(batch, utterances)
        yield batch, piece
        summing = cpu() - began  # with what was made of the batch meanwhile


def _cpu_clock(candidate: Candidate) -> Callable[[], float]:
    """Return the clock of this thread, where others are at the next batches meanwhile; else that of all."""
    return time.process_time if streams_of(candidate) == 1 else time.thread_time


def _one_thread_for_sums(candidate: Candidate) -> AbstractContextManager[object]:
    """Keep NumPy's and SciPy's products to one thread while the next batches are at work on all cores."""
    if streams_of(candidate) == 1:
        return nullcontext()
    # not those of torch, which has its own
    limits: AbstractContextManager[object] = (
        ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    )
    return limits


def _select(
    candidate: Candidate, batch: Batch, sampler: Sampler, forward_cpu_seconds: float, cpu: Callable[[], float]
) -> Piece:
    start, cpu_start = time.perf_counter(), cpu()
    rows = sampler.rows(candidate, batch).to(batch.states.layers[0].device)
    features = [rows.select(hidden) for hidden in batch.states.layers]
    return Piece(
        features,
        rows.labels,
        rows.groups,
        batch.seconds,
        time.perf_counter() - start,
        forward_cpu_seconds,
        cpu() - cpu_start,
    )


def _flops_of_all(batch: Batch, utterances: Sequence[Utterance]) -> int | None:
    """Return the operations of the pass, from those of one batch, by seconds of speech."""
    if batch.flops is None:
        return None
    own = sum(samples(utterances[index]) for index in batch.indices)
    return round(batch.flops * sum(map(samples, utterances)) / own) if own else None


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
        self._pace = saving_pace()

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
        self._pace = saving_pace()

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
    key = key_of(candidate, utterances, sampler, settings)
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


def key_of(
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
