"""Where an encoder's frames lie in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WAVEFORM_RATE = 16_000
"""Hz of the waveforms that candidates are given, whatever rate they work at themselves."""


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """An encoder's own frame grid, at the rate that the encoder takes.

    Attributes:
        stride: samples from one frame to the next.
        receptive_field: samples that one frame sees.
        offset: sample at which the first frame's receptive field begins (negative where the
            encoder pads on the left).
        sample_rate: in Hz; stride, receptive field and offset are counted at it.
        shortest: samples that give one frame. By default what the receptive field says: of an unpadded
            stack (offset not below 0), a frame counts whose receptive field lies inside the waveform;
            of one that pads, a frame whose centre does. Any stack of convolutions, poolings and
            windows has one such number, and gives a frame more for each further `stride` samples.
    """

    stride: int
    receptive_field: int
    offset: int = 0
    sample_rate: int = WAVEFORM_RATE
    shortest: int | None = None

    @classmethod
    def of_convolutions(
        cls, kernels: Sequence[int], strides: Sequence[int], *, sample_rate: int = WAVEFORM_RATE
    ) -> FrameGrid:
        """Return the grid of a stack of unpadded convolutions over the waveform.

        >>> grid = FrameGrid.of_convolutions([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
        >>> grid.stride, grid.receptive_field
        (320, 400)
        """
        stride, field = 1, 1
        for kernel, step in zip(kernels, strides, strict=True):
            field += (kernel - 1) * stride
            stride *= step
        return cls(stride, field, sample_rate=sample_rate)

    @property
    def first_frame_needs(self) -> int:
        """Return how many samples, at the encoder's own rate, give one frame."""
        if self.shortest is not None:
            return self.shortest
        if self.offset < 0:
            return math.floor(self.offset + self.receptive_field / 2) + 1
        return self.offset + self.receptive_field

    @property
    def seconds(self) -> float:
        """Return the stride in seconds."""
        return self.stride / self.sample_rate

    def frames(self, samples: int) -> int:
        """Return how many frames a waveform of so many samples at 16 kHz gives.

        >>> FrameGrid(stride=320, receptive_field=400).frames(16_000)
        49
        >>> FrameGrid(stride=320, receptive_field=1040, offset=-520).frames(16_000)
        50
        >>> FrameGrid(stride=320, receptive_field=320, sample_rate=24_000).frames(16_000)
        75
        """
        if samples < 1:
            return 0
        return max(0, (self.native(samples) - self.first_frame_needs) // self.stride + 1)

    def native(self, samples: int) -> int:
        """Return how many samples at the encoder's own rate come of so many at 16 kHz."""
        return -(-samples * self.sample_rate // WAVEFORM_RATE)

    def centres(self, frames: int) -> NDArray[np.float64]:
        """Return the centre of each frame's receptive field, in seconds, shape (frames,)."""
        first = self.offset + self.receptive_field / 2
        return (first + self.stride * np.arange(frames)) / self.sample_rate
