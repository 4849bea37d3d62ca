"""Strided convolutions as matrix products: the module's own function."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModel, HubertConfig, Wav2Vec2Config

from foretune.models import convolutional
from foretune.models.candidate import Card
from foretune.models.convolutional import ConvolutionalCandidate
from foretune.models.strided_convolutions import StridedConvolutions

RTOL = 2e-5  # of the largest feature; float32, sums of a few hundred numbers in another order
STACKS = [
    ((10, 3, 3, 2), (5, 2, 2, 2)),
    ((20, 8, 4), (10, 8, 4)),
    ((7, 5, 1, 3), (3, 1, 1, 2)),  # kernels of several strides, of one, and of less than one
    ((4, 2), (6, 3)),
]


def front_end(kernels, strides, norm, bias, seed=0):
    config = Wav2Vec2Config(
        conv_kernel=kernels,
        conv_stride=strides,
        conv_dim=tuple(range(6, 6 + 2 * len(kernels), 2)),
        num_feat_extract_layers=len(kernels),
        feat_extract_norm=norm,
        conv_bias=bias,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = AutoModel.from_config(config).feature_extractor.eval()
        with torch.no_grad():
            for weight in module.parameters():  # norms that are not their initial values
                weight.add_(0.2 * torch.randn_like(weight))
    return module


def waveforms(samples, offset=0.3):
    rng = np.random.default_rng(samples)
    return torch.from_numpy((rng.standard_normal((3, samples)) + offset).astype(np.float32))


@pytest.mark.parametrize("stack", STACKS, ids=str)
@pytest.mark.parametrize(
    ("norm", "bias"), [("group", True), ("group", False), ("layer", True), ("layer", False)]
)
@pytest.mark.parametrize("samples", [400, 1_237, 12_345])  # the longest in several stretches
def test_it_is_the_modules_own_function(stack, norm, bias, samples):
    module = front_end(*stack, norm, bias)
    products = StridedConvolutions.of(module)
    with torch.inference_mode():
        expected = module(waveforms(samples)).transpose(1, 2)
        found = products(waveforms(samples))
    assert found.shape == expected.shape
    scale = float(expected.abs().max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=RTOL * scale)


def test_the_least_waveform_gives_one_frame():
    module = front_end((10, 3, 2), (5, 2, 2), "layer", True)
    with torch.inference_mode():
        expected = module(waveforms(30)).transpose(1, 2)
        found = StridedConvolutions.of(module)(waveforms(30))
    assert found.shape == expected.shape == (3, 1, 10)
    np.testing.assert_allclose(found, expected, atol=RTOL)


def test_a_loud_offset_does_not_drown_the_variance():
    module = front_end((10, 3), (5, 2), "group", False)
    with torch.inference_mode():
        expected = module.double()(waveforms(2_000, offset=100.0).double()).transpose(1, 2)
        found = StridedConvolutions.of(module.float())(waveforms(2_000, offset=100.0))
    # float32 features of samples near 100 have no more digits than this; the module's own are as far
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_it_follows_weights_that_change():
    module = front_end((10, 3), (5, 2), "layer", True)
    products = StridedConvolutions.of(module)
    with torch.inference_mode():
        module.conv_layers[1].conv.weight.mul_(3)
        expected = module(waveforms(400)).transpose(1, 2)
        np.testing.assert_allclose(products(waveforms(400)), expected, rtol=0, atol=1e-4)


def test_it_serves_inference_in_float32_only():
    with torch.no_grad():
        assert StridedConvolutions.serve(torch.zeros(1, 400))
        assert not StridedConvolutions.serve(torch.zeros(1, 400, dtype=torch.float64))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not StridedConvolutions.serve(torch.zeros(1, 400))
    assert not StridedConvolutions.serve(torch.zeros(1, 400))


def test_other_stacks_are_left_alone():
    assert StridedConvolutions.of(nn.Conv1d(1, 2, 3)) is None
    for change in ({"padding": (1,)}, {"dilation": (2,)}, {"groups": 2}):
        module = front_end((10, 3), (5, 2), "layer", True)
        for name, value in change.items():
            setattr(module.conv_layers[1].conv, name, value)
        assert StridedConvolutions.of(module) is None
    module = front_end((10, 3), (5, 2), "group", True)
    module.conv_layers[0].layer_norm.num_groups = 2
    assert StridedConvolutions.of(module) is None
    module.conv_layers[0].layer_norm = nn.BatchNorm1d(6)
    assert StridedConvolutions.of(module) is None


def test_hubert_has_the_same_form():
    module = AutoModel.from_config(
        HubertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    assert StridedConvolutions.of(module.feature_extractor) is not None


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("stack", STACKS)
def test_padding_changes_no_valid_frame(stack, norm):
    module = front_end(*stack, norm, bias=True)
    products = StridedConvolutions.of(module)
    rng = torch.Generator().manual_seed(0)
    rows = [torch.randn(count, generator=rng) for count in (900, 401, 655)]
    padded = 50 * torch.randn(3, 1_000, generator=rng)  # what lies beyond may be anything
    for row, waveform in zip(padded, rows, strict=True):
        row[: len(waveform)] = waveform
    with torch.no_grad():
        together = products.padded(padded, torch.tensor([len(row) for row in rows]))
        for features, row in zip(together, rows, strict=True):
            alone = module(row[None])[0].T
            torch.testing.assert_close(
                features[: len(alone)], alone, rtol=0, atol=RTOL * float(alone.abs().max())
            )


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_candidates_features_are_the_same_on_the_way_of_a_gpu(norm, monkeypatch):
    config = HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm=norm,
    )
    candidate = ConvolutionalCandidate("h", AutoModel.from_config(config), Card("hubert"), normalise=True)
    rng = np.random.default_rng(0)
    batch = candidate.batch(
        [rng.standard_normal(count).astype(np.float32) for count in (9_000, 4_321, 6_007)]
    )
    with torch.inference_mode():
        expected = candidate.forward(batch)
        monkeypatch.setattr(convolutional, "padded_convolutions_serve", lambda waveforms: True)
        states = candidate.forward(batch)
    assert torch.equal(states.lengths, expected.lengths)
    assert states.lengths.tolist() == [candidate.grid.frames(count) for count in (9_000, 4_321, 6_007)]
    for one, other in zip(states.layers, expected.layers, strict=True):
        for row, wanted, length in zip(one, other, states.lengths.tolist(), strict=True):
            torch.testing.assert_close(row[:length], wanted[:length], rtol=0, atol=1e-4)
