"""Extraction: every utterance once, within the budget, the same whatever the batches."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import soundfile
import torch

from foretune.extraction import batches_by_length, engine, extract, samples
from foretune.extraction.batches import cuda_batch_seconds
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    lengths = [1_600, 16_000, 4_000, 16_000, 333, 8_000]
    return [
        Utterance(f"u{number}", rng.integers(-9_000, 9_000, length).astype(np.int16))
        for number, length in enumerate(lengths)
    ]


def test_batches_are_longest_first_and_within_the_budget():
    batches = list(batches_by_length([100, 16_000, 5_000, 16_000, 300, 8_000], 1.5))
    assert batches == [[1], [3], [5, 2, 4], [0]]
    lengths = [100, 16_000, 5_000, 16_000, 300, 8_000]
    assert all(len(batch) * lengths[batch[0]] <= 1.5 * 16_000 for batch in batches)


def test_what_is_longer_than_the_budget_goes_alone():
    assert list(batches_by_length([20_000, 30_000], 0.5)) == [[1], [0]]


def test_no_utterance_no_batch():
    assert list(batches_by_length([], 1.0)) == []


@pytest.mark.parametrize("batch_seconds", [0.001, 1.0, 2.5, 100.0])
def test_each_utterance_comes_once_with_its_own_states(frame_statistics, utterances, batch_seconds):
    seen = []
    for batch in extract(frame_statistics(), utterances, batch_seconds=batch_seconds):
        for row, index in enumerate(batch.indices):
            seen.append(index)
            waveform = utterances[index].waveform()
            frames = len(waveform) // 160
            assert int(batch.states.lengths[row]) == frames
            expected = waveform[: frames * 160].reshape(-1, 160).mean(1)
            np.testing.assert_allclose(
                batch.states.layers[0][row, :frames, 0], expected, rtol=1e-5, atol=1e-7
            )
    assert sorted(seen) == list(range(len(utterances)))


def test_the_order_does_not_depend_on_the_budget(frame_statistics, utterances):
    orders = [
        [
            index
            for batch in extract(frame_statistics(), utterances, batch_seconds=budget)
            for index in batch.indices
        ]
        for budget in (0.1, 1.0, 60.0)
    ]
    assert orders[0] == orders[1] == orders[2] == [1, 3, 5, 2, 0, 4]


def test_the_caller_is_not_put_into_inference_mode(frame_statistics, utterances):
    for batch in extract(frame_statistics(), utterances):
        assert batch.states.layers[0].is_inference()
        assert not torch.is_inference_mode_enabled()


def test_progress_counts_seconds_of_speech(frame_statistics, utterances):
    calls = []
    for _ in extract(
        frame_statistics(),
        utterances,
        batch_seconds=1.0,
        progress=lambda done, total: calls.append((done, total)),
    ):
        pass
    seconds = sum(len(utterance.audio) for utterance in utterances) / 16_000
    assert calls[0] == (1.0, pytest.approx(seconds))
    assert calls[-1] == (pytest.approx(seconds), pytest.approx(seconds))
    assert calls == sorted(calls)


def test_files_are_measured_by_their_header(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8_000)
    assert samples(Utterance("a", tmp_path / "a.wav")) == 1_600
    (tmp_path / "b.wav").write_bytes(b"no audio")
    assert samples(Utterance("b", tmp_path / "b.wav")) == 0


def test_an_unreadable_file_is_named(frame_statistics, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    with pytest.raises(InputError, match=r"broken\.wav: cannot be read as audio"):
        list(extract(frame_statistics(), [Utterance("broken", tmp_path / "broken.wav")]))


def test_an_utterance_shorter_than_a_frame_is_named(frame_statistics):
    short = Utterance("the-short-one", np.zeros(100, np.int16))
    with pytest.raises(
        InputError, match="the-short-one: 100 samples, too few for one frame of frame-statistics"
    ):
        list(extract(frame_statistics(), [short]))


def test_a_budget_must_be_positive(frame_statistics, utterances):
    with pytest.raises(ValueError, match="batch_seconds is 0; it must be positive"):
        list(extract(frame_statistics(), utterances, batch_seconds=0))


@pytest.fixture
def like_a_gpu(monkeypatch, frame_statistics):
    """A candidate that goes the way of a GPU on the CPU: inputs made and one batch begun ahead."""
    monkeypatch.setattr(engine, "queues", lambda candidate: True)

    class LikeOnAGpu(frame_statistics):
        copies = True

        def __init__(self):
            super().__init__()
            self.made_by = set()

        def batch(self, waveforms):
            self.made_by.add(threading.current_thread().name)
            return super().batch(waveforms)

    return LikeOnAGpu


@pytest.mark.parametrize("window_seconds", [0.3, 30.0])
@pytest.mark.parametrize("batch_seconds", [0.001, 1.0, 100.0])
def test_the_way_of_a_gpu_gives_the_same(  # noqa: PLR0917 (fixtures)
    like_a_gpu, frame_statistics, utterances, monkeypatch, batch_seconds, window_seconds
):
    settings = {"batch_seconds": batch_seconds, "window_seconds": window_seconds}
    candidate = like_a_gpu()
    one = list(extract(candidate, utterances, **settings))
    if window_seconds == 30.0:
        assert all(name.startswith("foretune-reading") for name in candidate.made_by)
    monkeypatch.undo()
    for here, there in zip(one, extract(frame_statistics(), utterances, **settings), strict=True):
        assert here.indices == there.indices
        assert here.states.lengths.tolist() == there.states.lengths.tolist()
        for layer, other in zip(here.states.layers, there.states.layers, strict=True):
            assert torch.equal(layer, other)


def test_the_way_of_a_gpu_gives_what_it_has_before_an_error(like_a_gpu):
    speech = [Utterance("long", np.ones(8_000, np.int16)), Utterance("short", np.ones(100, np.int16))]
    batches = extract(like_a_gpu(), speech, batch_seconds=0.1)
    assert next(batches).indices == [0]
    with pytest.raises(InputError, match="short: 100 samples, too few"):
        next(batches)


def test_the_budget_grows_with_a_gpus_memory_within_bounds():
    assert [cuda_batch_seconds(gibibytes << 30) for gibibytes in (8, 24, 40, 80)] == [60, 96, 160, 240]
