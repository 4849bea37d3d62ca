"""Reading recordings: WAV, FLAC, OGG and MP3 in, mono float32 at 16 kHz out.

Conventions: waveforms have shape (samples,) and lie in [-1, 1]; channels are averaged.
"""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from .errors import InputError

SAMPLE_RATE = 16_000
"""Sample rate of every waveform in foretune, in Hz."""

SHORTEST_SECONDS = 0.1
"""A shorter recording holds no speech to judge; an encoder's first frame alone takes 0.025 s."""

LONGEST_SECONDS = 600.0
"""A longer recording is no utterance, and would not fit an encoder's memory."""

LARGEST_PEAK = 4.0
"""Float recordings may overshoot [-1, 1] and are clipped; beyond this they are on another scale."""


def read_audio(path: Path) -> NDArray[np.float32]:
    """Read a recording, average its channels and resample it to 16 kHz.

    Args:
        path: a WAV, FLAC, OGG or MP3 file of any sample rate and number of channels.

    Returns:
        The waveform, shape (samples,), in [-1, 1].

    Raises:
        InputError: the file is missing, is not audio, is empty, is shorter than
            `SHORTEST_SECONDS` or longer than `LONGEST_SECONDS`, holds NaN or infinity, or is
            not scaled to [-1, 1].
    """
    waveform, sample_rate = decode_audio(path)
    if sample_rate != SAMPLE_RATE:
        from scipy.signal import resample_poly

        divisor = gcd(SAMPLE_RATE, sample_rate)
        waveform = resample_poly(waveform, SAMPLE_RATE // divisor, sample_rate // divisor)
    # clipping comes last because the resampling filter overshoots too
    return np.clip(waveform, -1.0, 1.0).astype(np.float32, copy=False)


def decode_audio(path: Path) -> tuple[NDArray[np.float32], int]:
    """Decode and check a recording, at its own sample rate.

    Args:
        path: as for `read_audio`.

    Returns:
        The mean of the channels, shape (samples,), not clipped; and the sample rate in Hz.

    Raises:
        InputError: as `read_audio`.
    """
    channels, sample_rate = _decode_channels(path)
    if len(channels) == 0:
        raise InputError(f"{path}: holds no samples; remove or replace it")
    if not np.isfinite(channels).all():
        raise InputError(f"{path}: holds NaN or infinite samples; remove it or export it again")
    seconds = len(channels) / sample_rate
    if seconds < SHORTEST_SECONDS:
        raise InputError(
            f"{path}: too short, {seconds:.4f} s where {SHORTEST_SECONDS} s is the least; remove it"
        )
    peak = float(np.abs(channels).max())
    if peak > LARGEST_PEAK:
        raise InputError(
            f"{path}: samples reach {peak:g} where [-1, 1] is the scale of float audio; export it again"
        )
    return channels.mean(axis=1, dtype=np.float32), sample_rate


def _decode_channels(path: Path) -> tuple[NDArray[np.float32], int]:
    """Return samples of shape (samples, channels) and the sample rate in Hz."""
    try:
        if not path.is_file():
            what = "is a folder, not an audio file" if path.is_dir() else "no such file"
            raise InputError(f"{path}: {what}; correct the path")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty; remove or replace it")
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            if seconds > LONGEST_SECONDS:
                raise InputError(
                    f"{path}: {seconds:.0f} s long where {LONGEST_SECONDS:.0f} s is the most; "
                    "cut it into utterances"
                )
            return file.read(dtype="float32", always_2d=True), int(file.samplerate)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except TypeError:  # soundfile wants to be told the sample rate of a .raw file
        reason = "raw samples without a header"
    raise InputError(f"{path}: cannot be read as audio ({reason}); give WAV, FLAC, OGG or MP3")
