"""Log-mel filter banks, the baseline that every pre-trained model has to beat (SUPERB's FBANK).

80 bands, windows of 25 ms every 10 ms, by Kaldi's recipe without dither. The mean over time is kept:
subtracting it would leave nothing of an utterance's mean-pooled features.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .candidate import Candidate, Card, HiddenStates
from .frame_grid import FrameGrid

_BANDS = 80
_WINDOW_MS, _STRIDE_MS = 25.0, 10.0


class FilterBanks(Candidate):
    """Log-mel filter banks: layer 0 and no other, nothing trained."""

    name = "fbank"
    num_layers = 0
    dimensions = (_BANDS,)
    grid = FrameGrid(stride=160, receptive_field=400)

    def __init__(self, *, device: str = "cpu") -> None:
        """Make the candidate; its features are computed where `device` says."""
        self.module = nn.Identity()
        self.card = Card(family="filter banks", objective="none", licence="Apache-2.0")
        recipe = f"kaldi fbank {_BANDS} {_WINDOW_MS} {_STRIDE_MS} povey no dither, no mean normalisation, v1"
        self.revision = hashlib.sha256(recipe.encode()).hexdigest()[:12]
        self._device = torch.device(device)

    @property
    def device(self) -> torch.device:
        """Return where features are computed."""
        return self._device

    def batch(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Pad waveforms: `input_values` (batch, samples), float32, and `samples` (batch,), int64."""
        self.check_waveforms(waveforms)
        lengths = [len(waveform) for waveform in waveforms]
        padded = np.zeros((len(waveforms), max(lengths)), dtype=np.float32)
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = waveform
        return {
            "input_values": torch.from_numpy(padded).to(self.device),
            "samples": torch.tensor(lengths, device=self.device),
        }

    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the log-mel energies, (batch, frames, 80)."""
        from torchaudio.compliance.kaldi import fbank

        samples = batch["samples"]
        energies = [
            fbank(
                waveform[None],
                num_mel_bins=_BANDS,
                frame_length=_WINDOW_MS,
                frame_shift=_STRIDE_MS,
                sample_frequency=self.sample_rate,
                dither=0.0,
            )
            for waveform in batch["input_values"]
        ]
        lengths = torch.tensor([self.grid.frames(int(n)) for n in samples], device=samples.device)
        return torch.stack(energies), lengths

    def forward_from_features(
        self, features: Tensor, lengths: Tensor, *, last_layer: int | None = None
    ) -> HiddenStates:
        """Return the energies themselves as layer 0."""
        self.check_layer(last_layer)
        return HiddenStates([features[:, : int(lengths.max())]], lengths)

    def front_end(self) -> None:
        """Return None: nothing here could be frozen."""

    def parameters(self, layer: int) -> int:
        """Return 0."""
        self.check_layer(layer)
        return 0
