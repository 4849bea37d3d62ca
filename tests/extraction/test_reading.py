"""Reading ahead: the same waveforms, in order, bounded, errors in their turn."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import soundfile

from foretune.extraction.reading import BATCHES_AHEAD, read_ahead
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance


class Counted:
    """An utterance that tells when it is read, and by which thread."""

    def __init__(self, number, log):
        self.id = f"u{number}"
        self.number = number
        self.log = log

    def waveform(self):
        self.log.append((self.number, threading.current_thread().name))
        return np.full(1_600, self.number, np.float32)


def test_batches_come_in_order_with_their_waveforms(frame_statistics):
    log = []
    utterances = [Counted(number, log) for number in range(9)]
    batches = [[8, 1], [0], [2, 3, 4], [7], [5, 6]]
    found = list(read_ahead(frame_statistics(), utterances, batches, list))
    assert [indices for indices, _ in found] == batches
    assert [[int(waveform[0]) for waveform in waveforms] for _, waveforms in found] == batches
    assert sorted(number for number, _ in log) == list(range(9))
    assert all(name.startswith("foretune-reading") for _, name in log)


def test_no_more_than_a_few_batches_are_read_ahead(frame_statistics):
    log = []
    utterances = [Counted(number, log) for number in range(20)]
    reading = read_ahead(frame_statistics(), utterances, [[number] for number in range(20)], list)
    for done in range(1, 5):
        next(reading)
        assert len(log) <= done + BATCHES_AHEAD
    reading.close()
    assert len(log) <= 4 + BATCHES_AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("foretune-reading")]


def test_files_are_resampled_as_when_read_directly(frame_statistics, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", 0.1 * rng.standard_normal(8_000), 8_000)
    utterance = Utterance("a", tmp_path / "a.wav")
    ((_, (waveform,)),) = read_ahead(frame_statistics(), [utterance], [[0]], list)
    np.testing.assert_array_equal(waveform, utterance.waveform())


def test_an_error_comes_when_its_batch_does(frame_statistics, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    utterances = [Utterance("a", np.zeros(800, np.int16)), Utterance("broken", tmp_path / "broken.wav")]
    reading = read_ahead(frame_statistics(), utterances, [[0], [1]], list)
    assert next(reading)[0] == [0]
    with pytest.raises(InputError, match=r"broken\.wav: cannot be read as audio"):
        next(reading)
