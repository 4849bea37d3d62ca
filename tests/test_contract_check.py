"""The contract: kept by what ships, and every promise that is broken is found out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from foretune import contract
from foretune.contract import PROMISES, check
from foretune.models import Candidate, Card, FrameGrid, HiddenStates, ModuleCandidate
from foretune.models.filter_banks import FilterBanks


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(1, 8, 400, 320)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
        self.norm = nn.LayerNorm(8)

    def forward(self, waveforms):
        hidden = self.convolution(waveforms[:, None]).transpose(1, 2)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.norm(hidden)


class Honest(ModuleCandidate):
    """Keeps every promise; the others each break one."""

    def __init__(self, **settings):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(4)
            encoder = Encoder()
        super().__init__("mine", encoder, layers="layers", **settings)


class CountsALayerTooMany(Honest):
    def __init__(self):
        super().__init__()
        self.dimensions = (*self.dimensions, 8)


class GivesNaN(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        states.layers[-1] = states.layers[-1] / (states.layers[-1] * 0)
        return states


class IsInDouble(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        return HiddenStates([layer.double() for layer in states.layers], states.lengths)


class IsRandom(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        states.layers[0] = states.layers[0] + 1e-7 * torch.randn(states.layers[0].shape)
        return states


class LeaksPadding(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        longest = batch["waveforms"].shape[1]
        states.layers[1:] = [layer * (1 + 1e-8 * longest) for layer in states.layers[1:]]
        return states


class MindsItsPlace(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        if len(states.lengths) > 1:
            states.layers[0] = states.layers[0] * torch.linspace(1, 1.01, len(states.lengths))[:, None, None]
        return states


class CountsFramesWrong(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        odd = batch["samples"].sum() % 2
        return HiddenStates([layer[:, int(odd) :] for layer in states.layers], states.lengths - odd)


class ShiftsFrames(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        return HiddenStates([layer.roll(4, dims=1) for layer in states.layers], states.lengths)


class CutsBelow(Honest):
    def forward(self, batch, *, last_layer=None):
        states = super().forward(batch, last_layer=last_layer)
        if last_layer == 1:
            states.layers[-1] = states.layers[0]
        return states


class HalvesDiffer(Honest):
    def forward_from_features(self, features, lengths, *, last_layer=None):
        states = super().forward_from_features(features, lengths, last_layer=last_layer)
        return HiddenStates([1.01 * layer for layer in states.layers], lengths)


class TrainsItsFrontEnd(Honest):
    def forward_from_features(self, features, lengths, *, last_layer=None):
        states = super().forward_from_features(features, lengths, last_layer=last_layer)
        extra = self.module.convolution.weight.sum() * 0
        return HiddenStates([layer + extra for layer in states.layers], lengths)


class TakesAnything(Honest):
    def refusal(self, samples):
        del samples


BROKEN = {
    CountsALayerTooMany: ("layers are counted right", "3 hidden states, 2 layers, 4 dimensions"),
    GivesNaN: ("finite, single precision, on its device", "layer 2 has values that are not finite"),
    IsInDouble: ("finite, single precision, on its device", "layer 0 is torch.float64"),
    IsRandom: ("two runs agree", "two runs differ"),
    LeaksPadding: ("padding changes nothing", "differs by"),
    MindsItsPlace: ("order in the batch changes nothing", "differs by"),
    CountsFramesWrong: ("frames are counted as by the grid", "frames of"),
    ShiftsFrames: ("frames lie where the grid says", "frames beside those that see them"),
    CutsBelow: (
        "a cut gives the layer of the whole pass",
        "last_layer=1 is neither layer 1 nor a norm of it",
    ),
    HalvesDiffer: ("two halves make the whole", "differs by 1.0e-02"),
    TrainsItsFrontEnd: ("gradients stop where they should", "a gradient reaches the front end"),
    TakesAnything: ("what it cannot take is refused", "takes an empty waveform"),
}


@pytest.mark.parametrize("candidate", [FilterBanks, Honest], ids=lambda kind: kind.__name__)
def test_an_honest_candidate_keeps_every_promise(candidate):
    found = check(candidate())
    assert {each.promise: each.measured for each in found.findings if not each.holds} == {}
    assert [each.promise for each in found.findings] == list(PROMISES)
    assert found.holds
    assert found.frames_per_second > 0


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_promise_is_found_out(kind):
    promise, measured = BROKEN[kind]
    found = check(kind())
    assert not found.holds
    (finding,) = [each for each in found.findings if each.promise == promise]
    assert not finding.holds
    assert measured in finding.measured


def test_every_promise_has_somebody_who_breaks_it():
    assert {promise for promise, _ in BROKEN.values()} == set(PROMISES)


def test_what_fails_outright_is_reported_as_broken():
    class Fails(Honest):
        def forward(self, batch, *, last_layer=None):
            raise RuntimeError("no\nforward")

    found = check(Fails())
    assert found.findings[0].measured == "RuntimeError: no forward"
    assert not found.findings[0].holds
    assert found.frames_per_second == 0


def test_a_candidate_by_hand_needs_no_module():
    class Means(Candidate):
        name, revision, num_layers, dimensions = "means", "0" * 12, 1, (1, 2)
        grid, card = FrameGrid(160, 160), Card(family="by hand")
        module = nn.Identity()

        def batch(self, waveforms):
            self.check_waveforms(waveforms)
            longest = max(map(len, waveforms))
            padded = np.stack([np.pad(each, (0, longest - len(each))) for each in waveforms])
            return {"waveforms": torch.from_numpy(padded), "samples": torch.tensor(list(map(len, waveforms)))}

        def front_end_features(self, batch):
            lengths = batch["samples"] // 160
            frames = batch["waveforms"][:, : int(lengths.max()) * 160].unflatten(1, (-1, 160))
            return frames.mean(2, keepdim=True), lengths

        def forward_from_features(self, features, lengths, *, last_layer=None):
            features = features[:, : int(lengths.max())]
            return HiddenStates(
                [features, features.repeat(1, 1, 2)][: self.check_layer(last_layer) + 1], lengths
            )

        def front_end(self):
            return None

        def parameters(self, layer):
            return self.check_layer(layer)

    found = check(Means())
    broken = {each.promise: each.measured for each in found.findings if not each.holds}
    assert list(broken) == ["gradients stop where they should"]  # there is nothing that could train


def test_checking_leaves_the_candidate_as_it_was():
    candidate = Honest()
    candidate.module.norm.weight.requires_grad_(False)
    before = {key: tensor.clone() for key, tensor in candidate.module.state_dict().items()}
    check(candidate)
    assert [each.requires_grad for each in candidate.module.norm.parameters()] == [False, True]
    assert all(each.grad is None for each in candidate.module.parameters())
    for key, tensor in candidate.module.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_noise_is_the_same_on_each_call():
    np.testing.assert_array_equal(contract.noise(1_000), contract.noise(1_000))
    assert contract.noise(1_000).dtype == np.float32


def test_the_command_prints_what_it_found_and_writes_it(run, tmp_path):
    code, out, err = run("check", "fbank", "--json", tmp_path / "found.json")
    assert code == 0
    assert "padding changes nothing" in out
    assert "frames per second, all layers, on cpu" in err
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["holds"] is True
    assert found["facts"]["frame stride (ms)"] == 10.0
    assert [each["promise"] for each in found["findings"]] == list(PROMISES)


def test_the_command_exits_with_1_where_a_promise_is_broken(run, monkeypatch):
    monkeypatch.setattr("foretune.models.load_candidate", lambda name, device: LeaksPadding())
    code, out, _ = run("check", "mine")
    assert code == 1
    (row,) = [line for line in out.splitlines() if "padding changes nothing" in line]
    assert "NO" in row


def test_the_command_exits_with_2_on_a_name_that_is_not_there(run, tmp_path):
    code, out, err = run("check", "fbanks")
    assert (code, out) == (2, "")
    assert err.startswith("foretune: error: model fbanks: unknown; did you mean fbank")
    code, _, err = run("check", "fbank", "--json", tmp_path / "absent" / "found.json")
    assert code == 2
    assert "there is no folder" in err
