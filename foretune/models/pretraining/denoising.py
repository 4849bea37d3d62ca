"""WavLM: masked prediction of clean clusters from mixed speech. Chen et al., 2022, arXiv:2110.13900."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import WavLMConfig, WavLMModel

from .objectives import Hubert
from .recipe import Recipe

_MIXED = 0.5
"""Share of the utterances into which another is mixed."""


class Denoising(Hubert):
    """HuBERT's objective on utterances half of which have another one, or noise, mixed in."""

    def _encoder(self, recipe: Recipe) -> Any:
        # positions that differ by more than some two seconds count alike
        return WavLMModel(WavLMConfig(**recipe.configuration(), num_buckets=32, max_bucket_distance=48))

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Cross entropy on masked frames; watches their accuracy."""
        rng = np.random.default_rng((self._seed, 11, step))
        with warnings.catch_warnings():
            # WavLM's own mixture of a boolean and a float mask, which torch still takes
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
            return super().loss(mix(values, mask, rng), mask, indices, step)


def mix(values: Tensor, mask: Tensor, rng: np.random.Generator) -> Tensor:
    """Mix a part of another utterance of the batch, or noise, into some utterances.

    At most half of an utterance is mixed, at -5 to 5 dB for speech and 0 to 20 dB for noise, as in the paper.

    Args:
        values: normalised waveforms, (batch, samples).
        mask: valid samples, (batch, samples).
        rng: draws what is mixed, where and how loud.

    Returns:
        Waveforms normalised again, of the same shape.
    """
    mixed = values.clone()
    lengths = mask.sum(-1).tolist()
    for row, length in enumerate(lengths):
        if rng.random() >= _MIXED:
            continue
        other = int((row + rng.integers(1, max(2, len(values)))) % len(values))
        span = int(min(rng.integers(length // 10, length // 2 + 1), lengths[other]))
        place = int(rng.integers(0, length - span + 1))
        start = int(rng.integers(0, lengths[other] - span + 1))
        if rng.random() < 0.1:
            added = torch.from_numpy(rng.standard_normal(span)).float().to(values.device)
            decibels = rng.uniform(0, 20)
        else:
            added, decibels = values[other, start : start + span], rng.uniform(-5, 5)
        mixed[row, place : place + span] += 10 ** (-decibels / 20) * added
        heard = mixed[row, :length]
        mixed[row, :length] = (heard - heard.mean()) / (heard.std() + 1e-5)
    return mixed
