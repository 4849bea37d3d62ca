"""Waveforms at the rate that an encoder takes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .frame_grid import WAVEFORM_RATE


def resample(waveform: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return a waveform of 16 kHz at another rate.

    Args:
        waveform: shape (samples,).
        rate: in Hz.

    Returns:
        ⌈samples · rate / 16,000⌉ samples, float32; the waveform itself where the rate is 16 kHz.
    """
    if rate == WAVEFORM_RATE:
        return waveform
    from torchaudio.functional import resample as resample_

    resampled = resample_(torch.from_numpy(np.ascontiguousarray(waveform)), WAVEFORM_RATE, rate)
    return np.asarray(resampled.numpy(), dtype=np.float32)
