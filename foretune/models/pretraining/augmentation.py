"""Variations of speech that make an aligner ready for voices, rooms and beginnings it has not heard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from foretune.tasks.utterance import SAMPLE_RATE

_TAIL = 0.03
"""Seconds after the end of speech that stay where they are when trailing silence goes to the front."""
_TAPS = 64
_BANDS = 9


class Varied(NamedTuple):
    """A variation.

    Attributes:
        waveform: zero mean, unit variance, shape (samples,).
        scale: what was at t seconds is now at scale · t + shift.
        shift: in seconds.
    """

    waveform: Tensor
    scale: float
    shift: float


def vary(waveform: Tensor, end: float, rng: np.random.Generator) -> Varied:
    """Vary speed (with pitch and formants), beginning, voice, microphone and noise of an utterance.

    Args:
        waveform: shape (samples,).
        end: of the speech in it, in seconds; what follows is silence.
        rng: draws everything.
    """
    samples = round(len(waveform) / rng.uniform(0.85, 1.18))
    scale = samples / len(waveform)
    varied = functional.interpolate(waveform[None, None], size=samples, mode="linear")[0, 0]
    shift = int(rng.integers(0, max(1, samples - int((end * scale + _TAIL) * SAMPLE_RATE))))
    varied = torch.roll(varied, shift)
    if rng.random() < 0.15:
        varied = _whispered(varied, rng)
    varied = _equalised(varied, rng)
    if rng.random() < 0.5:
        level = 10 ** (-rng.uniform(3, 30) / 20)
        noise = _equalised(torch.from_numpy(rng.standard_normal(samples)).float(), rng)
        varied = varied / varied.std() + level * noise / noise.std()
    return Varied((varied - varied.mean()) / (varied.std() + 1e-5), scale, shift / SAMPLE_RATE)


def _equalised(waveform: Tensor, rng: np.random.Generator) -> Tensor:
    """Pass a waveform through a filter with random gains, of 6 dB mostly, and no delay."""
    bins = np.linspace(0, _BANDS - 1, _TAPS // 2 + 1)
    gains = 10 ** (np.interp(bins, np.arange(_BANDS), rng.normal(0, 6, _BANDS)) / 20)
    taps = np.fft.fftshift(np.fft.irfft(gains)) * np.hanning(_TAPS + 1)[:-1]
    kernel = torch.from_numpy(taps).float()
    return functional.conv1d(waveform[None, None], kernel[None, None], padding=_TAPS // 2)[0, 0, :-1]


def _whispered(waveform: Tensor, rng: np.random.Generator) -> Tensor:
    """Take the voice out of speech: its spectrogram with random phases."""
    window = torch.hann_window(400)
    spectrum = torch.stft(waveform, 400, 100, window=window, return_complex=True)
    phases = torch.from_numpy(rng.uniform(0, 2 * np.pi, tuple(spectrum.shape))).float()
    return torch.istft(torch.polar(spectrum.abs(), phases), 400, 100, window=window, length=len(waveform))
