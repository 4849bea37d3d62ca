"""Cluster targets of HuBERT: k-means over MFCC, then over a layer of the first model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans
from torch import nn

from foretune.models.frame_grid import FrameGrid
from foretune.tasks.utterance import Utterance

from .batches import Batches

_FITTED_FRAMES = 60_000


def mfcc(utterances: Sequence[Utterance], grid: FrameGrid) -> list[NDArray[np.float32]]:
    """Return 13 MFCC with first and second differences on an encoder's frame grid.

    Each utterance's mean is taken off, which takes most of the microphone with it.

    Returns:
        One array (frames, 39) an utterance.
    """
    transform = torchaudio.transforms.MFCC(
        16_000, n_mfcc=13, melkwargs={"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40}
    )
    features = []
    for utterance in utterances:
        waveform = torch.from_numpy(utterance.waveform())
        coefficients = transform(waveform)
        first = torchaudio.functional.compute_deltas(coefficients)
        second = torchaudio.functional.compute_deltas(first)
        every_10_ms = torch.cat([coefficients, first, second]).T  # centred on multiples of 10 ms
        centres = np.rint(grid.centres(grid.frames(len(waveform))) * 100).astype(np.int64)
        around = [every_10_ms[np.clip(centres + shift, 0, len(every_10_ms) - 1)] for shift in (-1, 0, 1)]
        pooled = torch.stack(around).mean(0)
        features.append((pooled - pooled.mean(0)).numpy())
    return features


def hidden(encoder: nn.Module, layer: int, utterances: Sequence[Utterance]) -> list[NDArray[np.float32]]:
    """Return one layer's hidden states, one array (frames, dimension) an utterance."""
    features: dict[int, NDArray[np.float32]] = {}
    batches = Batches(utterances, 1, 0, device=next(encoder.parameters()).device)
    order = np.argsort([len(np.asarray(utterance.audio)) for utterance in utterances], kind="stable")
    encoder.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            indices = order[start : start + 32]
            values, mask = batches.inputs(indices)
            output = encoder(values, attention_mask=mask, output_hidden_states=True)
            lengths = encoder._get_feat_extract_output_lengths(mask.sum(-1))  # type: ignore[operator]
            for row, index in enumerate(indices):
                features[int(index)] = output.hidden_states[layer][row, : lengths[row]].cpu().numpy()
    encoder.train()
    return [features[index] for index in range(len(utterances))]


def cluster(features: Sequence[NDArray[np.float32]], clusters: int, seed: int) -> list[NDArray[np.int64]]:
    """Return the cluster of each frame: k-means fitted on a sample of frames, each dimension scaled alike."""
    frames = np.concatenate(list(features))
    scale = frames.std(0) + 1e-6
    rng = np.random.default_rng(seed)
    sample = frames[rng.choice(len(frames), min(_FITTED_FRAMES, len(frames)), replace=False)] / scale
    means = MiniBatchKMeans(clusters, batch_size=4096, n_init=3, random_state=seed).fit(sample)
    return [means.predict(one / scale).astype(np.int64) for one in features]
