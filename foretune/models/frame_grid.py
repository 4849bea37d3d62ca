"""Where an encoder's frames lie in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """An encoder's own frame grid.

    Attributes:
        stride: samples from one frame to the next.
        receptive_field: samples that one frame sees.
        offset: sample at which the first frame's receptive field begins (negative where the
            encoder pads on the left).
        sample_rate: in Hz.
    """

    stride: int
    receptive_field: int
    offset: int = 0
    sample_rate: int = 16_000

    @classmethod
    def of_convolutions(cls, kernels: Sequence[int], strides: Sequence[int]) -> FrameGrid:
        """Return the grid of a stack of unpadded convolutions over the waveform.

        >>> FrameGrid.of_convolutions([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])
        FrameGrid(stride=320, receptive_field=400, offset=0, sample_rate=16000)
        """
        stride, field = 1, 1
        for kernel, step in zip(kernels, strides, strict=True):
            field += (kernel - 1) * stride
            stride *= step
        return cls(stride, field)

    def frames(self, samples: int) -> int:
        """Return how many frames a waveform of so many samples gives.

        Of an unpadded stack, those whose receptive field lies inside the waveform. Of one that pads
        (offset below 0), those whose centre does.

        >>> FrameGrid(stride=320, receptive_field=400).frames(16_000)
        49
        >>> FrameGrid(stride=320, receptive_field=1040, offset=-520).frames(16_000)
        50
        """
        if self.offset < 0:
            first_centre = self.offset + self.receptive_field / 2
            return max(0, math.ceil((samples - first_centre) / self.stride))
        return max(0, (samples - self.offset - self.receptive_field) // self.stride + 1)

    def centres(self, frames: int) -> NDArray[np.float64]:
        """Return the centre of each frame's receptive field, in seconds, shape (frames,)."""
        first = self.offset + self.receptive_field / 2
        return (first + self.stride * np.arange(frames)) / self.sample_rate
