"""What happens to speech between mouth and file: room, microphone, noise, level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

_SPEECH_LEVEL = 0.07
"""Root mean square of speech at 0 dB, of full scale."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One recording condition.

    Attributes:
        reverberation: time in which the room's echo falls by 60 dB, in seconds.
        wetness: amplitude of the echo relative to the direct sound.
        tilt: slope of the microphone's response, in dB an octave about 1 kHz.
        noise: signal-to-noise ratio at 0 dB loudness, in dB.
        colour: exponent of the noise's power spectrum (0 white, 1 pink, 2 brown).
        gain: in dB.
    """

    reverberation: float
    wetness: float
    tilt: float
    noise: float
    colour: float
    gain: float


USUAL_NOISE = (8.0, 30.0)
"""Bounds of the signal-to-noise ratio, in dB."""


def draw_channel(rng: np.random.Generator, noise: tuple[float, float] = USUAL_NOISE) -> Channel:
    """Draw a recording condition, its signal-to-noise ratio (in dB) within bounds."""
    return Channel(
        reverberation=float(rng.uniform(0.1, 0.5)),
        wetness=float(rng.uniform(0.05, 0.5)),
        tilt=float(rng.uniform(-3, 3)),
        noise=float(rng.uniform(*noise)),
        colour=float(rng.uniform(0, 1.5)),
        gain=float(rng.uniform(-6, 3)),
    )


def record(
    speech: NDArray[np.float64],
    channel: Channel,
    rng: np.random.Generator,
    *,
    loudness: float = 0.0,
    sample_rate: int = 16_000,
) -> NDArray[np.int16]:
    """Pass speech through a recording condition.

    Args:
        speech: shape (samples,), any level.
        channel: the condition.
        rng: draws the echo's fine structure and the noise.
        loudness: of the speaker, in dB; it changes the speech but not the noise.
        sample_rate: in Hz.

    Returns:
        int16 samples, shape (samples,): the echo's tail is cut, so that times stay true.
    """
    level = float(np.sqrt(np.mean(speech**2)))
    dry = speech * (_SPEECH_LEVEL * 10 ** (loudness / 20) / max(level, 1e-9))
    wet = signal.fftconvolve(dry, _room(channel, rng, sample_rate))[: len(dry)]
    coloured = _shape(wet, sample_rate, channel.tilt)
    noise = _shape(rng.standard_normal(len(dry)), sample_rate, -10 * np.log10(2) * channel.colour)
    noise *= _SPEECH_LEVEL * 10 ** (-channel.noise / 20) / float(np.sqrt(np.mean(noise**2)))
    mixed = (coloured + noise) * 10 ** (channel.gain / 20)
    return np.clip(np.rint(mixed * 32768), -32768, 32767).astype(np.int16)


def _room(channel: Channel, rng: np.random.Generator, sample_rate: int) -> NDArray[np.float64]:
    """Return an impulse response: the direct sound, then exponentially decaying noise."""
    length = int(channel.reverberation * sample_rate)
    decay = np.exp(-np.log(1000) * np.arange(length) / length)  # 60 dB over the length
    echo = rng.standard_normal(length) * decay
    echo *= channel.wetness / np.sqrt(np.sum(echo**2))
    echo[0] = 1.0
    return np.asarray(echo)


def _shape(samples: NDArray[np.float64], sample_rate: int, slope: float) -> NDArray[np.float64]:
    """Filter by a magnitude response of `slope` dB an octave about 1 kHz, flat below 100 Hz."""
    length = fft.next_fast_len(len(samples), real=True)
    frequencies = np.maximum(fft.rfftfreq(length, 1 / sample_rate), 100.0)
    response = (frequencies / 1000.0) ** (slope / (20 * np.log10(2)))
    shaped: NDArray[np.float64] = fft.irfft(fft.rfft(samples, length) * response, length)
    return shaped[: len(samples)]
