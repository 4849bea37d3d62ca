"""A toy encoder and toy speech: each character, and each class, is a tone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import made_up
import numpy as np
import pytest
import torch
from torch import nn

from foretune.models.candidate import Candidate, Card, HiddenStates
from foretune.models.frame_grid import FrameGrid
from foretune.tasks import InputError, get_task
from foretune.tasks.utterance import TaskData, Utterance
from foretune.tuning import planning, worker
from foretune.tuning.settings import departures

STRIDE = 320
PHONES = {"a": "tʃ", "b": "t", "c": "ʃ"}
TONES = {"a": 600.0, "b": 1400.0, "c": 2600.0}  # Hz, each in one band of the toy encoder


class ToyEncoder(nn.Module):
    """Log energies of 16 fixed bands (the front end), a projection, residual layers, and spare weights."""

    def __init__(self, layers: int, width: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.front_end = nn.Linear(STRIDE, 32, bias=False)
        self.projection = nn.Linear(16, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.spare = nn.Parameter(torch.zeros(7))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0, 0.3, generator=generator)
            time = torch.arange(STRIDE) / 16_000
            for band in range(16):
                phase = 2 * torch.pi * 200 * (band + 1) * time
                self.front_end.weight[2 * band] = phase.cos()
                self.front_end.weight[2 * band + 1] = phase.sin()


class ToyCandidate(Candidate):
    """A candidate around `ToyEncoder`."""

    def __init__(self, layers: int = 3, width: int = 12, seed: int = 0) -> None:
        self.name = "toy"
        self.revision = f"{seed:012x}"
        self.num_layers = layers
        self.dimensions = (width,) * (layers + 1)
        self.grid = FrameGrid(STRIDE, STRIDE)
        self.card = Card(family="toy")
        self.module = ToyEncoder(layers, width, seed)
        self.front_end_calls = 0

    def batch(self, waveforms):
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = np.zeros((len(waveforms), int(lengths.max())), dtype=np.float32)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = waveform
        return {"input_values": torch.from_numpy(padded), "samples": lengths}

    def front_end_features(self, batch):
        self.front_end_calls += 1
        frames = batch["input_values"].unfold(1, STRIDE, STRIDE)
        energies = self.module.front_end(frames).unflatten(-1, (16, 2)).square().sum(-1)
        return (energies + 1e-2).log(), batch["samples"] // STRIDE

    def forward_from_features(self, features, lengths, *, last_layer=None):
        stop = self.num_layers if last_layer is None else last_layer
        layers = [self.module.projection(features)]
        for layer in self.module.layers[:stop]:
            layers.append(layers[-1] + layer(layers[-1]).tanh())
        return HiddenStates(layers, lengths)

    def front_end(self):
        return self.module.front_end

    def parameters(self, layer):
        cut = sum(parameter.numel() for parameter in self.module.layers[layer:].parameters())
        return sum(parameter.numel() for parameter in self.module.parameters()) - cut


def spoken(text: str, rng: np.random.Generator) -> np.ndarray:
    """Return int16 samples: 3 frames of a tone for each character, 1 of silence after it."""
    parts = []
    for character in text:
        tone = np.sin(2 * np.pi * TONES[character] * np.arange(3 * STRIDE) / 16_000 + rng.uniform(0, 6))
        parts += [tone, np.zeros(STRIDE)]
    samples = np.concatenate(parts)
    return (6000 * (samples + 0.05 * rng.standard_normal(len(samples)))).astype(np.int16)


def toy_data(task: str, train: int = 48, test: int = 24) -> TaskData:
    """Return utterances of 3 to 5 characters; the emotion is the tone that they all have, if so asked."""
    rng = np.random.default_rng(0)
    utterances = []
    for number in range(train + test):
        length = int(rng.integers(3, 6))
        if task == "emotion_recognition":
            text = "abc"[number % 3] * length
        else:
            text = "".join(rng.choice(list("abc"), length))
        utterances.append(
            Utterance(
                id=f"{task}-{number}",
                audio=spoken(text, rng),
                text=text,
                emotion=text[0],
                speaker="s",
                pronunciation=" ".join(PHONES[character] for character in text),
                language="de" if number % 2 else "pl",
            )
        )
    return TaskData(task, "local", "0123456789ab", utterances[:train], utterances[train:])


@pytest.fixture
def toy() -> ToyCandidate:
    return ToyCandidate()


@pytest.fixture
def make_toy() -> Callable[..., ToyCandidate]:
    return ToyCandidate


@pytest.fixture(scope="session")
def tones() -> TaskData:
    return toy_data("emotion_recognition")


@pytest.fixture(scope="session")
def spelled() -> TaskData:
    return toy_data("asr")


@pytest.fixture
def emotion():
    return get_task("emotion_recognition")


@pytest.fixture
def asr():
    return get_task("asr")


@pytest.fixture(scope="session")
def few() -> TaskData:
    """Utterances for encoders that are not toys."""
    return toy_data("emotion_recognition", train=12, test=6)


@pytest.fixture(scope="session")
def spelled_few() -> TaskData:
    return toy_data("asr", train=12, test=6)


@pytest.fixture
def load(monkeypatch, make_toy):
    """Make `toy` and `small` loadable, and count what is loaded."""
    loaded = Counter()

    def load_candidate(name, *, device="cpu"):
        loaded[name] += 1
        if name not in ("toy", "small"):
            raise InputError(f"model {name}: unknown")
        candidate = make_toy(layers=3 if name == "toy" else 1, seed=len(name))
        candidate.name = name
        return candidate

    monkeypatch.setattr(planning, "load_candidate", load_candidate)
    monkeypatch.setattr(worker, "load_candidate", load_candidate)
    return loaded


@pytest.fixture
def sets(tones, spelled):
    return {"emotion_recognition": tones, "asr": spelled}


@pytest.fixture
def manifest(tmp_path):
    """Return a manifest of two classes of noise, twenty files to train on and four to test."""
    return made_up.noise_manifest(tmp_path, files=24, of_speaker=4, test=4)


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that lets runs give what a function of task, model, layer and seed says.

    It returns the list of these runs.
    """

    def use(value):
        runs = []

        def fine_tune(candidate, task, data, *, layer, protocol, seed, settings, **_):
            runs.append((task.name, candidate.name, layer, seed))
            return made_up.tuning(
                task=task.name,
                suite=data.suite,
                data_revision=data.revision,
                model=candidate.name,
                model_revision=candidate.revision,
                protocol=protocol,
                layer=layer,
                seed=seed,
                settings=departures(task, settings),
                value=value(*runs[-1]),
            )

        monkeypatch.setattr(worker, "fine_tune", fine_tune)
        return runs

    return use
