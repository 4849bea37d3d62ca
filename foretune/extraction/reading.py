"""Reading ahead: while a batch goes through the candidate, threads decode and resample the next ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

READERS = 2
"""Threads that read."""

BATCHES_AHEAD = 2
"""Batches that are read before they are needed: so much of the speech is in memory at a time."""

Waveforms = list[NDArray[np.float32]]


def read_ahead(
    candidate: Candidate, utterances: Sequence[Utterance], batches: Iterable[list[int]]
) -> Iterator[tuple[list[int], Waveforms]]:
    """Yield each batch's indices and waveforms, in order.

    Raises:
        InputError: an utterance cannot be read, or is too short for the candidate; raised when its
            batch's turn comes, the same as if nothing were read ahead.
    """
    pool = ThreadPoolExecutor(READERS, thread_name_prefix="foretune-reading")
    waiting: deque[tuple[list[int], list[Future[NDArray[np.float32]]]]] = deque()
    try:
        for indices in batches:
            waiting.append((indices, [pool.submit(_read, candidate, utterances[index]) for index in indices]))
            if len(waiting) > BATCHES_AHEAD:
                yield _collected(*waiting.popleft())
        while waiting:
            yield _collected(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _collected(indices: list[int], futures: list[Future[NDArray[np.float32]]]) -> tuple[list[int], Waveforms]:
    return indices, [future.result() for future in futures]


def _read(candidate: Candidate, utterance: Utterance) -> NDArray[np.float32]:
    waveform = utterance.waveform()
    # what is too long is cut into windows
    most = len(waveform) if candidate.longest is None else min(len(waveform), candidate.longest)
    reason = candidate.refusal(most)
    if reason is not None:
        raise InputError(f"{utterance.id}: {reason}")
    return waveform
