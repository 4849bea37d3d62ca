"""The contract of every candidate, over tiny random encoders of each family."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.models.cepstra import CepstralCoefficients
from foretune.models.convolutional import ConvolutionalCandidate
from foretune.models.filter_banks import FilterBanks
from foretune.tasks.errors import InputError

RTOL = 1e-4  # float32, sums in another order
FAMILIES = [
    "hubert-stable",
    "hubert-group",
    "wav2vec2-stable",
    "wav2vec2-layer",
    "wavlm",
    "wavlm-stable",
    "unispeech-sat",
    "data2vec-audio",
    "whisper",
]
CONVOLUTIONAL = [family for family in FAMILIES if family != "whisper"]


FEATURES = {"fbank": FilterBanks, "mfcc": CepstralCoefficients}


@pytest.fixture(params=[*FAMILIES, *FEATURES])
def candidate(request, tiny_candidate):
    return FEATURES[request.param]() if request.param in FEATURES else tiny_candidate(request.param)


@pytest.fixture(params=FAMILIES)
def encoder(request, tiny_candidate):
    return tiny_candidate(request.param)


def assert_close(actual, expected):
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=RTOL, atol=RTOL * scale)


@torch.inference_mode()
def test_layers_dimensions_and_frames_are_those_stated(candidate, waveforms):
    states = candidate.forward(candidate.batch(waveforms))
    assert len(states.layers) == candidate.num_layers + 1 == len(candidate.dimensions)
    assert states.lengths.tolist() == [candidate.grid.frames(len(waveform)) for waveform in waveforms]
    for layer, dimension in zip(states.layers, candidate.dimensions, strict=True):
        assert layer.shape == (len(waveforms), int(states.lengths.max()), dimension)
        assert layer.dtype == torch.float32


@torch.inference_mode()
def test_padding_changes_nothing(candidate, waveforms):
    together = candidate.forward(candidate.batch(waveforms))
    for row, waveform in enumerate(waveforms):
        alone = candidate.forward(candidate.batch([waveform]))
        frames = int(alone.lengths[0])
        for one, many in zip(alone.layers, together.layers, strict=True):
            assert_close(many[row, :frames], one[0])


@torch.inference_mode()
def test_frames_are_counted_by_the_encoder_as_by_the_grid(candidate):
    for samples in (candidate.grid.receptive_field, 4_001, 7_777):
        waveform = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
        features, lengths = candidate.front_end_features(candidate.batch([waveform]))
        assert int(lengths[0]) == candidate.grid.frames(samples)
        assert features.shape[1] == candidate.grid.frames(samples)


@torch.inference_mode()
def test_stopping_after_a_layer_gives_that_layer_up_to_the_final_norm(encoder, waveforms):
    batch = encoder.batch(waveforms)
    full = encoder.forward(batch)
    for stop in range(encoder.num_layers + 1):
        cut = encoder.forward(batch, last_layer=stop)
        assert len(cut.layers) == stop + 1
        for layer in range(stop):
            assert_close(cut.layers[layer], full.layers[layer])
        expected = full.layers[stop]
        if stop < encoder.num_layers and has_final_norm(encoder):
            expected = final_norm(encoder)(expected)
        for row, frames in enumerate(cut.lengths.tolist()):
            assert_close(cut.layers[stop][row, :frames], expected[row, :frames])


@torch.inference_mode()
def test_stopping_runs_no_layer_above(encoder, waveforms):
    ran = []
    layers = encoder.module.layers if encoder.name == "whisper" else encoder.module.encoder.layers
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(layers, start=1)
    ]
    encoder.forward(encoder.batch(waveforms[:1]), last_layer=2)
    for hook in hooks:
        hook.remove()
    assert ran == [1, 2]


@pytest.mark.parametrize("family", CONVOLUTIONAL)
@torch.inference_mode()
def test_layers_are_those_of_transformers(tiny_candidate, waveforms, family):
    candidate = tiny_candidate(family)
    batch = candidate.batch(waveforms[:1])
    output = candidate.module(batch["input_values"], output_hidden_states=True)
    ours = candidate.forward(batch).layers
    assert len(output.hidden_states) == len(ours)
    for layer, theirs in zip(ours[:-1], output.hidden_states[:-1], strict=True):
        assert_close(layer, theirs)
    assert_close(ours[-1], output.last_hidden_state)


@pytest.mark.parametrize("seconds", [0.02, 1.013, 29.99, 30.0])
@torch.inference_mode()
def test_whisper_agrees_with_transformers(tiny_candidate, waveforms, seconds):
    candidate = tiny_candidate("whisper")
    noise = np.random.default_rng(3).standard_normal(round(seconds * 16_000)).astype(np.float32)
    batch = candidate.batch([*waveforms, noise])
    output = candidate.module(batch["input_features"], output_hidden_states=True)
    states = candidate.forward(batch)
    longest = int(states.lengths.max())
    for ours, theirs in zip(states.layers, output.hidden_states, strict=True):
        assert_close(ours, theirs[:, :longest])


def test_gradients_reach_what_lies_below_the_cut_and_nothing_above(encoder, waveforms):
    encoder.module.zero_grad()
    with torch.no_grad():
        features, lengths = encoder.front_end_features(encoder.batch(waveforms))
    states = encoder.forward_from_features(features, lengths, last_layer=2)
    states.layers[-1].square().sum().backward()
    layers = encoder.module.layers if encoder.name == "whisper" else encoder.module.encoder.layers
    reached = [any(weight.grad is not None for weight in layer.parameters()) for layer in layers]
    assert reached == [True, True, False]
    assert all(weight.grad is None for weight in encoder.front_end().parameters())
    encoder.module.zero_grad()


@torch.inference_mode()
def test_valid_frames_of_the_front_end_are_all_that_the_rest_needs(encoder, waveforms):
    batch = encoder.batch(waveforms)
    features, lengths = encoder.front_end_features(batch)
    kept = torch.full((*features.shape[:2], features.shape[2]), 9.0)  # other padding, and more of it
    kept = torch.cat([kept, kept[:, :2]], dim=1)
    for row, frames in enumerate(lengths.tolist()):
        kept[row, :frames] = features[row, :frames]
    whole = encoder.forward(batch)
    split = encoder.forward_from_features(kept, lengths)
    for row, frames in enumerate(lengths.tolist()):
        for one, other in zip(whole.layers, split.layers, strict=True):
            assert_close(other[row, :frames], one[row, :frames])


def test_parameters_grow_by_one_layer_at_a_time(tiny_candidate):
    candidate = tiny_candidate("hubert-stable")
    layer = sum(weight.numel() for weight in candidate.module.encoder.layers[0].parameters())
    counts = [candidate.parameters(depth) for depth in range(4)]
    assert np.diff(counts).tolist() == [layer] * 3
    assert counts[3] == sum(weight.numel() for weight in candidate.module.parameters())


def test_waveforms_are_brought_to_zero_mean_and_unit_variance(tiny_candidate, waveforms):
    batch = tiny_candidate("hubert-stable").batch(waveforms)
    for row, waveform in zip(batch["input_values"], waveforms, strict=True):
        valid = row[: len(waveform)]
        assert float(valid.mean()) == pytest.approx(0, abs=1e-5)
        assert float(valid.var(unbiased=False)) == pytest.approx(1, rel=1e-3)
        assert not row[len(waveform) :].any()


def test_masking_and_dropped_layers_are_off_even_in_training(tiny_candidate, waveforms):
    candidate = tiny_candidate("hubert-stable")
    candidate.module.train()
    with torch.inference_mode():
        states = candidate.forward(candidate.batch(waveforms))
    candidate.module.eval()
    assert len(states.layers) == 4
    assert candidate.module.config.mask_time_prob == 0
    assert candidate.module.config.layerdrop == 0


def test_which_families_need_equal_lengths_is_found_by_trying(tiny_candidate):
    def pads(family):
        candidate = tiny_candidate(family)
        return candidate._pads_waveforms, candidate._pads_features

    assert pads("hubert-stable") == (True, True)
    assert pads("hubert-group") == (False, True)
    assert pads("data2vec-audio") == (True, False)


def test_filter_banks_keep_the_level(waveforms):
    fbank = FilterBanks()
    quiet = fbank.forward(fbank.batch([waveforms[0]])).layers[0]
    loud = fbank.forward(fbank.batch([10 * waveforms[0]])).layers[0]
    assert float((loud - quiet).mean()) == pytest.approx(2 * np.log(10), rel=1e-3)
    assert fbank.parameters(0) == 0


@pytest.mark.parametrize("family", [*CONVOLUTIONAL, "fbank"])  # Whisper's encoder pads: one sample is a frame
def test_what_is_too_short_is_refused(tiny_candidate, family):
    candidate = FilterBanks() if family == "fbank" else tiny_candidate(family)
    with pytest.raises(InputError, match="waveform 1: 100 samples, too few for one frame"):
        candidate.batch([np.zeros(8_000, np.float32), np.zeros(100, np.float32)])


def test_an_empty_batch_is_refused(candidate):
    with pytest.raises(InputError, match="an empty batch"):
        candidate.batch([])


def test_a_layer_that_is_not_there_is_refused(candidate, waveforms):
    above = candidate.num_layers + 1
    with pytest.raises(InputError, match=f"layer {above}: .* has layers 0 to {candidate.num_layers}"):
        candidate.forward(candidate.batch(waveforms), last_layer=above)


def test_speech_longer_than_whispers_window_is_refused(tiny_candidate):
    with pytest.raises(InputError, match=r"waveform 0: 31\.0 s, and whisper takes 30 s at most"):
        tiny_candidate("whisper").batch([np.zeros(31 * 16_000, np.float32)])


def has_final_norm(candidate):
    return not isinstance(candidate, ConvolutionalCandidate) or candidate.module.config.to_dict().get(
        "do_stable_layer_norm", False
    )


def final_norm(candidate):
    return (
        candidate.module.encoder.layer_norm
        if isinstance(candidate, ConvolutionalCandidate)
        else (candidate.module.layer_norm)
    )
