"""Hidden states of every layer, batch by batch, in one forward pass; never stored.

Utterances are taken in order of length, so that batches hold little padding, and a batch holds no
more samples, padding included, than its budget. The order does not depend on the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from foretune.models.candidate import Candidate, HiddenStates
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import SAMPLE_RATE, Utterance

BATCH_SECONDS = 60.0
"""Default budget of a batch, in seconds of speech and padding."""

Progress = Callable[[int, int], None]
"""Called with the number of utterances done and the number in all."""


@dataclass(slots=True)
class Batch:
    """What a candidate makes of a few utterances.

    Attributes:
        indices: of the utterances, in the sequence that was given.
        states: their hidden states, on the candidate's device.
        seconds: reading, normalising and the forward pass took, wall time.
    """

    indices: list[int]
    states: HiddenStates
    seconds: float


def extract(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    *,
    batch_seconds: float = BATCH_SECONDS,
    progress: Progress | None = None,
) -> Iterator[Batch]:
    """Run a candidate over utterances, longest first, under `torch.inference_mode()`.

    Longest first, since what does not fit into memory should fail at once.

    Args:
        candidate: its module is in evaluation mode.
        utterances: each is read once, when its batch's turn comes.
        batch_seconds: most seconds of speech and padding in a batch; an utterance that is longer
            makes a batch by itself.
        progress: called after each batch.

    Yields:
        Batches that cover every utterance once.

    Raises:
        InputError: an utterance cannot be read, or is too short or too long for the candidate; the
            message names it.
        ValueError: `batch_seconds` is not positive.
    """
    if batch_seconds <= 0:
        raise ValueError(f"batch_seconds is {batch_seconds}; it must be positive")
    candidate.module.eval()
    done = 0
    for indices in batches_by_length([samples(utterance) for utterance in utterances], batch_seconds):
        start = time.perf_counter()
        waveforms = [_read(candidate, utterances[index]) for index in indices]
        with torch.inference_mode():  # not around the yield: it would hold for the caller too
            states = candidate.forward(candidate.batch(waveforms))
        if candidate.device.type == "cuda":
            torch.cuda.synchronize(candidate.device)
        yield Batch(indices, states, time.perf_counter() - start)
        done += len(indices)
        if progress is not None:
            progress(done, len(utterances))


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


def batches_by_length(lengths: Sequence[int], batch_seconds: float) -> Iterator[list[int]]:
    """Yield the indices of batches, longest first; equal lengths stay in order.

    Args:
        lengths: samples of each utterance.
        batch_seconds: most seconds of speech and padding in a batch.
    """
    budget = batch_seconds * SAMPLE_RATE
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _read(candidate: Candidate, utterance: Utterance) -> NDArray[np.float32]:
    waveform = utterance.waveform()
    reason = candidate.refusal(len(waveform))
    if reason is not None:
        raise InputError(f"{utterance.id}: {reason}")
    return waveform
