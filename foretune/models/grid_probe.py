"""An encoder's frame grid, found by trying.

How many frames a waveform gives is counted, which yields the stride and the samples that the first
frame needs, exactly. What a frame sees is found by the gradient of a frame in the middle with regard
to the module's input: where it is not zero. Norms over time would spread it over the whole input, and
are passed by meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foretune.tasks.errors import InputError

from .frame_grid import FrameGrid

_SECONDS = 0.3  # of noise that is looked at first
_MOST_SECONDS = 16.0
_NORMS_OVER_TIME = (nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)


@dataclass(frozen=True, slots=True)
class InputFrames:
    """How a module's input frames lie on the waveform; one for each sample where it takes waveforms."""

    stride: int = 1
    window: int = 1
    offset: int = 0


def count_grid(frames: Callable[[int], int], sample_rate: int, longest: int | None = None) -> FrameGrid:
    """Find stride and first frame from a count of frames.

    Args:
        frames: of a waveform of so many samples.
        sample_rate: of these waveforms, in Hz.
        longest: samples that may be tried.

    Returns:
        A grid whose receptive field is only what the first frame needs.

    Raises:
        InputError: the count is not that of a grid.
    """
    start = int(_SECONDS * sample_rate)
    most = longest or int(_MOST_SECONDS * sample_rate)
    have = frames(start)
    while have < 3 and start < most:
        start = min(2 * start, most)
        have = frames(start)
    first = _least_samples(frames, have, 0, start)
    while True:
        bound = min(2 * start, most)
        if frames(bound) >= have + 3:
            break
        if bound == most:
            raise InputError(
                f"{have} frames from {start} samples, and hardly more from {most}; give the grid"
            )
        start = bound
    steps = [first]
    for more in (1, 2, 3):
        steps.append(_least_samples(frames, have + more, steps[-1], bound))
    strides = {after - before for before, after in itertools.pairwise(steps)}
    if len(strides) != 1 or 0 in strides:
        raise InputError(f"frames begin {sorted(strides)} samples apart, which is no grid; give the grid")
    stride = strides.pop()
    shortest = first - (have - 1) * stride
    return FrameGrid(stride, max(shortest, stride), 0, sample_rate, shortest)


def _least_samples(frames: Callable[[int], int], wanted: int, below: int, enough: int) -> int:
    """Return the fewest samples that give so many frames, by bisection."""
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if frames(middle) >= wanted else (middle, enough)
    return enough


def see(
    first_state: Callable[[Mapping[str, Tensor]], Tensor],
    inputs: Mapping[str, Tensor],
    key: str,
    axis: int,
    module: nn.Module,
) -> tuple[int, int, int, int]:
    """Find what a frame in the middle sees.

    Args:
        first_state: what enters the first layer, (1, frames, dimension), from the module's inputs.
        inputs: of one utterance.
        key: names the input that is speech.
        axis: its axis of time.
        module: whose norms over time are passed by.

    Returns:
        The frame, the number of frames, the first and the last input frame that it depends on.
    """
    speech = inputs[key].detach().clone().requires_grad_(True)
    hooks = [
        part.register_forward_hook(lambda _, args, __: args[0])
        for part in module.modules()
        if isinstance(part, _NORMS_OVER_TIME)
    ]
    try:
        with torch.enable_grad():
            state = first_state({**inputs, key: speech})
            frame = state.shape[1] // 2
            weights = torch.randn(state.shape[2], generator=torch.Generator().manual_seed(0))
            (gradient,) = torch.autograd.grad(
                (state[0, frame] * weights.to(state.device)).sum(), speech, allow_unused=True
            )
    finally:
        for hook in hooks:
            hook.remove()
    if gradient is None:
        raise InputError("what enters the first layer does not depend on the speech; give the grid")
    reached = gradient.movedim(axis, 0).flatten(1).abs().sum(1).nonzero().flatten()
    if len(reached) == 0:
        raise InputError("what enters the first layer does not depend on the speech; give the grid")
    return frame, state.shape[1], int(reached[0]), int(reached[-1])


def with_field(
    counted: FrameGrid, seen: tuple[int, int, int, int], inputs: InputFrames, input_frames: int
) -> FrameGrid:
    """Return a counted grid with the receptive field that was seen.

    Where a frame in the middle sees the input's first or last frame, there is attention or the like
    below the first layer; a frame is then taken to see its own stride only.
    """
    frame, _, first, last = seen
    if first == 0 or last == input_frames - 1:
        first = frame * counted.stride // inputs.stride
        last = first + max(counted.stride // inputs.stride, 1) - 1
    return FrameGrid(
        stride=counted.stride,
        receptive_field=(last - first) * inputs.stride + inputs.window,
        offset=inputs.offset + first * inputs.stride - frame * counted.stride,
        sample_rate=counted.sample_rate,
        shortest=counted.shortest,
    )
