"""A candidate whose features can be worked out by hand, for what lies above the candidates; the command."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from foretune import cli
from foretune.models.candidate import Candidate, Card, HiddenStates
from foretune.models.frame_grid import FrameGrid

STRIDE = 160  # samples: 10 ms


class FrameStatistics(Candidate):
    """Layer 0 of a frame: the mean of its samples and of their squares; layer l: (l + 1) times that, and l.

    It counts the utterances that went through it, and writes 9 where there is padding.
    """

    name = "frame-statistics"
    revision = "0" * 12
    num_layers = 2
    dimensions = (2, 3, 3)
    grid = FrameGrid(STRIDE, STRIDE)
    card = Card(family="by hand")

    def __init__(self, name: str = "frame-statistics") -> None:
        self.name = name
        self.module = nn.Identity()
        self.seen = 0
        self.batch_sizes: list[int] = []

    def batch(self, waveforms):
        self.check_waveforms(waveforms)
        self.seen += len(waveforms)
        self.batch_sizes.append(len(waveforms))
        longest = max(map(len, waveforms))
        padded = np.stack([np.pad(waveform, (0, longest - len(waveform))) for waveform in waveforms])
        samples = torch.tensor([len(waveform) for waveform in waveforms])
        return {"input_values": torch.from_numpy(padded), "samples": samples}

    def front_end_features(self, batch):
        waveforms = batch["input_values"]
        lengths = batch["samples"] // STRIDE
        frames = waveforms[:, : int(lengths.max()) * STRIDE].reshape(len(waveforms), -1, STRIDE)
        features = torch.stack([frames.mean(2), frames.square().mean(2)], dim=2)
        features[torch.arange(features.shape[1]) >= lengths[:, None]] = 9.0
        return features, lengths

    def forward_from_features(self, features, lengths, *, last_layer=None):
        stop = self.check_layer(last_layer)
        layers = [features]
        for layer in range(1, stop + 1):
            depth = torch.full_like(features[:, :, :1], float(layer))
            layers.append(torch.cat([(layer + 1) * features, depth], dim=2))
        return HiddenStates(layers, lengths)

    def front_end(self):
        return None

    def parameters(self, layer):
        return 10 * self.check_layer(layer)


def pytest_runtest_setup(item):
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA")


@pytest.fixture
def frame_statistics():
    """Return the class of candidates by hand."""
    return FrameStatistics


@pytest.fixture
def run(capsys, monkeypatch):
    """Return a function from arguments to (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "200")
    for name, value in cli.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)  # so that main's own setting does not stay

    def run_(*arguments):
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run_
