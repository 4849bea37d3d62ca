"""What many tests are about: records, a corpus of words, and the size of an encoder.

A test says in what its own differ; nothing else of them matters there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from foretune.records import AgreementRecord, Provenance, PublishedRecord, ScoreRecord, TuningRecord

PROVENANCE = Provenance(
    commit="0123456789ab",
    dirty=False,
    python="3.11.0",
    machine="Linux x86_64",
    device="cpu",
    threads=1,
    packages={"torch": "2.11.0"},
    started="2026-01-01T00:00:00+00:00",
)
SHARED = {
    "task": "asr",
    "suite": "embedded",
    "data_revision": "aaaaaaaaaaaa",
    "model": "hubert",
    "provenance": PROVENANCE,
}
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (20, 8, 4),
    "conv_stride": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
"""Of the configuration of wav2vec 2.0 and its like."""
SPEAKERS = ("0a7c2a8d", "0b40aa8e", "1aed7c6d", "2bfe0a91")
"""Of `speech_commands`; the last one is tested on."""
RATE = 16_000


def score(**changes):
    """Return LogME's score of a layer of HuBERT."""
    values = SHARED | {
        "model_revision": "bbbbbbbbbbbb",
        "layer": 3,
        "estimator": "logme",
        "score": 0.25,
        "seed": 0,
        "utterances": 10,
        "samples": 100,
        "forward_seconds": 1.0,
        "accumulate_seconds": 0.5,
        "score_seconds": 0.1,
    }
    return ScoreRecord(**(values | changes))


def tuning(**changes):
    """Return a finished run of HuBERT cut after a layer."""
    values = SHARED | {
        "model_revision": "bbbbbbbbbbbb",
        "protocol": "layer",
        "layer": 3,
        "seed": 0,
        "learning_rate": 1e-3,
        "steps": 10,
        "status": "done",
        "metric": "wer",
        "direction": "lower",
        "value": 0.5,
        "metrics": {"wer": 0.5, "cer": 0.2},
        "parameters_trained": 1000,
        "train_utterances": 10,
        "test_utterances": 5,
        "wall_seconds": 60.0,
        "cpu_seconds": 59.0,
        "peak_memory_bytes": 1 << 20,
    }
    return TuningRecord(**(values | changes))


def agreement(**changes):
    """Return LogME's agreement on three layers of HuBERT, which it ranks as fine-tuning does."""
    values = SHARED | {
        "setting": "layers",
        "estimator": "logme",
        "layer_policy": "each",
        "metric": "wer",
        "direction": "lower",
        "candidates": 3,
        "names": ["0", "1", "2"],
        "scores": [0.1, 0.3, 0.2],
        "values": [0.9, 0.25, 0.5],
        "deviations": [0.01, 0.02, None],
        "seeds": 3,
        "spearman": 1.0,
        "p_value": 1 / 3,
        "smallest_p_value": 1 / 3,
        "smooth_p_value": 1.0,
        "kendall": 1.0,
        "weighted_kendall": 1.0,
        "regret": 0.0,
        "regret_at_3": 0.0,
        "score_seconds": 1.5,
        "fine_tune_seconds": 300.0,
        "cost_ratio": 200.0,
    }
    return AgreementRecord(**(values | changes))


def published(**changes):
    """Return LogME's agreement with published results of twelve layers."""
    values = SHARED | {
        "setting": "layers",
        "estimator": "logme",
        "metric": "PER",
        "unit": "%",
        "direction": "lower",
        "candidates": 12,
        "spearman": 0.944,
        "p_value": 1.8e-5,
        "p_value_error": 0.0,
        "exact": True,
        "kendall": 0.8,
        "weighted_kendall": 0.9,
        "regret": 0.0,
        "regret_at_3": 0.0,
        "regret_by_chance": 14.0,
    }
    return PublishedRecord(**(values | changes))


def noise_manifest(folder: Path, *, files: int, of_speaker: int, test: int) -> Path:
    """Write a manifest of files of noise, of two emotions in turn, the last ones to test.

    Args:
        folder: gets the files and `manifest.csv`.
        files: how many.
        of_speaker: how many in a row are of one speaker.
        test: how many are to test.
    """
    rng = np.random.default_rng(1)
    lines = ["path,speaker,emotion,split"]
    for number in range(files):
        waveform = 0.05 * (1 + number % 2) * rng.standard_normal(4_000)
        soundfile.write(folder / f"{number}.wav", waveform, 16_000)
        split = "train" if number < files - test else "test"
        lines.append(f"{number}.wav,s{number // of_speaker},{'ab'[number % 2]},{split}")
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines))
    return path


def speech_commands(root: Path, words: Sequence[str]) -> Path:
    """Write Speech Commands in its own layout: words of four people, each word a tone of its own."""
    for number, word in enumerate(words):
        (root / word).mkdir(parents=True)
        for index, speaker in enumerate(SPEAKERS):
            time = np.arange(RATE // 4 + 160 * index) / RATE
            noise = np.random.default_rng(4 * number + index).standard_normal(time.size)
            tone = 0.2 * np.sin(2 * np.pi * (300 + 400 * number) * time) + 0.02 * noise
            soundfile.write(root / word / f"{speaker}_nohash_0.wav", tone, RATE)
    listed = "".join(f"{word}/{SPEAKERS[-1]}_nohash_0.wav\n" for word in words)
    (root / "testing_list.txt").write_text(listed, encoding="utf-8")
    return root
