"""What one pass of speech through a candidate leaves of every layer, for the estimators to score from.

Features are dropped batch by batch; what stays is of a size that does not depend on the amount of speech.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foretune.estimators import Estimator, Moments, Reservoir, Samples
from foretune.estimators.device_sums import on_accelerator
from foretune.estimators.labels import Encoded
from foretune.estimators.validation import all_finite, as_features, as_tensor, check_finite
from foretune.extraction import Progress
from foretune.flops import flops_of_moments
from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError

MAX_SAMPLES = 2048
"""Rows that are kept of each layer for the estimators that need samples."""

GATHERED_NUMBERS = 2**19
"""Features of a layer that wait before they are summed (2 MiB in float32): batches are short, and a product
of many rows takes little longer than one of few, above all where rows fall into groups and classes. An
accelerator's batches are long enough, and do not wait."""


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
        forward_cpu_seconds: of all threads, since the batch before.
        select_cpu_seconds: likewise of choosing.
        forward_flops: of the whole pass, as its first batch lets expect; None in others.
    """

    features: list[Any]
    labels: Any
    groups: Any
    forward_seconds: float
    select_seconds: float
    forward_cpu_seconds: float
    select_cpu_seconds: float
    forward_flops: int | None = None


@dataclass(slots=True)
class Evidence:
    """What one pass over speech leaves of it: statistics of each layer, and what they cost.

    CPU seconds are those of all threads; operations are None where they were not counted. Features, labels
    and groups of the latest batches wait until there are `GATHERED_NUMBERS`, or `finish` is called; where
    that happens does not depend on what a cache has saved meanwhile.
    """

    model: str = ""
    moments: list[Moments] = field(default_factory=list)
    class_moments: list[Moments] = field(default_factory=list)
    reservoir: Reservoir | None = None
    samples: list[Samples] = field(default_factory=list)
    waiting: list[tuple[list[Any], Any, Any]] = field(default_factory=list)
    utterances: int = 0
    rows: int = 0
    forward_seconds: float = 0.0
    moments_seconds: float = 0.0
    samples_seconds: float = 0.0
    forward_cpu_seconds: float = 0.0
    moments_cpu_seconds: float = 0.0
    samples_cpu_seconds: float = 0.0
    forward_flops: int | None = None

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
            evidence.reservoir = Reservoir(MAX_SAMPLES, seed)
        return evidence

    def add(self, piece: Piece, cpu: Callable[[], float] = time.process_time) -> None:
        """Add what a batch gives.

        Args:
            piece: of the batch.
            cpu: the clock of this work, where other threads are at the next batch meanwhile.

        Raises:
            InputError: a feature cannot be used; the message names model and layer.
        """
        start, cpu_start = time.perf_counter(), cpu()
        features = self._checked(piece.features)
        self.waiting.append((features, piece.labels, piece.groups))
        self.rows += len(piece.groups)
        self.forward_seconds += piece.forward_seconds
        self.forward_cpu_seconds += piece.forward_cpu_seconds
        if self.forward_flops is None:
            self.forward_flops = piece.forward_flops
        seconds = piece.select_seconds + time.perf_counter() - start
        self._count(seconds, piece.select_cpu_seconds + cpu() - cpu_start)
        waiting = sum(len(groups) for *_, groups in self.waiting) * max(each.shape[1] for each in features)
        if waiting >= GATHERED_NUMBERS or on_accelerator(features[0]):
            self._sum(cpu)

    def _checked(self, features: Sequence[Any]) -> list[Any]:
        """Return a batch's features, (N, D) of each layer, as what sums and samples take."""
        # of all layers at once where one look at each would be a wait for the device
        finite, checked = all_finite(features), []
        for layer, given in enumerate(features):
            try:
                matrix = as_tensor(given) if on_accelerator(given) else as_features(given)
                if not finite:
                    check_finite(matrix)
            except ValueError as error:
                raise self._refusal(layer, error) from None
            checked.append(matrix)
        return checked

    def _refusal(self, layer: int, error: ValueError) -> InputError:
        return InputError(f"{self.model}: layer {layer}: {error}; the weights may be damaged")

    def _count(self, seconds: float, cpu_seconds: float) -> None:
        """Count time that moments alone would take, and samples alone as well."""
        if self.moments or self.class_moments:
            self.moments_seconds += seconds
            self.moments_cpu_seconds += cpu_seconds
        if self.reservoir is not None:
            self.samples_seconds += seconds
            self.samples_cpu_seconds += cpu_seconds

    def _sum(self, cpu: Callable[[], float]) -> None:
        """Add what is waiting to the sums and the samples."""
        start, cpu_start = time.perf_counter(), cpu()
        of_batches, labels_of_batches, groups_of_batches = zip(*self.waiting, strict=True)
        self.waiting = []
        layers = [_joined(batches) for batches in zip(*of_batches, strict=True)]
        labelled = labels_of_batches[0] is not None
        labels = Encoded.of(np.concatenate(labels_of_batches), "labels") if labelled else None
        groups = Encoded.of(np.concatenate(groups_of_batches), "groups")
        self._count(time.perf_counter() - start, cpu() - cpu_start)

        start, cpu_start = time.perf_counter(), cpu()
        for layer, features in enumerate(layers):
            for moments in (*self.moments[layer : layer + 1], *self.class_moments[layer : layer + 1]):
                try:
                    moments.update(features, labels, groups if moments.grouped else None, finite=True)
                except ValueError as error:
                    raise self._refusal(layer, error) from None
        if self.moments or self.class_moments:
            self.moments_seconds += time.perf_counter() - start
            self.moments_cpu_seconds += cpu() - cpu_start

        start, cpu_start = time.perf_counter(), cpu()
        if self.reservoir is not None:
            self.reservoir.update_layers(layers, labels, groups, finite=True)
            self.samples_seconds += time.perf_counter() - start
            self.samples_cpu_seconds += cpu() - cpu_start

    def finish(self, candidate: Candidate) -> None:
        """Add what is still waiting, and take the samples, once the pass is over.

        The sums that a GPU still has to do are waited for; those of earlier batches are done beside later
        ones' forward passes, in whose seconds they count.
        """
        if self.waiting:
            self._sum(time.process_time)
        if candidate.device.type == "cuda":
            start = time.perf_counter()
            torch.cuda.synchronize(candidate.device)
            self.moments_seconds += time.perf_counter() - start
        if self.reservoir is not None:
            start, cpu_start = time.perf_counter(), time.process_time()
            self.samples, self.reservoir = self.reservoir.samples_of_layers(), None
            self.samples_seconds += time.perf_counter() - start
            self.samples_cpu_seconds += time.process_time() - cpu_start


