"""Which utterances go through a candidate together: those of nearly equal length, within a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from foretune.models.candidate import Candidate
from foretune.tasks.utterance import SAMPLE_RATE, Utterance

CPU_BATCH_SECONDS = 16.0
"""Default budget of a batch on a CPU, in seconds of speech and padding: more no longer helps a core, and
what it works on leaves the cache."""

WIDE = 512
"""Features a frame from which that is so with half as much speech."""

ACCELERATOR_BATCH_SECONDS = 60.0
"""Default budget elsewhere."""


def default_batch_seconds(candidate: Candidate) -> float:
    """Return the budget of a batch where none is given."""
    if candidate.device.type != "cpu":
        return ACCELERATOR_BATCH_SECONDS
    return CPU_BATCH_SECONDS / (2 if max(candidate.dimensions) >= WIDE else 1)


def samples(utterance: Utterance) -> int:
    """Return how many samples at 16 kHz an utterance has, by its file's header, without reading it.

    0 where the file cannot be read; reading it then tells why.
    """
    if isinstance(utterance.audio, np.ndarray):
        return len(utterance.audio)
    import soundfile

    try:
        header = soundfile.info(utterance.audio)
    except (soundfile.SoundFileError, OSError):
        return 0
    return int(header.frames * SAMPLE_RATE / header.samplerate)


def batches_by_length(
    lengths: Sequence[int], batch_seconds: float, longest_whole: float = math.inf
) -> Iterator[list[int]]:
    """Yield the indices of batches, longest first; equal lengths stay in order.

    Args:
        lengths: samples of each utterance.
        batch_seconds: most seconds of speech and padding in a batch.
        longest_whole: what has more samples goes by itself, to be cut.
    """
    budget = batch_seconds * SAMPLE_RATE
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        first = lengths[batch[0]] if batch else 0
        if batch and ((len(batch) + 1) * first > budget or first > longest_whole):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
