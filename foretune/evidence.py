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

import torch

from foretune.estimators import Estimator, Moments, Reservoir, Samples
from foretune.estimators.labels import Encoded
from foretune.estimators.validation import all_finite
from foretune.extraction import Progress
from foretune.flops import flops_of_moments
from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError

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

    CPU seconds are those of all threads; operations are None where they were not counted.
    """

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
                evidence.reservoirs.append(Reservoir(MAX_SAMPLES, seed))
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
        labels = None if piece.labels is None else Encoded.of(piece.labels, "labels")
        groups = Encoded.of(piece.groups, "groups")
        # of all layers at once where one look at each would be a wait for the device
        finite = bool(piece.features) and all_finite(piece.features)
        layer = 0
        try:
            for layer, moments in enumerate(self.moments):
                own = groups if moments.grouped else None
                moments.update(piece.features[layer], labels, own, finite=finite)
            for layer, moments in enumerate(self.class_moments):
                moments.update(piece.features[layer], labels, finite=finite)
            updated, cpu_updated = time.perf_counter(), cpu()
            for layer, reservoir in enumerate(self.reservoirs):
                reservoir.update(piece.features[layer], labels, groups)
        except ValueError as error:
            raise InputError(f"{self.model}: layer {layer}: {error}; the weights may be damaged") from None
        self.rows += len(piece.groups)
        self.forward_seconds += piece.forward_seconds
        self.forward_cpu_seconds += piece.forward_cpu_seconds
        if self.forward_flops is None:
            self.forward_flops = piece.forward_flops
        if self.moments or self.class_moments:
            self.moments_seconds += piece.select_seconds + updated - start
            self.moments_cpu_seconds += piece.select_cpu_seconds + cpu_updated - cpu_start
        if self.reservoirs:
            self.samples_seconds += piece.select_seconds + time.perf_counter() - updated
            self.samples_cpu_seconds += piece.select_cpu_seconds + cpu() - cpu_updated

    def settle(self, candidate: Candidate) -> None:
        """Wait for the sums that a GPU still has to do, once the pass is over.

        Those of earlier batches are done beside later ones' forward passes, in whose seconds they count.
        """
        if candidate.device.type == "cuda":
            start = time.perf_counter()
            torch.cuda.synchronize(candidate.device)
            self.moments_seconds += time.perf_counter() - start

    def draw(self) -> None:
        """Take the samples from the reservoirs, once the pass is over."""
        start, cpu_start = time.perf_counter(), time.process_time()
        self.samples = [reservoir.samples() for reservoir in self.reservoirs]
        self.reservoirs = []
        self.samples_seconds += time.perf_counter() - start
        self.samples_cpu_seconds += time.process_time() - cpu_start


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
