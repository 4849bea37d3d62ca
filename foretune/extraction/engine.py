"""The forward pass over many utterances."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from foretune.flops import counted
from foretune.models.candidate import Candidate, HiddenStates
from foretune.tasks.utterance import SAMPLE_RATE, Utterance

from .batches import batches_by_length, default_batch_seconds, samples
from .precision import CHECKED, autocast, check_precision, compare_with_float32
from .reading import ACCELERATOR_READERS, READERS, Waveforms, read_ahead
from .streams import in_streams, one_ahead, queues, streams_of
from .windows import WINDOW_SECONDS, cut, join, longest_whole

Progress = Callable[[float, float], None]
"""Called with the seconds of speech done and those in all."""


@dataclass(slots=True)
class Batch:
    """What a candidate makes of a few utterances.

    Attributes:
        indices: of the utterances, in the sequence that was given.
        states: their hidden states, on the candidate's device; whole, also of what was cut into windows. The
            lengths are on the host.
        seconds: that the caller has waited for it, wall time: for reading, normalising and the forward pass,
            less what of these went on while the caller was busy. On a GPU, it is the wait for all that it
            has been given before, the caller's own work too.
        flops: floating-point operations of its forward pass, padding with it; None but in the first batch.
    """

    indices: list[int]
    states: HiddenStates
    seconds: float
    flops: int | None = None


def extract(
    candidate: Candidate,
    utterances: Sequence[Utterance],
    *,
    batch_seconds: float | None = None,
    window_seconds: float = WINDOW_SECONDS,
    dtype: str = "float32",
    skip_batches: int = 0,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[Batch]:
    """Run a candidate over utterances, longest first, under `torch.inference_mode()`.

    Longest first, since what does not fit into memory should fail at once. What is longer than a
    window makes a batch by itself, and is cut and joined (see `windows`).

    Args:
        candidate: its module is in evaluation mode.
        utterances: each is read once, shortly before its batch's turn comes.
        batch_seconds: most seconds of speech and padding in a forward pass; an utterance or window
            that is longer goes by itself. By default what suits the device.
        window_seconds: of the longest stretch of speech that goes through the candidate whole; less
            where the candidate takes less.
        dtype: one of `PRECISIONS`; half precision is checked against float32 on the first batch's first
            utterances, the longest there are.
        skip_batches: leave out so many batches, which an earlier run has done; the order of batches
            depends on the lengths of the utterances and on `batch_seconds` alone.
        progress: called after each batch; what is left out counts as done.
        report: called with a line on how near half precision is to float32.

    Yields:
        Batches that cover every utterance once.

    Raises:
        InputError: an utterance cannot be read, or is too short for the candidate (the message names
            it); half precision is too far from float32; or `dtype` is none of `PRECISIONS`.
        ValueError: `batch_seconds` or `window_seconds` is not positive.
    """
    if batch_seconds is None:
        batch_seconds = default_batch_seconds(candidate)
    for name, seconds in (("batch_seconds", batch_seconds), ("window_seconds", window_seconds)):
        if seconds <= 0:
            raise ValueError(f"{name} is {seconds}; it must be positive")
    check_precision(dtype)
    candidate.module.eval()
    lengths = [samples(utterance) for utterance in utterances]
    batches = list(batches_by_length(lengths, batch_seconds, longest_whole(candidate, window_seconds)))
    total = sum(lengths) / SAMPLE_RATE
    done = sum(lengths[index] for batch in batches[:skip_batches] for index in batch) / SAMPLE_RATE

    def begin(own: Candidate, item: tuple[bool, list[int], _Speech]) -> _Begun:
        first, indices, speech = item
        flops = None
        with torch.inference_mode():

            def listen() -> HiddenStates:
                return _forward(own, speech, batch_seconds, window_seconds, dtype)

            if first:
                states, flops = counted(listen)
            else:
                states = listen()
            if first and dtype != "float32":
                few = _Speech(speech.waveforms[:CHECKED])
                exact = _forward(own, few, batch_seconds, window_seconds, "float32")
                compare_with_float32(own, _first(states, exact), exact, dtype, report)
            lengths = states.lengths.to("cpu", non_blocking=own.device.type == "cuda")
        return _Begun(indices, replace(states, lengths=lengths), flops, _Done(own.device))

    queued = queues(candidate)
    ahead = queued and candidate.copies  # its inputs may be made in other threads

    def made_of(waveforms: Waveforms) -> _Speech:
        whole = len(cut(candidate, len(waveforms[0]), window_seconds)) == 1
        return _Speech(waveforms, candidate.batch(waveforms) if ahead and whole else None)

    read = read_ahead(
        candidate,
        utterances,
        batches[skip_batches:],
        made_of,
        readers=ACCELERATOR_READERS if ahead else READERS,
    )
    items = ((place == 0, *batch) for place, batch in enumerate(read))
    # of all batches, also those left out: a run that goes on computes as one that was never interrupted
    streams = min(streams_of(candidate), len(batches))
    begun = in_streams(candidate, items, begin, streams)
    if queued:
        begun = one_ahead(begun)
    start = time.perf_counter()
    for ready in begun:
        ready.done.wait()
        seconds = time.perf_counter() - start
        yield Batch(ready.indices, ready.states, seconds, ready.flops)
        done += sum(lengths[index] for index in ready.indices) / SAMPLE_RATE
        if progress is not None:
            progress(done, total)
        start = time.perf_counter()


@dataclass(frozen=True, slots=True)
class _Speech:
    """A batch's waveforms and, where they have been made ahead, the candidate's inputs."""

    waveforms: Waveforms
    inputs: dict[str, Tensor] | None = None


class _Done:
    """When a device has done all that it has been given so far."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Wait for it, not for what the device has been given since."""
        if self._event is not None:
            self._event.synchronize()


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that the device has been given."""

    indices: list[int]
    states: HiddenStates
    flops: int | None
    done: _Done


def _first(states: HiddenStates, other: HiddenStates) -> HiddenStates:
    """Return the first utterances of a batch, as many as the other holds of the same ones."""
    rows, frames = other.layers[0].shape[:2]
    return HiddenStates([layer[:rows, :frames] for layer in states.layers], states.lengths[:rows])


def _forward(
    candidate: Candidate,
    speech: _Speech,
    batch_seconds: float,
    window_seconds: float,
    dtype: str,
) -> HiddenStates:
    """Run the candidate over a batch, or over the windows of one long recording."""
    waveforms = speech.waveforms
    with autocast(candidate, dtype):
        if speech.inputs is not None:
            return candidate.forward(speech.inputs)
        windows = cut(candidate, len(waveforms[0]), window_seconds)
        if len(windows) == 1:
            return candidate.forward(candidate.batch(waveforms))
        pieces = [waveforms[0][window.start : window.stop] for window in windows]
        at_once = max(1, int(batch_seconds * SAMPLE_RATE / max(map(len, pieces))))
        parts = [pieces[i : i + at_once] for i in range(0, len(pieces), at_once)]
        return join(windows, [candidate.forward(candidate.batch(part)) for part in parts])
