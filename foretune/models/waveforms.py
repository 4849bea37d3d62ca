"""Waveforms as encoders take them: at their rate, of one level, padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .frame_grid import WAVEFORM_RATE

_VARIANCE_FLOOR = 1e-7  # as transformers' Wav2Vec2FeatureExtractor

Waveforms = Sequence[NDArray[np.float32]]


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


def standardise(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a waveform to zero mean and unit variance."""
    samples = waveform.astype(np.float64)
    standardised = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE_FLOOR)
    return np.asarray(standardised, dtype=np.float32)


def pad_waveforms(waveforms: Waveforms) -> NDArray[np.float32]:
    """Pad waveforms, each (samples,), with zeros to (batch, samples)."""
    padded = np.zeros((len(waveforms), max(len(waveform) for waveform in waveforms)), dtype=np.float32)
    for row, waveform in zip(padded, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return padded


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring a tensor of the host to a device, without waiting for what the device is at work on.

    Only from pinned memory does a copy to CUDA run by itself; its order with what comes after it is kept.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
