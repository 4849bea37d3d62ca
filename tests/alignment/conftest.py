"""An aligner that can be worked out by hand, and a tiny CTC checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from foretune.alignment import Aligner, Identity
from foretune.models.frame_grid import FrameGrid

RATE = 16_000
STRIDE = 320  # 20 ms
TONES = {"a": 500.0, "b": 1500.0, "c": 3000.0}


class ToneAligner(Aligner):
    """Hears letters as tones: a token's log-probability grows with the energy at its tone.

    A frame sees 320 samples, so that frame k covers 20 k to 20 k + 20 ms; silence is blank.
    """

    blank = 0
    delimiter = None
    grid = FrameGrid(STRIDE, STRIDE)

    def __init__(self, name: str = "tones", **identity) -> None:
        self.identity = Identity(name, "0123456789ab", **identity)
        self.vocabulary = {"<pad>": 0, "a": 1, "b": 2, "c": 3}
        self.longest = 0

    def standardise(self, waveform):
        return torch.from_numpy(waveform)

    def infer(self, samples):
        self.longest = max(self.longest, len(samples))
        frames = samples[: len(samples) // STRIDE * STRIDE].reshape(-1, STRIDE)
        times = torch.arange(STRIDE) / RATE
        waves = torch.stack([torch.exp(2j * torch.pi * tone * times) for tone in TONES.values()])
        energy = (frames.to(waves.dtype) @ waves.T).abs() / STRIDE
        scores = torch.cat([torch.full((len(frames), 1), 0.05), energy], dim=1)
        return (100 * scores).log_softmax(-1)


def say(pieces) -> np.ndarray:
    """Return the waveform of (letter or None for silence, frames) in order."""
    rng = np.random.default_rng(0)
    parts = []
    for letter, frames in pieces:
        times = np.arange(frames * STRIDE) / RATE
        tone = np.zeros_like(times) if letter is None else 0.5 * np.sin(2 * np.pi * TONES[letter] * times)
        parts.append(tone)
    joined = np.concatenate(parts)
    return (joined + 1e-4 * rng.standard_normal(len(joined))).astype(np.float32)


@pytest.fixture
def tone_aligner():
    """Return the class of aligners by hand."""
    return ToneAligner


@pytest.fixture
def say_tones():
    """Return what makes waveforms for them."""
    return say


def save_ctc(folder: Path, vocabulary: dict[str, int], **changes) -> Path:
    """Save a random CTC model of the wav2vec 2.0 kind."""
    settings = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
        "conv_dim": (8, 8, 8), "conv_kernel": (20, 8, 4), "conv_stride": (10, 8, 4),
        "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": "layer", "do_stable_layer_norm": True, "vocab_size": len(vocabulary),
        "pad_token_id": 0,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = Wav2Vec2ForCTC(Wav2Vec2Config(**settings | changes))
    module.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return folder


UPPER = {
    token: index for index, token in enumerate(["<pad>", "<unk>", "|", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"])
}


@pytest.fixture
def ctc_folder(tmp_path):
    """Return a folder with a CTC checkpoint that writes capitals, with a token between words."""
    return save_ctc(tmp_path / "ctc", UPPER)


@pytest.fixture
def make_ctc_folder(tmp_path):
    """Return what makes such a folder from a vocabulary."""
    return lambda vocabulary, **changes: save_ctc(tmp_path / "ctc", vocabulary, **changes)
