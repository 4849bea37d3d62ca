"""RNN transducer with a Conformer. Graves, 2012, arXiv:1211.3711; Gulati et al., 2020, arXiv:2005.08100."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from foretune.tasks.utterance import Utterance

from .objectives import CHARACTERS, PretrainingObjective
from .recipe import Recipe

STACKED = 4
"""Filter-bank frames of 10 ms in a frame."""
_MEASURED = 200
"""Utterances that mean and standard deviation of the bands are measured on."""


class Transducer(PretrainingObjective):
    """Characters from a Conformer over filter banks, what was written before, and both joined."""

    watched = "the geometric mean of a character's probability"
    family = "Conformer"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        self._arguments = {"num_layers": recipe.layers, **recipe.overrides}
        width, joined = recipe.overrides["input_dim"], 128
        self._bands = width // STACKED
        self.encoder = torchaudio.models.Conformer(**self._arguments)
        self.from_encoder = nn.Linear(width, joined)
        self.embedding = nn.Embedding(len(CHARACTERS) + 1, joined)
        self.prediction = nn.GRU(joined, joined, batch_first=True)
        self.joint = nn.Linear(joined, len(CHARACTERS) + 1)
        self._utterances = utterances
        self._heard: dict[int, Tensor] = {}
        self._targets = [
            torch.tensor([CHARACTERS.index(letter) + 1 for letter in utterance.text or ""])
            for utterance in utterances
        ]
        banks = torch.cat([filter_banks(each, self._bands) for each in utterances[:_MEASURED]])
        # as config.json will have them
        self.mean, self.std = (given.mul(1e4).round().div(1e4) for given in (banks.mean(0), banks.std(0)))

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Transducer loss a character."""
        device = values.device
        del values, mask, step  # filter banks are taken of the waveforms as they are
        features = [self._features(int(index)).to(device) for index in indices]
        lengths = torch.tensor([len(frames) for frames in features], device=device)
        hidden, _ = self.encoder(pad_sequence(features, batch_first=True), lengths)
        targets = [self._targets[index] for index in indices]
        written = pad_sequence(targets, batch_first=True).to(device)
        history = self.embedding(nn.functional.pad(written, (1, 0)))  # nothing written yet: as a blank
        joined = self.from_encoder(hidden)[:, :, None] + self.prediction(history)[0][:, None]
        counts = torch.tensor([len(target) for target in targets], device=device)
        losses = torchaudio.functional.rnnt_loss(
            self.joint(torch.tanh(joined)),
            written.int(),
            lengths.int(),
            counts.int(),
            blank=0,
            reduction="sum",
        )
        loss = losses / counts.sum()
        return loss, float(torch.exp(-loss.detach()))

    def configuration(self) -> dict[str, Any]:
        """Return the builder's name in torchaudio, its arguments, and what the features are."""
        return {
            "torchaudio": "Conformer",
            "arguments": self._arguments,
            "features": {
                "bins": self._bands,
                "stack": STACKED,
                "mean": [round(value, 4) for value in self.mean.tolist()],
                "std": [round(value, 4) for value in self.std.tolist()],
            },
        }

    def preprocessing(self) -> dict[str, object]:
        """Return nothing: config.json tells the features."""
        return {}

    def _features(self, index: int) -> Tensor:
        """Return an utterance's stacked filter banks, (frames, width), computed when first asked for."""
        if index not in self._heard:
            banks = (filter_banks(self._utterances[index], self._bands) - self.mean) / self.std
            count = len(banks) // STACKED
            self._heard[index] = banks[: count * STACKED].reshape(count, -1)
        return self._heard[index]


def filter_banks(utterance: Utterance, bands: int) -> Tensor:
    """Return log-mel filter banks by Kaldi's recipe, without dither, (frames of 10 ms, bands)."""
    banks: Tensor = torchaudio.compliance.kaldi.fbank(
        torch.from_numpy(utterance.waveform())[None],
        num_mel_bins=bands,
        frame_length=25,
        frame_shift=10,
        sample_frequency=16_000,
        dither=0.0,
    )
    return banks