def _joined(batches: Sequence[Any]) -> Any:
    """Return the rows of several batches; those of one as they are, on their device."""
    return batches[0] if len(batches) == 1 else np.concatenate(batches)


def cost_of_passes(
    needs: frozenset[str], target: Evidence, source: Evidence, dimensions: Sequence[int]
) -> dict[str, Any]:
    """Return what the passes cost an estimator alone, all layers together, as fields of its records.

    Args:
        needs: of the estimator; empty where it hears no speech.
        target: of the training speech.
        source: of the source speech.
        dimensions: of each layer.
    """
    heard = [target, source] if "source" in needs else [target] if needs else []
    summed = [target] if "moments" in needs else []
    sampled = [target] if "samples" in needs else []
    sampled += [source] if "source" in needs else []
    flops = [each.forward_flops for each in heard]
    return {
        "forward_seconds": math.fsum(each.forward_seconds for each in heard),
        "forward_cpu_seconds": math.fsum(each.forward_cpu_seconds for each in heard),
        "forward_flops": None if None in flops else sum(each or 0 for each in flops),
        "accumulate_seconds": math.fsum(
            [*(each.moments_seconds for each in summed), *(each.samples_seconds for each in sampled)]
        ),
        "accumulate_cpu_seconds": math.fsum(
            [*(each.moments_cpu_seconds for each in summed), *(each.samples_cpu_seconds for each in sampled)]
        ),
        "accumulate_flops": sum(flops_of_moments(each.rows, dimensions) for each in summed),
    }
