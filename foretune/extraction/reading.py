"""Reading ahead: while a batch goes through the candidate, threads decode and resample the next ones.

Where an accelerator does the rest, they make the candidate's inputs, too (log-mel features, say), and send
them there: all that the host has to compute is done before its batch's turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

READERS = 2
"""Threads that read."""

ACCELERATOR_READERS = 6
"""The same, for an accelerator, which does in a moment what takes a core longer to read."""

BATCHES_AHEAD = 2
"""Batches that are read before they are needed: so much of the speech is in memory at a time."""

Waveforms = list[NDArray[np.float32]]
_Made = TypeVar("_Made")


def read_ahead(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    batches: Iterable[list[int]],
    make: Callable[[Waveforms], _Made],
    *,
    readers: int = READERS,
) -> Iterator[tuple[list[int], _Made]]:
    """Yield each batch's indices and what is made of its waveforms, in order.

    Args:
        candidate: says what it refuses.
        utterances: to be read.
        batches: indices of those that belong together.
        make: called with a batch's waveforms, in one of the threads.
        readers: how many threads there are.

    Raises:
        InputError: an utterance cannot be read, or is too short for the candidate; raised when its
            batch's turn comes, the same as if nothing were read ahead.
    """
    pool = ThreadPoolExecutor(readers, thread_name_prefix="foretune-reading")
    waiting: deque[tuple[list[int], Future[_Made]]] = deque()

    def collect(futures: list[Future[NDArray[np.float32]]]) -> _Made:
        # these were submitted before this, so all are done or at work: the pool cannot wait for itself
        return make([future.result() for future in futures])

    try:
        for indices in batches:
            read = [pool.submit(_read, candidate, utterances[index]) for index in indices]
            waiting.append((indices, pool.submit(collect, read)))
            if len(waiting) > BATCHES_AHEAD:
                yield _collected(*waiting.popleft())
        while waiting:
            yield _collected(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _collected(indices: list[int], made: Future[_Made]) -> tuple[list[int], _Made]:
    return indices, made.result()


def _read(candidate: Candidate, utterance: Utterance) -> NDArray[np.float32]:
    waveform = utterance.waveform()
    # what is too long is cut into windows
    most = len(waveform) if candidate.longest is None else min(len(waveform), candidate.longest)
    reason = candidate.refusal(most)
    if reason is not None:
        raise InputError(f"{utterance.id}: {reason}")
    return waveform
