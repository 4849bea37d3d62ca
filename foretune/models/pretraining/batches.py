"""Batches of utterances of similar length, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from foretune.tasks.utterance import Utterance


class Batches:
    """Batches by step: `batches[step]` is the same however training got there.

    Args:
        utterances: what is drawn from, each once an epoch.
        size: utterances a batch.
        seed: draws the order.
        device: where inputs lie; an accelerator keeps each waveform that it has been given.
    """

    def __init__(
        self, utterances: Sequence[Utterance], size: int, seed: int, *, device: str | torch.device = "cpu"
    ) -> None:
        self._waveforms = [np.asarray(utterance.audio) for utterance in utterances]
        self._size = size
        self._seed = seed
        self._device = torch.device(device)
        self._kept: dict[int, Tensor] = {}
        self._epoch = -1
        self._order: list[NDArray[np.int64]] = []

    @property
    def utterances(self) -> int:
        """Return how many utterances there are."""
        return len(self._waveforms)

    def __getitem__(self, step: int) -> NDArray[np.int64]:
        """Return the utterances of the batch of a step, shape (size,)."""
        per_epoch = len(self._waveforms) // self._size
        epoch, index = divmod(step, per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch, per_epoch)
        return self._order[index]

    def _shuffled(self, epoch: int, per_epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self._seed, epoch))
        # lengths with a little noise, so that the neighbours in a batch change from epoch to epoch
        lengths = np.array([len(samples) for samples in self._waveforms]) * rng.uniform(
            0.9, 1.1, len(self._waveforms)
        )
        kept = rng.permutation(len(lengths))[: per_epoch * self._size]
        by_length = kept[np.argsort(lengths[kept], kind="stable")]
        batches = np.split(by_length, per_epoch)
        return [batches[position] for position in rng.permutation(per_epoch)]

    def inputs(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return normalised waveforms (batch, samples) and their mask of valid samples, int64."""
        waveforms = [self._normalised(int(index)) for index in indices]
        lengths = torch.tensor([len(waveform) for waveform in waveforms], device=self._device)
        values = pad_sequence(waveforms, batch_first=True)
        return values, (torch.arange(values.shape[1], device=self._device) < lengths[:, None]).long()

    def _normalised(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index]
        samples = self._waveforms[index].astype(np.float32)
        normalised = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
        if self._device.type == "cpu":
            return normalised
        self._kept[index] = normalised.to(self._device)
        return self._kept[index]


def valid_frames(lengths: Tensor, frames: int) -> Tensor:
    """Return which of so many frames are within each utterance's valid ones.

    Args:
        lengths: valid frames of each utterance, shape (batch,).
        frames: of the longest.

    Returns:
        bool, shape (batch, frames), where `lengths` lie.
    """
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def span_mask(valid: Tensor, *, probability: float, length: int, rng: np.random.Generator) -> Tensor:
    """Mask spans of frames, at least one span in every utterance.

    Args:
        valid: valid frames of each utterance, shape (batch,).
        probability: about the share of frames to mask.
        length: frames a span.
        rng: draws the spans.

    Returns:
        bool, shape (batch, longest), on the CPU; no frame beyond the valid ones is masked.
    """
    mask = torch.zeros(len(valid), int(valid.max()), dtype=torch.bool)
    for row, frames in enumerate(valid.tolist()):
        spans = max(1, round(probability * frames / length))
        for start in rng.integers(0, max(1, frames - length + 1), spans):
            mask[row, start : min(start + length, frames)] = True
    return mask
