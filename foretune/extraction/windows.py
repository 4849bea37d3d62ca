"""Long recordings: cut into overlapping windows, whose frames are joined into one sequence again.

Windows start at multiples of the candidate's stride (in samples at 16 kHz: of the least number of
strides that takes a whole number of them), so that their frames lie on the grid of the whole
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
from fractions import Fraction

import torch
from torch import Tensor

from foretune.models.candidate import Candidate, HiddenStates
from foretune.tasks.utterance import SAMPLE_RATE

WINDOW_SECONDS = 30.0
"""Longer recordings are cut: attention takes time and memory quadratic in the length."""

OVERLAP_SECONDS = 4.0
"""Of neighbouring windows, at least; no more than a quarter of a window. Half of it is beyond the reach
of the convolutions that encode positions (wav2vec 2.0's see 1.3 s to either side)."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording.

    Attributes:
        start: its first sample, at 16 kHz.
        stop: the sample after its last.
        first_frame: the frame of the recording that is its first.
    """

    start: int
    stop: int
    first_frame: int


def longest_whole(candidate: Candidate, window_seconds: float = WINDOW_SECONDS) -> int:
    """Return the samples, at 16 kHz, of the longest recording that is not cut."""
    most = int(window_seconds * SAMPLE_RATE)
    return most if candidate.longest is None else min(most, candidate.longest)


def cut(candidate: Candidate, samples: int, window_seconds: float = WINDOW_SECONDS) -> list[Window]:
    """Return the windows of a recording; one, the whole, where it is short enough.

    Args:
        candidate: tells the frame grid, and the most samples that it takes.
        samples: of the recording, at 16 kHz.
        window_seconds: of the longest window; the candidate's own limit holds too.
    """
    most = longest_whole(candidate, window_seconds)
    if samples <= most:
        return [Window(0, samples, 0)]
    # a step is the least number of frames that takes a whole number of samples: one frame at 16 kHz
    stride = Fraction(candidate.grid.stride * SAMPLE_RATE, candidate.grid.sample_rate)
    step, frames = stride.numerator, stride.denominator
    length = max(most // step, 1)  # in steps, as all below
    # an unpadded stack of convolutions gives some frames less than there are strides
    lost = math.ceil(max(0, length * frames - candidate.grid.frames(length * step)) / frames)
    length = max(length, lost + 1)
    overlap = max(min(int(OVERLAP_SECONDS * SAMPLE_RATE) // step, length // 4), lost)
    last = math.ceil(samples / step) - length
    count = 1 + math.ceil(last / (length - overlap))
    starts = [last * number // (count - 1) for number in range(count)]
    return [Window(start * step, min((start + length) * step, samples), start * frames) for start in starts]


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
