"""torchaudio's encoders: folders, bundles, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from foretune.contract import check
from foretune.models import check_name, load_candidate
from foretune.tasks.errors import InputError

WAVLM = {
    "extractor_mode": "group_norm",
    "extractor_conv_layer_config": [[8, 20, 10], [8, 8, 8], [8, 4, 4]],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.0,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "encoder_num_layers": 2,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.0,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.0,
    "encoder_layer_norm_first": False,
    "encoder_layer_drop": 0.0,
    "aux_num_out": None,
    "encoder_num_buckets": 8,
    "encoder_max_distance": 20,
}
WAV2VEC2 = {
    key: value for key, value in WAVLM.items() if key not in ("encoder_num_buckets", "encoder_max_distance")
}
STABLE = {**WAV2VEC2, "extractor_mode": "layer_norm", "encoder_layer_norm_first": True}
TRANSFORMER = {"input_dim": 16, "num_heads": 2, "ffn_dim": 32, "num_layers": 2}
RNNT = {
    "input_dim": 8,
    "encoding_dim": 16,
    "num_symbols": 12,
    "segment_length": 16,
    "right_context_length": 4,
    "time_reduction_input_dim": 4,
    "time_reduction_stride": 4,
    "transformer_num_heads": 2,
    "transformer_ffn_dim": 32,
    "transformer_num_layers": 2,
    "transformer_dropout": 0.0,
    "transformer_activation": "gelu",
    "transformer_left_context_length": 8,
    "transformer_max_memory_size": 0,
    "transformer_weight_init_scale_strategy": "depthwise",
    "transformer_tanh_on_mem": True,
    "symbol_embedding_dim": 8,
    "num_lstm_layers": 1,
    "lstm_layer_norm": True,
    "lstm_layer_norm_epsilon": 1e-3,
    "lstm_dropout": 0.0,
}
FAMILIES = {
    "wav2vec2": {"torchaudio": "wav2vec2_model", "arguments": WAV2VEC2},
    "wav2vec2-stable": {"torchaudio": "wav2vec2_model", "arguments": STABLE, "normalise": True},
    "wavlm": {"torchaudio": "wavlm_model", "arguments": WAVLM},
    "conformer": {
        "torchaudio": "Conformer",
        "arguments": {**TRANSFORMER, "depthwise_conv_kernel_size": 5},
        "features": {"bins": 8, "stack": 2, "mean": -5.0, "std": 4.0},
    },
    "emformer": {
        "torchaudio": "Emformer",
        "arguments": {
            **TRANSFORMER,
            "segment_length": 4,
            "left_context_length": 8,
            "right_context_length": 1,
        },
        "features": {"bins": 8, "stack": 2},
    },
    "rnnt": {"torchaudio": "emformer_rnnt_model", "arguments": RNNT, "features": {"bins": 8}},
}
GRIDS = {  # stride and receptive field, in samples
    "wav2vec2": (320, 330),
    "wav2vec2-stable": (320, 330),
    "wavlm": (320, 330),
    "conformer": (320, 560),
    "emformer": (320, 560),
    "rnnt": (640, 880),
}


def build(config):
    import torchaudio.models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = getattr(torchaudio.models, config["torchaudio"])(**config["arguments"])
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    return getattr(module, "transcriber", module)


@pytest.fixture
def folder(tmp_path):
    """Return a function from a family, and changes to its configuration, to a folder."""

    def make(family, **changes):
        config = FAMILIES[family]
        weights = {key: tensor.contiguous() for key, tensor in build(config).state_dict().items()}
        save_file(weights, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(config | changes))
        return tmp_path

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_every_promise_is_kept_and_the_grid_is_right(folder, family):
    candidate = load_candidate(str(folder(family)))
    found = check(candidate)
    assert {each.promise: each.measured for each in found.findings if not each.holds} == {}
    assert (candidate.grid.stride, candidate.grid.receptive_field) == GRIDS[family]
    assert candidate.num_layers == 2
    assert candidate.card.family == "torchaudio"


@torch.inference_mode()
def test_layers_are_those_that_torchaudio_returns(folder):
    waveform = torch.randn(1, 8_000, generator=torch.Generator().manual_seed(1))
    for family in ("wav2vec2", "wav2vec2-stable"):
        candidate = load_candidate(str(folder(family, normalise=False)))
        module = build(FAMILIES[family]).eval()
        theirs, _ = module.extract_features(waveform)
        ours = candidate.forward(candidate.batch([waveform[0].numpy()])).layers
        last = module.encoder.transformer.layer_norm(theirs[1]) if family == "wav2vec2-stable" else theirs[1]
        torch.testing.assert_close(ours[1], theirs[0])
        torch.testing.assert_close(ours[2], last)


def test_a_waveform_is_normalised_by_itself_whatever_shares_its_batch(folder):
    candidate = load_candidate(str(folder("wav2vec2-stable")))
    quiet = torch.randn(8_000, generator=torch.Generator().manual_seed(2)).numpy()
    with torch.inference_mode():
        alone = candidate.forward(candidate.batch([quiet])).layers
        both = candidate.forward(candidate.batch([quiet, 100 * quiet])).layers
    for one, many in zip(alone, both, strict=True):
        torch.testing.assert_close(many[:1], one, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(many[1:], one, rtol=1e-3, atol=1e-3)


def test_a_twin_needs_no_weights_and_has_its_own(folder):
    path = folder("conformer")
    trained = load_candidate(str(path))
    (path / "model.safetensors").unlink()
    twin, again = load_candidate(f"{path}-untrained"), load_candidate(f"{path}-untrained")
    assert twin.revision == again.revision != trained.revision


def test_what_else_makes_its_features_is_part_of_the_revision(folder):
    first = load_candidate(str(folder("conformer"))).revision
    other = {"bins": 8, "stack": 2, "mean": -4.0, "std": 4.0}
    assert load_candidate(str(folder("conformer", features=other))).revision != first


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"torchaudio": "Tacotron2"}, r"config\.json: torchaudio 'Tacotron2' is no encoder known here"),
        ({"torchaudio": "wav2vec2_nothing"}, r"config\.json: torchaudio has no wav2vec2_nothing"),
        ({"arguments": {"layers": 2}}, r"config\.json: arguments of Conformer: .*layers"),
        ({"features": {"bands": 8}}, r"config\.json: features: .*bands"),
        ({"features": {"bins": 7}}, r"config\.json: the model cannot be run on speech: .*check `features`"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(folder, changes, match):
    with pytest.raises(InputError, match=match):
        load_candidate(str(folder("conformer", **changes)))


def test_weights_of_another_model_are_refused(folder):
    path = folder("conformer", arguments={**FAMILIES["conformer"]["arguments"], "ffn_dim": 48})
    with pytest.raises(InputError, match=r"its weights cannot be read .*save them again"):
        load_candidate(str(path))


def test_pickled_weights_are_not_opened(folder):
    path = folder("conformer")
    (path / "model.safetensors").rename(path / "model.pt")
    with pytest.raises(InputError, match=r"its weights are pickled \(model\.pt\)"):
        load_candidate(str(path))


def test_a_bundle_whose_weights_are_not_on_disk_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    check_name("torchaudio:HUBERT_BASE")
    with pytest.raises(InputError, match=r"not on disk, and nothing is downloaded; put hubert.*\.pth into"):
        load_candidate("torchaudio:HUBERT_BASE")


def test_a_bundle_that_is_not_there_suggests_the_nearest():
    with pytest.raises(InputError, match=r"model torchaudio:HUBERT_BAS: .* it has HUBERT_BASE and others"):
        check_name("torchaudio:HUBERT_BAS")
    with pytest.raises(InputError, match="torchaudio has no such encoder"):
        load_candidate("torchaudio:TACOTRON2_WAVERNN_CHAR_LJSPEECH")


def test_a_bundle_is_loaded_from_the_cache_without_code(monkeypatch, tmp_path):
    from torchaudio import pipelines

    bundle = pipelines.Wav2Vec2Bundle("tiny.pth", STABLE, 16_000.0, True, "Wav2Vec2")
    monkeypatch.setattr(pipelines, "TINY", bundle, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(build(FAMILIES["wav2vec2-stable"]).state_dict(), tmp_path / "checkpoints" / "tiny.pth")
    candidate = load_candidate("torchaudio:TINY")
    assert check(candidate).holds
    assert candidate.card.details == {"bundle": "TINY"}


def test_padding_leaves_a_conformer_as_it_is():
    """Its convolutions over time reach beyond the last frame, where torchaudio itself masks nothing."""
    rng = np.random.default_rng(0)
    short, long = (0.1 * rng.standard_normal(samples).astype(np.float32) for samples in (9_000, 16_000))
    candidate = load_candidate("conformer-untrained")
    both = candidate.forward(candidate.batch([short, long]))
    alone = candidate.forward(candidate.batch([short]))
    frames = int(alone.lengths[0])
    for padded, single in zip(both.layers, alone.layers, strict=True):
        torch.testing.assert_close(padded[0, :frames], single[0], rtol=1e-4, atol=1e-5)
    # beside torchaudio's own forward pass, which is right where nothing is padded
    arguments = candidate._arguments([short])
    own, _ = candidate.module(**arguments)
    torch.testing.assert_close(alone.layers[-1][0], own[0], rtol=1e-4, atol=1e-5)


def test_a_conformer_runs_utterances_of_different_length_together():
    candidate = load_candidate("conformer-untrained")
    calls = []
    candidate.module.register_forward_pre_hook(lambda *_: calls.append(1))
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32)
    candidate.forward(candidate.batch([noise, noise[:9_000], noise[:12_000]]))
    assert len(calls) == 1
