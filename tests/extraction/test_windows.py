"""Long recordings: windows on the candidate's grid, joined frame by frame."""

from __future__ import annotations

import itertools

import made_up
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel, Wav2Vec2Config

from foretune.extraction import extract
from foretune.extraction.windows import Window, cut, join, longest_whole
from foretune.models.candidate import Card, HiddenStates
from foretune.models.convolutional import ConvolutionalCandidate
from foretune.models.frame_grid import FrameGrid
from foretune.tasks.utterance import Utterance

STRIDE = 160


class OnlyGrid:
    """What of a candidate decides how it is cut."""

    def __init__(self, grid, longest=None):
        self.grid = grid
        self.longest = longest


UNPADDED = FrameGrid(stride=320, receptive_field=400)
CENTRED = FrameGrid(stride=320, receptive_field=1040, offset=-520)
OTHER_RATE = FrameGrid(stride=320, receptive_field=600, sample_rate=24_000)  # 213⅓ samples at 16 kHz


def test_a_recording_that_fits_is_one_window():
    assert cut(OnlyGrid(UNPADDED), 480_000) == [Window(0, 480_000, 0)]
    assert cut(OnlyGrid(UNPADDED), 7) == [Window(0, 7, 0)]


def test_windows_by_hand():
    # 30 s are 1,500 strides, the overlap 200: 40 s begin at 0 and, evenly spread, at 500
    assert cut(OnlyGrid(UNPADDED), 640_000) == [Window(0, 480_000, 0), Window(160_000, 640_000, 500)]
    # a stride more than three windows with their overlap is too much for three
    assert len(cut(OnlyGrid(UNPADDED), (1_500 + 2 * 1_300) * 320)) == 3
    assert len(cut(OnlyGrid(UNPADDED), (1_500 + 2 * 1_300) * 320 + 1)) == 4


def test_the_candidates_own_limit_holds():
    candidate = OnlyGrid(UNPADDED, longest=16_100)
    assert longest_whole(candidate) == 16_100
    assert longest_whole(candidate, 0.5) == 8_000
    assert max(window.stop - window.start for window in cut(candidate, 50_000)) <= 16_100


