"""Where the labels of frames come from: the corpus's true times, or one alignment for all candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from foretune.extraction import Progress
from foretune.records import LabelOrigin
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData

from .aligned import Alignments, align
from .aligners import SHIPPED, load_aligner
from .labels import Silence, check_silence

Unit = Literal["frame", "utterance"]
"""A sample of a sequence task: a frame, or the mean over an utterance of the frames with one label."""


@dataclass(frozen=True, slots=True)
class Labelling:
    """How frames get their labels, and become samples (see docs/temporal_independence.md).

    Attributes:
        silence: what becomes of frames outside of every span.
        alignments: of the utterances that are scored on; None where they have true times of phones, or
            the task labels whole utterances.
        frame_stride: every so many of an utterance's labelled frames is a sample, from the first.
        unit: what a sample is.
    """

    silence: Silence = "drop"
    alignments: Alignments | None = None
    frame_stride: int = 1
    unit: Unit = "frame"

    def select(self, data: TaskData) -> TaskData:
        """Return the data without the training utterances that the alignment leaves out."""
        if self.alignments is None:
            return data
        return replace(data, train=[each for each in data.train if each.id in self.alignments.of])

    def origin(self) -> LabelOrigin | None:
        """Return the facts that a record of a score keeps; None where labels need no alignment."""
        if self.alignments is None:
            return None
        return LabelOrigin(
            aligner=self.alignments.aligner.name,
            aligner_revision=self.alignments.aligner.revision,
            silence=self.silence,
            aligned=len(self.alignments.of),
            left_out=len(self.alignments.left_out),
            mean_confidence=self.alignments.confidence,
            seconds=self.alignments.seconds,
        )


TRUE_TIMES = Labelling()
"""Labels from the corpus; frames outside of every phone are dropped."""


def label_frames(
    task: Task,
    data: TaskData,
    *,
    aligner: str | None = None,
    silence: str = "drop",
    frame_stride: int = 1,
    unit: str = "frame",
    device: str = "cpu",
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> Labelling:
    """Say how the frames of a task's training speech get their labels, aligning it where need be.

    Done once for all candidates; times are in seconds, so that each puts them onto its own frame grid.

    Args:
        task: what the data are for.
        data: its `train` part is aligned.
        aligner: as `load_aligner` takes it; by default the true times of phones, where all utterances
            have them, and otherwise the aligner that ships.
        silence: `drop`, `own-class` or `nearest`; see `labels.py`.
        frame_stride: take every so many frames, at least 1.
        unit: `frame` or `utterance`; see `Unit`.
        device: a torch device for the aligner.
        progress: called after each utterance with seconds of speech done and in all.
        report: called with a line on the alignment.

    Raises:
        InputError: there is no such aligner or policy, the task has no use for one, or no utterance
            can be aligned.
    """
    policy = check_silence(silence)
    if frame_stride < 1:
        raise InputError(
            f"--frame-stride {frame_stride}: give 1 for every frame, 2 for every second, and so on"
        )
    if unit not in get_args(Unit):
        raise InputError(f"--unit {unit}: give {', '.join(get_args(Unit))}")
    if task.kind != "sequence":
        if aligner is not None:
            raise InputError(f"--aligner {aligner}: {task.name} labels whole utterances; leave it out")
        return TRUE_TIMES
    if aligner is None and all(utterance.phones for utterance in data.train):
        return Labelling(policy, None, frame_stride, cast(Unit, unit))
    if not data.train:
        raise InputError(f"{task.name}: there is no training utterance to align")
    made = align(data.train, load_aligner(aligner or SHIPPED, device=device), progress=progress)
    if report is not None:
        report(made.remark())
    return Labelling(policy, made, frame_stride, cast(Unit, unit))
