"""Long recordings: cut into overlapping windows, whose frames are joined into one sequence again.

Windows start at multiples of the candidate's stride, so that their frames lie on the grid of the whole
recording. They are equally long (but for the last one's odd samples) and evenly spread. A frame that two
windows hold is taken from the window whose centre is nearer, the earlier one where both are as near; so
each frame that is kept lies at least half an overlap away from where its window was cut.

What joins exactly and what does not: where features depend on nearby samples alone, frames are those of
the whole recording. What a candidate computes over all it hears (attention, norms over time, the
standardised waveform) it computes over the window, as over any utterance of that length.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foretune.models.candidate import Candidate, HiddenStates

WINDOW_SECONDS = 30.0
"""Longer recordings are cut: attention takes time and memory quadratic in the length."""

OVERLAP_SECONDS = 4.0
"""Of neighbouring windows, at least; no more than a quarter of a window. Half of it is beyond the reach
of the convolutions that encode positions (wav2vec 2.0's see 1.3 s to either side)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording, in samples, half-open, and the frame of the recording it starts at."""

    start: int
    stop: int
    first_frame: int


def longest_whole(candidate: Candidate, window_seconds: float = WINDOW_SECONDS) -> int:
    """Return the samples of the longest recording that is not cut."""
    most = int(window_seconds * candidate.sample_rate)
    return most if candidate.longest is None else min(most, candidate.longest)


def cut(candidate: Candidate, samples: int, window_seconds: float = WINDOW_SECONDS) -> list[Window]:
    """Return the windows of a recording; one, the whole, where it is short enough.

    Args:
        candidate: tells the frame grid, and the most samples that it takes.
        samples: of the recording.
        window_seconds: of the longest window; the candidate's own limit holds too.
    """
    stride = candidate.grid.stride
    most = longest_whole(candidate, window_seconds)
    if samples <= most:
        return [Window(0, samples, 0)]
    length = max(most // stride, 1)  # in strides, as all below
    overlap = min(int(OVERLAP_SECONDS * candidate.sample_rate) // stride, length // 4)
    last = math.ceil(samples / stride) - length
    count = 1 + math.ceil(last / (length - overlap))
    starts = [last * number // (count - 1) for number in range(count)]
    return [Window(start * stride, min((start + length) * stride, samples), start) for start in starts]


def join(windows: Sequence[Window], states: Sequence[HiddenStates]) -> HiddenStates:
    """Return one recording's hidden states from those of its windows.

    Args:
        windows: as `cut` gave them.
        states: of the windows in order, in batches of any size.

    Returns:
        Layers of shape (1, frames, dimension).
    """
    lengths = [int(length) for batch in states for length in batch.lengths]
    kept = _kept([window.first_frame for window in windows], lengths)
    layers: list[Tensor] = []
    for depth in range(len(states[0].layers)):
        rows = itertools.chain.from_iterable(batch.layers[depth] for batch in states)
        layers.append(torch.cat([row[own] for row, own in zip(rows, kept, strict=True)])[None])
    total = torch.tensor([layers[0].shape[1]], device=states[0].lengths.device)
    return HiddenStates(layers, total)


def _kept(first_frames: Sequence[int], lengths: Sequence[int]) -> list[slice]:
    """Return which of its own frames each window gives: those that are nearest to its centre."""
    pairs = list(zip(first_frames, lengths, strict=True))
    # twice the centres' mean is a whole number; a frame on the boundary goes to the earlier window
    doubled = [2 * first + length - 1 for first, length in pairs]
    bounds = [(one + other) // 4 + 1 for one, other in itertools.pairwise(doubled)]
    ends = [*bounds, pairs[-1][0] + pairs[-1][1]]
    return [
        slice(start - first, end - first)
        for (first, _), start, end in zip(pairs, [0, *bounds], ends, strict=True)
    ]
