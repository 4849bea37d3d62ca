"""Which utterances go through a candidate together: those of nearly equal length, within a budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from foretune.models.candidate import Candidate
from foretune.tasks.utterance import SAMPLE_RATE, Utterance

CPU_BATCH_SECONDS = 16.0
"""Default budget of a batch on a CPU, in seconds of speech and padding: more no longer helps a core, and
what it works on leaves the cache."""

WIDE = 512
"""Features a frame from which that is so with half as much speech."""

ACCELERATOR_BATCH_SECONDS = 60.0
"""Default budget elsewhere, at least."""

SECONDS_A_GIBIBYTE = 4.0
"""Budget for each GiB of a GPU's memory: the convolutions' first output, the greatest there is, takes some
30 MiB a second in all. Of 16 GiB on, more than the least."""

MOST_ACCELERATOR_BATCH_SECONDS = 240.0
"""More no longer helps: a batch then takes a GPU longer than a CPU takes to queue the next one."""


def default_batch_seconds(candidate: Candidate) -> float:
    """Return the budget of a batch where none is given."""
    device = candidate.device
    if device.type == "cuda":
        return cuda_batch_seconds(torch.cuda.get_device_properties(device).total_memory)
    if device.type != "cpu":
        return ACCELERATOR_BATCH_SECONDS
    return CPU_BATCH_SECONDS / (2 if max(candidate.dimensions) >= WIDE else 1)


def cuda_batch_seconds(memory: int) -> float:
    """Return the budget of a batch on a GPU with so many bytes of memory, in whole seconds."""
    seconds = math.floor(SECONDS_A_GIBIBYTE * memory / 2**30)
    return min(max(float(seconds), ACCELERATOR_BATCH_SECONDS), MOST_ACCELERATOR_BATCH_SECONDS)


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
