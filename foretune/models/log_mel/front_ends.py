"""From a waveform to frames of 40 ms."""

from __future__ import annotations

import functools

import torch
import torchaudio
from torch import Tensor, nn

from foretune.models.frame_grid import WAVEFORM_RATE, FrameGrid

from .configuration import LogMelConfig

HOP, WINDOW = 160, 400
"""Samples, of the log-mel frames."""
STACKED = 4
"""Log-mel frames in a frame."""
_FLOOR = 1e-2
"""Added to the energies; a waveform of unit variance has some 100 to 10,000 in a band."""


def log_mel(waveforms: Tensor, bands: int) -> Tensor:
    """Return log-mel frames of waveforms (batch, samples) of unit variance: (batch, frames, bands)."""
    window = torch.hann_window(WINDOW, device=waveforms.device, dtype=waveforms.dtype)
    spectrum = torch.stft(
        waveforms, WINDOW, HOP, window=window, center=False, return_complex=True
    )  # (batch, frequencies, frames)
    power = spectrum.real.square() + spectrum.imag.square()
    banks = _banks(bands).to(power)
    return torch.log(power.transpose(1, 2) @ banks + _FLOOR)


def scaled_log_mel(waveforms: Tensor, config: LogMelConfig) -> Tensor:
    """Return log-mel frames as a configuration scales them, (batch, 10 ms frames, bands)."""
    return (log_mel(waveforms, config.bands) - config.mean) / config.std


@functools.cache
def _banks(bands: int) -> Tensor:
    banks: Tensor = torchaudio.functional.melscale_fbanks(
        WINDOW // 2 + 1, 20.0, WAVEFORM_RATE / 2, bands, WAVEFORM_RATE
    )
    return banks


def stack(frames: Tensor) -> Tensor:
    """Join every four frames (batch, frames, bands) to one (batch, frames / 4, 4 · bands)."""
    count = frames.shape[1] // STACKED
    return frames[:, : count * STACKED].reshape(len(frames), count, -1)


class StackedFrames(nn.Module):
    """Every four log-mel frames side by side, projected."""

    grid = FrameGrid(stride=STACKED * HOP, receptive_field=WINDOW + (STACKED - 1) * HOP)

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(STACKED * bands, width)

    def forward(self, frames: Tensor) -> Tensor:
        """Turn log-mel frames (batch, frames, bands) into (batch, frames / 4, width)."""
        projected: Tensor = self.projection(stack(frames))
        return projected


class ConvolvedFrames(nn.Module):
    """Two convolutions over time and frequency, each with pooling by two: the first blocks of VGG.

    They are padded over frequency only, so the frames lie on a plain grid.
    """

    grid = FrameGrid(stride=STACKED * HOP, receptive_field=WINDOW + 9 * HOP)

    def __init__(self, bands: int, width: int) -> None:
        super().__init__()
        channels = 4 * width // bands  # two poolings leave a quarter of the bands
        if channels * bands != 4 * width:
            raise ValueError(f"width {width} is not a multiple of a quarter of {bands} bands")
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=(0, 1))
            for before, after in ((1, channels // 2), (channels // 2, channels))
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Turn log-mel frames (batch, frames, bands) into (batch, about frames / 4, width)."""
        image = frames[:, None]
        for convolution in self.convolutions:
            image = nn.functional.max_pool2d(nn.functional.relu(convolution(image)), 2)
        return image.transpose(1, 2).flatten(2)