@settings(deadline=None, max_examples=200)
@given(
    samples=st.integers(400, 3_000_000),
    window_seconds=st.floats(0.1, 60.0),
    grid=st.sampled_from([UNPADDED, CENTRED, OTHER_RATE]),
)
def test_windows_cover_the_recording_on_its_grid(samples, window_seconds, grid):
    windows = cut(OnlyGrid(grid), samples, window_seconds)
    assert windows[0].start == 0
    assert windows[-1].stop == samples
    stride = grid.stride * 16_000 / grid.sample_rate
    assert all(window.start == window.first_frame * stride for window in windows)
    assert all(window.stop - window.start <= window_seconds * 16_000 for window in windows)
    # but for the last one's odd samples, all are equally long: nothing is padded
    assert len({window.stop - window.start for window in windows[:-1]}) <= 1
    if len(windows) > 1:
        length = windows[0].stop
        step = 640 if grid is OTHER_RATE else grid.stride
        assert length - (windows[-1].stop - windows[-1].start) < step
        overlap = min(64_000 // step, length // step // 4) * step
        for one, other in itertools.pairwise(windows):
            assert one.stop - other.start >= overlap
            assert one.first_frame + grid.frames(length) >= other.first_frame  # no frame is missed
        assert samples > longest_whole(OnlyGrid(grid), window_seconds)


@settings(deadline=None, max_examples=200)
@given(
    samples=st.integers(2_000, 1_000_000),
    window_seconds=st.floats(0.1, 20.0),
    grid=st.sampled_from([UNPADDED, CENTRED, OTHER_RATE]),
    at_once=st.integers(1, 4),
)
def test_every_frame_comes_once_from_the_window_whose_centre_is_nearest(
    samples, window_seconds, grid, at_once
):
    windows = cut(OnlyGrid(grid), samples, window_seconds)
    states = []
    for i in range(0, len(windows), at_once):
        part = windows[i : i + at_once]
        lengths = torch.tensor([grid.frames(window.stop - window.start) for window in part])
        frames = torch.full((len(part), int(lengths.max()), 2), -1.0, dtype=torch.float64)
        for row, window in enumerate(part):
            own = torch.arange(int(lengths[row])) + window.first_frame
            frames[row, : len(own), 0] = own.double()  # which frame of the recording this is
            frames[row, : len(own), 1] = i + row  # and which window it came from
        states.append(HiddenStates([frames], lengths))
    joined = join(windows, states)
    (layer,) = joined.layers
    assert joined.lengths.tolist() == [grid.frames(samples)]
    np.testing.assert_array_equal(layer[0, :, 0], np.arange(grid.frames(samples)))
    counts = [grid.frames(window.stop - window.start) for window in windows]
    centres = np.array(
        [window.first_frame + (count - 1) / 2 for window, count in zip(windows, counts, strict=True)]
    )
    distances = np.abs(np.arange(grid.frames(samples))[:, None] - centres)
    np.testing.assert_array_equal(layer[0, :, 1], distances.argmin(axis=1))  # the first of equals


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.333, 1.0])
def test_frames_that_see_nothing_else_are_those_of_the_whole(frame_statistics, seconds):
    rng = np.random.default_rng(0)
    long = Utterance("long", rng.integers(-9_000, 9_000, 30_077).astype(np.int16))
    short = Utterance("short", rng.integers(-9_000, 9_000, 500).astype(np.int16))
    (whole,) = extract(frame_statistics(), [long])
    cut_up = {
        batch.indices[0]: batch
        for batch in extract(frame_statistics(), [short, long], window_seconds=seconds)
    }
    assert cut_up[1].indices == [1]  # by itself
    assert cut_up[1].states.lengths.tolist() == [30_077 // STRIDE]
    for one, other in zip(whole.states.layers, cut_up[1].states.layers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_windows_go_through_the_candidate_within_the_budget(frame_statistics):
    candidate = frame_statistics()
    long = Utterance("long", np.ones(64_000, np.int16))
    (batch,) = extract(candidate, [long], window_seconds=0.5, batch_seconds=1.1)
    assert batch.states.lengths.tolist() == [400]
    assert set(candidate.batch_sizes) == {1, 2}
    assert candidate.seen == len(cut(candidate, 64_000, 0.5))


def test_what_is_longer_than_the_candidate_takes_is_cut(frame_statistics):
    class Short(frame_statistics):
        longest = 4_000

    rng = np.random.default_rng(3)
    utterance = Utterance("u", rng.integers(-9_000, 9_000, 9_999).astype(np.int16))
    (one,) = extract(Short(), [utterance])
    (other,) = extract(frame_statistics(), [utterance])
    np.testing.assert_array_equal(one.states.layers[2], other.states.layers[2])


def test_what_reaches_less_far_than_half_an_overlap_joins_exactly():
    """Convolutions over the waveform and of positions, in an encoder whose norms are not over time."""
    config = Wav2Vec2Config(**made_up.TINY, feat_extract_norm="layer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = AutoModel.from_config(config)
    candidate = ConvolutionalCandidate("tiny", module, Card("wav2vec2"), normalise=False)
    rng = np.random.default_rng(0)
    long = Utterance("long", rng.integers(-9_000, 9_000, 90_001).astype(np.int16))
    (whole,) = extract(candidate, [long])
    (joined,) = extract(candidate, [long], window_seconds=1.0)
    assert joined.states.lengths.tolist() == whole.states.lengths.tolist()
    local, *above = zip(whole.states.layers, joined.states.layers, strict=True)
    np.testing.assert_allclose(local[1], local[0], rtol=0, atol=1e-5)
    # attention is over the window, as over any utterance of that length
    assert all(float((one - other).abs().max()) > 1e-3 for one, other in above)
