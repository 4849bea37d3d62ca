"""Tiny encoders of each family, random weights, saved once as folders."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from transformers import (
    Data2VecAudioConfig,
    HubertConfig,
    UniSpeechSatConfig,
    Wav2Vec2Config,
    WavLMConfig,
    WhisperConfig,
)

from foretune.models.huggingface import load_folder

TINY = made_up.TINY | {"num_hidden_layers": 3, "mask_time_prob": 0.5, "layerdrop": 0.5}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
CONFIGURATIONS = {
    "hubert-stable": HubertConfig(**TINY, **STABLE),
    "hubert-group": HubertConfig(**TINY),
    "wav2vec2-stable": Wav2Vec2Config(**TINY, **STABLE),
    "wav2vec2-layer": Wav2Vec2Config(**TINY, feat_extract_norm="layer"),
    "wavlm": WavLMConfig(**TINY),
    "wavlm-stable": WavLMConfig(**TINY, **STABLE),
    "unispeech-sat": UniSpeechSatConfig(**TINY, **STABLE),
    # five convolutions for the positions, each of which sees what the one before made of the padding
    "data2vec-audio": Data2VecAudioConfig(**TINY, num_conv_pos_embedding_layers=5, conv_pos_kernel_size=3),
    "whisper": WhisperConfig(
        d_model=16,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
        num_mel_bins=80,
    ),
}


def save_tiny(configuration, folder: Path) -> Path:
    """Save a random model of a configuration as a folder, in half precision as the zoo is."""
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = AutoModel.from_config(configuration)
        with torch.no_grad():
            for weight in module.parameters():  # norms and biases that are not their own initial values
                weight.add_(0.05 * torch.randn_like(weight))
    module.half().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory):
    """Return a function from a family's name to its saved folder."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.is_dir() else save_tiny(CONFIGURATIONS[family], path)

    return folder


@pytest.fixture(scope="session")
def tiny_candidate(tiny_folders):
    """Return a function from a family's name to its loaded candidate, loaded once."""
    loaded = {}

    def candidate(family: str):
        if family not in loaded:
            loaded[family] = load_folder(tiny_folders(family), family)
        return loaded[family]

    return candidate


@pytest.fixture(scope="session")
def waveforms():
    """Three waveforms of different lengths, with an offset and a level of their own."""
    rng = np.random.default_rng(1)
    return [
        (level * rng.standard_normal(samples) + offset).astype(np.float32)
        for samples, level, offset in [(5_000, 0.1, 0.0), (9_321, 0.02, 0.01), (16_000, 0.3, -0.02)]
    ]
