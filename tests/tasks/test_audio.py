from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from foretune.tasks.audio import (
    LARGEST_PEAK,
    LONGEST_SECONDS,
    SAMPLE_RATE,
    SHORTEST_SECONDS,
    decode_audio,
    read_audio,
)
from foretune.tasks.errors import InputError

LOSSY_TOLERANCE = 0.05
RESAMPLING_TOLERANCE = 5e-3
SIXTEEN_BIT = 1 / 32768


def tone(rate: int, seconds: float = 0.5, frequency: float = 440.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def write(
    path: Path, samples: NDArray[np.float64], rate: int = SAMPLE_RATE, subtype: str | None = None
) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


# by hand


def test_four_known_values_of_a_16_bit_file_come_back_exactly(tmp_path: Path) -> None:
    known = np.tile(np.array([0, 16384, -32768, 32767], dtype=np.int16), 1000)
    soundfile.write(tmp_path / "a.wav", known, SAMPLE_RATE, subtype="PCM_16")
    waveform = read_audio(tmp_path / "a.wav")
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform[:4], np.float32([0.0, 0.5, -1.0, 32767 / 32768]))
    assert waveform.shape == (4000,)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(2000, 0.5), np.full(2000, -0.25)
    path = write(tmp_path / "stereo.wav", np.stack([left, right], axis=1))
    np.testing.assert_allclose(read_audio(path), 0.125, atol=SIXTEEN_BIT)


# formats and rates against the signal they were made from


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_lossless_formats_give_the_signal(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", tone(SAMPLE_RATE))
    np.testing.assert_allclose(read_audio(path), tone(SAMPLE_RATE), atol=SIXTEEN_BIT)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_formats_give_nearly_the_signal(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", tone(SAMPLE_RATE))
    waveform = read_audio(path)
    expected = tone(SAMPLE_RATE)
    assert len(waveform) == pytest.approx(len(expected), abs=SAMPLE_RATE // 10)
    inner = slice(2000, 6000)  # the codecs fade in and out
    np.testing.assert_allclose(waveform[inner], expected[inner], atol=LOSSY_TOLERANCE)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_every_sample_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone(rate), rate, "FLOAT")
    waveform = read_audio(path)
    expected = tone(SAMPLE_RATE)
    assert len(waveform) == pytest.approx(len(expected), abs=1)
    inner = slice(500, 7500)  # the filter's edges
    np.testing.assert_allclose(waveform[inner], expected[inner], atol=RESAMPLING_TOLERANCE)


def test_decoding_alone_keeps_the_sample_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(8_000), 8_000)
    waveform, rate = decode_audio(path)
    assert (len(waveform), rate) == (4_000, 8_000)


# limits


@pytest.mark.parametrize("rate", [SAMPLE_RATE, 44_100])
def test_overshoot_is_clipped(tmp_path: Path, rate: int) -> None:
    square = 1.5 * np.sign(tone(rate) + 1e-9)
    waveform = read_audio(write(tmp_path / "loud.wav", square, rate, "FLOAT"))
    assert waveform.max() == 1.0
    assert waveform.min() == -1.0


def test_the_shortest_length_is_read_and_one_sample_less_is_refused(tmp_path: Path) -> None:
    shortest = round(SHORTEST_SECONDS * SAMPLE_RATE)
    assert len(read_audio(write(tmp_path / "a.wav", np.zeros(shortest)))) == shortest
    with pytest.raises(InputError, match=r"b\.wav: too short, 0\.0999 s where 0\.1 s"):
        read_audio(write(tmp_path / "b.wav", np.zeros(shortest - 1)))


# errors, one rule broken each


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.wav: no such file"):
        read_audio(tmp_path / "gone.wav")


def test_a_folder_is_no_audio_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_audio(tmp_path)


def test_a_file_without_bytes_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(InputError, match=r"a\.wav: the file is empty"):
        read_audio(path)


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.wav: holds no samples"):
        read_audio(write(tmp_path / "a.wav", np.zeros(0)))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "txt", "raw"])
def test_text_is_not_audio(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text("these are words, not sounds\n" * 50)
    with pytest.raises(InputError, match=r"cannot be read as audio \(.+\); give WAV") as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_sample_that_is_no_number_is_enough(tmp_path: Path, value: float) -> None:
    samples = tone(SAMPLE_RATE)
    samples[4321] = value
    with pytest.raises(InputError, match=r"a\.wav: holds NaN or infinite samples"):
        read_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_integers_saved_as_floats_are_refused_and_not_clipped(tmp_path: Path) -> None:
    samples = tone(SAMPLE_RATE)
    samples[100] = 2 * LARGEST_PEAK
    with pytest.raises(InputError, match=r"samples reach 8 where \[-1, 1\]"):
        read_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


def test_a_recording_that_is_no_utterance_is_refused(tmp_path: Path) -> None:
    low_rate = 100
    path = write(tmp_path / "meeting.wav", np.zeros(round(LONGEST_SECONDS * low_rate) + low_rate), low_rate)
    with pytest.raises(InputError, match=r"meeting\.wav: 601 s long where 600 s is the most; cut it"):
        read_audio(path)


def test_a_truncated_flac_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * SAMPLE_RATE)
    path = write(tmp_path / "a.flac", noise)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"a\.flac: "):
        read_audio(path)
