"""Estimators' scores of layers."""

from __future__ import annotations

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
