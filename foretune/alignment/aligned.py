"""Aligned speech: when each word and letter was spoken, and how sure the aligner is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretune.extraction import Progress
from foretune.extraction.batches import samples
from foretune.models.frame_grid import FrameGrid
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import SAMPLE_RATE, Span, Utterance

from .aligners import Aligner, Identity, token_indices
from .forced import STAR_TOKEN, Path, forced_align
from .normalise import STAR, Transcript, normalise

LEAST_CONFIDENCE = -2.75
"""Utterances whose confidence is lower are left out; see `Aligned.confidence`. Guessing one of 27 tokens at
each frame gives -3.3. The aligner that ships has -1.2 on speech of its own kind, -2.1 on real speech, seldom
less than this; of wrong transcripts it finds only the worst."""


@dataclass(frozen=True, slots=True)
class AlignedSpan(Span):
    """A span with the aligner's confidence in it.

    Attributes:
        confidence: mean log-probability (natural) of its letters over its frames, at most 0; NaN for a
            span of stars alone.
    """

    confidence: float


@dataclass(frozen=True, slots=True)
class Aligned:
    """An aligned utterance.

    Attributes:
        id: of the utterance.
        words: in order, labelled as the transcript has them; each from its first letter to its last.
        tokens: letters and stars, in order; a span covers its frames, each a stride wide about its centre.
        confidence: mean natural log-probability per frame of what is aligned to it, over the frames that
            the alignment or the aligner's own likeliest token gives to a letter, so that speech which a
            wrong transcript leaves to silence counts; stars do not count; at most 0.
        dropped: characters of the transcript that were dropped.
        starred: characters that a star stands for.
    """

    id: str
    words: tuple[AlignedSpan, ...]
    tokens: tuple[AlignedSpan, ...]
    confidence: float
    dropped: str = ""
    starred: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times in seconds."""

        def plain(span: AlignedSpan) -> dict[str, Any]:
            sure = None if np.isnan(span.confidence) else round(span.confidence, 4)
            return {
                "label": span.label,
                "start": round(span.start, 4),
                "end": round(span.end, 4),
                "confidence": sure,
            }

        return {
            "id": self.id,
            "confidence": round(self.confidence, 4),
            "words": [plain(span) for span in self.words],
            "tokens": [plain(span) for span in self.tokens],
            "dropped": self.dropped,
            "starred": self.starred,
        }


@dataclass(frozen=True, slots=True)
class Alignments:
    """The alignment of a set of utterances, in seconds, for any frame grid.

    Attributes:
        aligner: which weights made it.
        of: the aligned utterances by id.
        left_out: why others were left out, by id.
        seconds: what it took.
    """

    aligner: Identity
    of: Mapping[str, Aligned]
    left_out: Mapping[str, str]
    seconds: float = 0.0

    @property
    def confidence(self) -> float:
        """Return the mean confidence of the aligned utterances."""
        return float(np.mean([each.confidence for each in self.of.values()]))

    def remark(self) -> str:
        """Return a line on how it went."""
        first = next(iter(self.left_out.items()), None)
        which = f" (the first, {first[0]}: {first[1]})" if first else ""
        return (
            f"letters aligned by {self.aligner.name} ({self.aligner.revision}) in {self.seconds:.1f} s: "
            f"{len(self.of)} utterances with a mean confidence of {self.confidence:.2f}, "
            f"{len(self.left_out)} left out{which}"
        )

    def lines(self) -> list[str]:
        """Return one line of JSON an utterance, aligned ones first, then those left out with the reason."""
        aligned = [each.as_dict() for each in self.of.values()]
        others = [{"id": name, "left_out": reason} for name, reason in self.left_out.items()]
        return [json.dumps(each, ensure_ascii=False) for each in [*aligned, *others]]


