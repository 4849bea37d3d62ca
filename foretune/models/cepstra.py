"""Mel-frequency cepstral coefficients, the older of the two baselines. Davis & Mermelstein, 1980.

13 coefficients by Kaldi's recipe without dither, with first and second differences, every 10 ms.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from .candidate import Card
from .filter_banks import FilterBanks

_COEFFICIENTS = 13
_WINDOW_MS, _STRIDE_MS = 25.0, 10.0


class CepstralCoefficients(FilterBanks):
    """Cepstral coefficients and their differences: layer 0 and no other, nothing trained.

    An utterance's first and last frame are repeated for the differences, so these do not see padding.
    """

    name = "mfcc"
    dimensions = (3 * _COEFFICIENTS,)

    def __init__(self, *, device: str = "cpu") -> None:
        """Make the candidate; its features are computed where `device` says."""
        super().__init__(device=device)
        self.card = Card(family="cepstral coefficients", objective="none", licence="Apache-2.0")
        recipe = f"kaldi mfcc {_COEFFICIENTS} {_WINDOW_MS} {_STRIDE_MS} no dither, two differences over 5, v1"
        self.revision = hashlib.sha256(recipe.encode()).hexdigest()[:12]

    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return coefficients and differences, (batch, frames, 39)."""
        samples = batch["samples"]
        lengths = torch.tensor([self.grid.frames(int(n)) for n in samples], device=samples.device)
        features = [
            self._coefficients(waveform[: int(count)])
            for waveform, count in zip(batch["input_values"], samples, strict=True)
        ]
        return nn.utils.rnn.pad_sequence(features, batch_first=True), lengths

    def _coefficients(self, waveform: Tensor) -> Tensor:
        from torchaudio.compliance.kaldi import mfcc
        from torchaudio.functional import compute_deltas

        static = mfcc(
            waveform[None],
            num_ceps=_COEFFICIENTS,
            frame_length=_WINDOW_MS,
            frame_shift=_STRIDE_MS,
            sample_frequency=self.sample_rate,
            dither=0.0,
        ).T
        first = compute_deltas(static)
        return torch.cat([static, first, compute_deltas(first)]).T
