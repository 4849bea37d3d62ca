"""Batches side by side on a CPU: a thread for each, with one core, instead of one batch on all cores.

Within a forward pass threads wait for each other after every operation, and an operation on one short
utterance is hardly worth sharing. Batches have nothing to wait for, and each is computed by one core, so that
features do not depend on how many there are.
"""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

import torch

from foretune.models.candidate import Candidate

MOST_STREAMS = 8
"""More batches at a time would take much memory; with more cores, several work on each."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def streams_of(candidate: Candidate) -> int:
    """Return how many batches a candidate computes at a time."""
    if candidate.device.type != "cpu" or not candidate.copies:
        return 1
    return min(torch.get_num_threads(), MOST_STREAMS)


def in_streams(
    candidate: Candidate,
    items: Iterable[_Item],
    work: Callable[[Candidate, _Item], _Result],
    streams: int,
) -> Iterator[_Result]:
    """Yield the result of each item, in order, while the next ones are at work.

    Args:
        candidate: that computes; each stream has a copy, which shares its weights.
        items: taken when a stream is about to be free.
        work: called with a copy and an item, in a thread of its own that has its share of the cores.
        streams: how many items are at work at a time; one needs no thread. With more, what the caller does
            meanwhile has one core of torch's.
    """
    if streams == 1:
        for item in items:
            yield work(candidate, item)
        return
    threads = torch.get_num_threads()
    idle: SimpleQueue[Candidate] = SimpleQueue()
    for _ in range(streams):
        idle.put(copy_of(candidate))

    def run(item: _Item) -> _Result:
        own = idle.get()
        try:
            return work(own, item)
        finally:
            idle.put(own)

    pool = ThreadPoolExecutor(
        streams, "foretune-stream", initializer=torch.set_num_threads, initargs=(threads // streams,)
    )
    at_work: deque[Future[_Result]] = deque()
    torch.set_num_threads(1)  # the streams have all cores; a second thread would wait for one of them
    try:
        for item in items:
            at_work.append(pool.submit(run, item))
            if len(at_work) > streams:
                yield at_work.popleft().result()
        while at_work:
            yield at_work.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the number that later threads begin with is the process's


def queues(candidate: Candidate) -> bool:
    """Return whether a candidate's device computes by itself what it has been given, as a GPU does."""
    return candidate.device.type == "cuda"


def one_ahead(results: Iterable[_Result]) -> Iterator[_Result]:
    """Yield each result when the next one has been begun: an accelerator has work while its caller is busy.

    Where beginning the next one fails, what is there is yielded first.
    """
    begun: deque[_Result] = deque()
    try:
        for result in results:
            begun.append(result)
            if len(begun) > 1:
                yield begun.popleft()
    except Exception:
        yield from begun
        raise
    yield from begun


def copy_of(candidate: Candidate) -> Candidate:
    """Return a deep copy that shares the weights."""
    weights = itertools.chain(candidate.module.parameters(), candidate.module.buffers())
    return copy.deepcopy(candidate, {id(tensor): tensor for tensor in weights})
