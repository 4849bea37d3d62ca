"""Where frames lie in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.models.frame_grid import FrameGrid

WAV2VEC2 = ([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2])


def test_wav2vec2_sees_25_ms_every_20_ms():
    grid = FrameGrid.of_convolutions(*WAV2VEC2)
    assert (grid.stride, grid.receptive_field) == (320, 400)
    np.testing.assert_allclose(grid.centres(3), [0.0125, 0.0325, 0.0525], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernels", "strides"), [WAV2VEC2, ([20, 8, 8, 4], [10, 4, 4, 4]), ([3], [1])])
def test_frames_and_their_receptive_fields_are_those_of_the_convolutions(kernels, strides):
    grid = FrameGrid.of_convolutions(kernels, strides)
    stack = torch.nn.Sequential(
        *(torch.nn.Conv1d(1, 1, k, s, bias=False) for k, s in zip(kernels, strides, strict=True))
    )
    for weight in stack.parameters():
        torch.nn.init.ones_(weight)
    for samples in range(
        grid.receptive_field, grid.receptive_field + 3 * grid.stride, max(1, grid.stride // 3)
    ):
        waveform = torch.zeros(1, 1, samples, requires_grad=True)
        frames = stack(waveform)[0, 0]
        assert len(frames) == grid.frames(samples)
        frames[-1].backward()
        seen = torch.nonzero(waveform.grad[0, 0]).flatten()
        first = (len(frames) - 1) * grid.stride
        assert (int(seen[0]), int(seen[-1])) == (first, first + grid.receptive_field - 1)
    assert grid.frames(grid.receptive_field - 1) == 0


def test_a_stack_that_pads_gives_a_frame_for_every_centre_inside():
    grid = FrameGrid(stride=320, receptive_field=1040, offset=-520)
    assert grid.centres(2).tolist() == [0.0, 0.02]
    assert [grid.frames(samples) for samples in (0, 1, 320, 321, 16_000)] == [0, 1, 1, 2, 50]
