"""Encoders on log-mel frames: the frames, the layers' kinds, padding, masks, and loading."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.contract import check
from foretune.models import load_candidate
from foretune.models.log_mel import LogMelConfig, LogMelEncoder
from foretune.models.log_mel.front_ends import log_mel, stack
from foretune.models.log_mel.layers import positions

KINDS = {
    "recurrent": {"hidden_size": 16},
    "transformer": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32},
    "convolution": {"hidden_size": 16},
    "vgg": {"hidden_size": 32, "bands": 32},
}
TOLERANCE = 1e-5


@pytest.fixture(params=KINDS)
def encoder(request) -> LogMelEncoder:
    return make(request.param)


def make(kind: str) -> LogMelEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)  # untrained twins are drawn from 0
        return LogMelEncoder(LogMelConfig(layer_type=kind, num_hidden_layers=3, **KINDS[kind])).eval()


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def test_a_tone_lies_in_its_band():
    time = torch.arange(4_000) / 16_000
    energies = [
        log_mel(torch.sin(2 * np.pi * hertz * time)[None], 20)[0] for hertz in (300.0, 1_000.0, 4_000.0)
    ]
    bands = [int(energy.mean(0).argmax()) for energy in energies]
    mel = 2595 * np.log10(1 + np.array([20, 300, 1_000, 4_000, 8_000]) / 700)
    expected = (mel[1:4] - mel[0]) / (mel[4] - mel[0]) * 21 - 1  # centres of 20 bands at 1..20 of 21 steps
    np.testing.assert_allclose(bands, expected, atol=0.6)


def test_twice_the_amplitude_adds_the_logarithm_of_four():
    once, twice = log_mel(noise(4_000), 20), log_mel(2 * noise(4_000), 20)
    torch.testing.assert_close(twice - once, torch.full_like(once, np.log(4)), atol=1e-2, rtol=0)


def test_four_frames_side_by_side_are_one():
    frames = torch.arange(18.0).reshape(1, 9, 2)
    assert stack(frames).tolist() == [[list(range(8)), list(range(8, 16))]]


def test_positions_of_the_first_two_frames_by_hand():
    given = positions(torch.zeros(1, 2, 4))
    torch.testing.assert_close(given[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    expected = [np.sin(1), np.sin(0.01), np.cos(1), np.cos(0.01)]
    np.testing.assert_allclose(given[1].numpy(), expected, rtol=TOLERANCE)


def test_frames_are_those_of_the_grid(encoder):
    for samples in (encoder.grid.receptive_field, 5_000, 5_639, 16_000):
        found = encoder(noise(samples)).last_hidden_state.shape
        assert found == (1, encoder.grid.frames(samples), encoder.config.hidden_size)
        assert int(encoder._get_feat_extract_output_lengths(torch.tensor(samples))) == found[1]


def test_padding_changes_no_valid_frame(encoder):
    short, long = noise(6_000, 1), noise(9_000, 2)
    alone = encoder(short).last_hidden_state
    mask = torch.ones(2, 9_000, dtype=torch.int64)
    mask[0, 6_000:] = 0
    padded = torch.cat([torch.nn.functional.pad(short, (0, 3_000), value=5.0), long])
    together = encoder(padded, attention_mask=mask).last_hidden_state[:1, : alone.shape[1]]
    torch.testing.assert_close(together, alone, atol=TOLERANCE, rtol=TOLERANCE)


def test_masked_frames_are_not_seen(encoder):
    masked = torch.ones(1, encoder.grid.frames(6_000), dtype=torch.bool)
    one, other = (encoder(noise(6_000, seed), mask_time_indices=masked).last_hidden_state for seed in (1, 2))
    torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert not torch.equal(encoder(noise(6_000, 1)).last_hidden_state, one)


def test_recurrent_layers_do_not_look_ahead():
    encoder, given = make("recurrent"), noise(9_000)
    changed = given.clone()
    changed[:, 5_000:] *= -3
    before, after = (encoder(each).last_hidden_state[0] for each in (given, changed))
    unseen = encoder.grid.frames(5_000)
    torch.testing.assert_close(after[:unseen], before[:unseen], atol=0, rtol=0)
    assert not torch.equal(after[unseen + 1], before[unseen + 1])


def test_blocks_of_vgg_halve_the_bands_until_one_is_left():
    encoder = make("vgg")  # 32 bands: 8 after the front end, then 4, 2, 1
    shapes = [layer.convolution.weight.shape for layer in encoder.layers]
    assert [tuple(shape[:2]) for shape in shapes] == [(8, 4), (16, 8), (32, 16)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_one_is_a_candidate_that_keeps_every_promise(kind, tmp_path):
    encoder = make(kind)
    encoder.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        '{"feature_extractor_type": "Wav2Vec2FeatureExtractor"}'
    )
    candidate = load_candidate(str(tmp_path))
    contract = check(candidate)
    assert contract.holds, [finding for finding in contract.findings if not finding.holds]
    waveform = noise(8_000)[0].numpy()
    states = candidate.forward(candidate.batch([waveform])).layers
    normalised = (waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)
    expected = encoder(torch.from_numpy(normalised)[None]).last_hidden_state
    torch.testing.assert_close(states[-1], expected, atol=1e-4, rtol=1e-4)


def test_a_twin_is_the_same_at_every_loading(tmp_path):
    make("recurrent").save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "preprocessor_config.json").write_text(
        '{"feature_extractor_type": "Wav2Vec2FeatureExtractor"}'
    )
    one, other = (load_candidate(f"{tmp_path}/model-untrained") for _ in range(2))
    assert one.revision == other.revision != load_candidate(f"{tmp_path}/model").revision


def test_unknown_layers_and_odd_widths_are_refused():
    with pytest.raises(ValueError, match="layer_type 'dense': no such layers"):
        LogMelEncoder(LogMelConfig(layer_type="dense"))
    with pytest.raises(ValueError, match="width 30 is not a multiple of a quarter of 32 bands"):
        LogMelEncoder(LogMelConfig(layer_type="vgg", hidden_size=30, bands=32))
