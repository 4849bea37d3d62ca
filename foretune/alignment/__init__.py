"""Forced alignment: from transcripts to labels of frames.

`align(utterances, load_aligner())` says when each word and letter was spoken, in seconds; `frame_labels`
puts that onto an encoder's own frame grid; `check_no_leak` refuses labels from a model under evaluation.
"""

from __future__ import annotations

from .aligned import LEAST_CONFIDENCE, Aligned, AlignedSpan, Alignments, align, align_text
from .aligners import SHIPPED, Aligner, CtcAligner, Identity, load_aligner
from .forced import STAR_TOKEN, forced_align
from .labelling import TRUE_TIMES, Labelling, label_frames
from .labels import SILENCE, Silence, frame_labels
from .leaks import check_no_leak
from .normalise import STAR, Transcript, normalise

__all__ = [
    "LEAST_CONFIDENCE",
    "SHIPPED",
    "SILENCE",
    "STAR",
    "STAR_TOKEN",
    "TRUE_TIMES",
    "Aligned",
    "AlignedSpan",
    "Aligner",
    "Alignments",
    "CtcAligner",
    "Identity",
    "Labelling",
    "Silence",
    "Transcript",
    "align",
    "align_text",
    "check_no_leak",
    "forced_align",
    "frame_labels",
    "label_frames",
    "load_aligner",
    "normalise",
]
