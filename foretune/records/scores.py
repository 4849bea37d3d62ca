"""Estimators' scores of layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .schema import RecordBase


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


class ScoreRecord(RecordBase):
    """One estimator's score of one layer of one candidate.

    Attributes:
        layer: 0 is what enters the first transformer layer.
        score: higher predicts better transfer; None where there is none, and `error` says why.
        standard_error: over groups of utterances (see `estimators.jackknife`); None where not known.
        group_errors: each group's part in it, signed; None likewise.
        parameters: of the encoder cut after this layer; None where not known.
        dtype: precision of the forward pass.
        batch_seconds: most seconds of speech and padding in a forward pass.
        load_seconds: that loading the candidate took; None where it was not loaded by name.
        forward_seconds: of reading speech and of the forward passes, shared by all layers.
        accumulate_seconds: of gathering what the estimator needs, shared by all layers.
        score_seconds: of the estimator itself on this layer.
        forward_cpu_seconds: of all threads of this process, as for each of the three above; None where not
            measured.
        accumulate_cpu_seconds: likewise.
        score_cpu_seconds: likewise.
        forward_flops: floating-point operations of the forward passes (`foretune.flops`), shared by all
            layers; None where not counted.
        accumulate_flops: of the products of the statistics, shared by all layers; likewise.
        score_flops: of the estimator itself: 0 where it looks at no features, else not counted.
        peak_memory_bytes: most memory in use by then: on the accelerator, or of the whole process.
    """

    kind: Literal["score"] = "score"
    model_revision: str
    layer: int
    estimator: str
    score: float | None
    standard_error: float | None = None
    group_errors: list[float] | None = None
    parameters: int | None = None
    dtype: str = "float32"
    batch_seconds: float | None = None
    frame_stride: int = 1
    unit: Literal["frame", "utterance"] = "frame"
    error: str = ""
    seed: int
    utterances: int
    samples: int
    labels: LabelOrigin | None = None
    load_seconds: float | None = None
    forward_seconds: float
    accumulate_seconds: float
    score_seconds: float
    forward_cpu_seconds: float | None = None
    accumulate_cpu_seconds: float | None = None
    score_cpu_seconds: float | None = None
    forward_flops: int | None = None
    accumulate_flops: int | None = None
    score_flops: int | None = None
    peak_memory_bytes: int | None = None

    def with_error(self, standard_error: float, group_errors: Iterable[float]) -> ScoreRecord:
        """Return the same score with its standard error, and each group's part in that."""
        known = {"standard_error": standard_error, "group_errors": list(group_errors)}
        return self.model_copy(update=known)

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """Return which cell of the grid this is."""
        return (self.suite, self.task, self.model, self.layer, self.estimator)