def align(
    utterances: Sequence[Utterance],
    aligner: Aligner,
    *,
    least_confidence: float = LEAST_CONFIDENCE,
    progress: Progress | None = None,
) -> Alignments:
    """Align utterances, leaving out what cannot be aligned well.

    Left out are utterances without a transcript or without a letter that the aligner knows, those whose
    transcript needs more frames than there are, and those aligned with too little confidence.

    Args:
        utterances: with transcripts.
        aligner: that listens to them.
        least_confidence: of an utterance that stays; see `Aligned.confidence`.
        progress: called after each utterance with seconds of speech done and in all.

    Raises:
        InputError: not one can be aligned, or an utterance cannot be read.
    """
    start = time.perf_counter()
    found: dict[str, Aligned] = {}
    left_out: dict[str, str] = {}
    ends = np.cumsum([samples(utterance) for utterance in utterances]) / SAMPLE_RATE
    for done, utterance in zip(ends, utterances, strict=True):
        waveform = utterance.waveform()
        try:
            aligned = align_text(utterance.id, waveform, utterance.text or "", aligner)
        except InputError as reason:
            left_out[utterance.id] = str(reason)
        else:
            if aligned.confidence >= least_confidence:
                found[utterance.id] = aligned
            else:
                left_out[utterance.id] = (
                    f"aligned with a confidence of {aligned.confidence:.2f}, less than {least_confidence:g}; "
                    "is the transcript right?"
                )
        if progress is not None:
            progress(float(done), float(ends[-1]))
    if not found:
        first = next(iter(left_out.items()), ("", "there is no utterance"))
        raise InputError(
            f"aligner {aligner.identity.name}: not one of {len(utterances)} utterances could be aligned; "
            f"the first, {first[0]}: {first[1]}"
        )
    return Alignments(aligner.identity, found, left_out, time.perf_counter() - start)


def align_text(name: str, waveform: NDArray[np.float32], text: str, aligner: Aligner) -> Aligned:
    """Align one transcript with one waveform.

    Args:
        name: of the utterance.
        waveform: shape (samples,), 16 kHz.
        text: what is said, in any writing.
        aligner: that listens.

    Raises:
        InputError: the transcript has no letter that the aligner knows, or more than there are frames.
    """
    transcript = normalise(text, aligner.letters)
    if transcript.letters == 0:
        unknown = (
            f" but {transcript.starred!r}, which the aligner does not write" if transcript.starred else ""
        )
        raise InputError(f"the transcript has no letter{unknown}; there is nothing to align")
    spelt = [word.tokens for word in transcript.words]
    indices = token_indices(aligner, spelt, STAR, STAR_TOKEN)
    log_probs = aligner.log_probs(waveform)
    path = forced_align(log_probs, indices, blank=aligner.blank)
    tokens, words = _spans(transcript, path, aligner, len(waveform) / SAMPLE_RATE)
    confidence = _confidence(path, np.asarray(indices), log_probs, aligner)
    return Aligned(name, words, tokens, confidence, transcript.dropped, transcript.starred)


def _confidence(
    path: Path, indices: NDArray[np.int64], log_probs: NDArray[np.float32], aligner: Aligner
) -> float:
    """Return the mean over frames of speech, by the path or by the aligner alone; see `Aligned`."""
    silent = [aligner.blank] if aligner.delimiter is None else [aligner.blank, aligner.delimiter]
    heard = ~np.isin(log_probs.argmax(axis=1), silent)
    token = np.where(path.tokens < 0, aligner.blank, indices[path.tokens])
    counted = (heard | ~np.isin(token, silent)) & (token != STAR_TOKEN)
    return float(path.log_probs[counted].mean())


def _spans(
    transcript: Transcript, path: Path, aligner: Aligner, seconds: float
) -> tuple[tuple[AlignedSpan, ...], tuple[AlignedSpan, ...]]:
    """Turn a path into spans of letters and of words; tokens between words are passed over."""
    edges = frame_edges(aligner.grid, len(path.tokens), seconds)
    between = 0 if aligner.delimiter is None else 1
    position = 0
    tokens: list[AlignedSpan] = []
    words: list[AlignedSpan] = []
    for word in transcript.words:
        first = len(tokens)
        own: list[NDArray[np.float64]] = []
        for token in word.tokens:
            (frames,) = np.nonzero(path.tokens == position)
            log_probs = path.log_probs[frames]
            sure = float("nan") if token == STAR else float(log_probs.mean())
            tokens.append(AlignedSpan(float(edges[frames[0]]), float(edges[frames[-1] + 1]), token, sure))
            own += [] if token == STAR else [log_probs]
            position += 1
        position += between
        sure = float(np.concatenate(own).mean()) if own else float("nan")
        words.append(AlignedSpan(tokens[first].start, tokens[-1].end, word.written, sure))
    return tuple(tokens), tuple(words)


def frame_edges(grid: FrameGrid, frames: int, seconds: float) -> NDArray[np.float64]:
    """Return the times between frames, in seconds, shape (frames + 1,).

    A frame covers a stride about the centre of its receptive field; what the first and last frames see
    beyond that is theirs too.

    >>> frame_edges(FrameGrid(stride=320, receptive_field=400), 3, 0.07)
    array([0.    , 0.0225, 0.0425, 0.07  ])
    """
    half = grid.stride / grid.sample_rate / 2
    edges = np.append(grid.centres(frames) - half, grid.centres(frames)[-1:] + half)
    edges[0], edges[-1] = 0.0, seconds
    return edges
