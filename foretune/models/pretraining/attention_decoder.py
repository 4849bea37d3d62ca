"""Whisper: an encoder, and a decoder with attention that writes. Radford et al., 2022, arXiv:2212.04356."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from foretune.tasks.utterance import SAMPLE_RATE, Utterance

from .objectives import CHARACTERS, PretrainingObjective, ctc_loss
from .recipe import WIDTH, Recipe

_END, _START = len(CHARACTERS), len(CHARACTERS) + 1
_IGNORED = -100
_POSITION = 320
"""Samples from one frame to the next."""


class AttentionDecoder(PretrainingObjective):
    """Characters one after the other, by a decoder that attends to the encoder's frames.

    The encoder always sees one window, silence after the speech, as Whisper's sees 30 s. Where the recipe
    says so, a part of the loss is CTC's, on the encoder's frames of the speech.
    """

    watched = "the accuracy on characters, given those before"
    family = "Whisper"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        configuration = WhisperConfig(
            d_model=WIDTH,
            encoder_layers=recipe.layers,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=4 * WIDTH,
            decoder_ffn_dim=4 * WIDTH,
            vocab_size=len(CHARACTERS) + 2,
            max_target_positions=160,
            bos_token_id=_START,
            decoder_start_token_id=_START,
            eos_token_id=_END,
            pad_token_id=_END,
            **recipe.overrides,
        )
        self._model = WhisperForConditionalGeneration(configuration)
        window = configuration.max_source_positions * _POSITION
        self._log_mel = WhisperFeatureExtractor(
            feature_size=configuration.num_mel_bins, chunk_length=window // SAMPLE_RATE
        )
        self._ctc = recipe.ctc
        self._letters = nn.Linear(WIDTH, len(CHARACTERS) + 1) if recipe.ctc else None
        self._utterances = utterances
        self._targets = [
            torch.tensor([CHARACTERS.index(letter) for letter in utterance.text or ""] + [_END])
            for utterance in utterances
        ]

    @property
    def encoder(self) -> Any:
        """Return encoder and decoder, as `transformers` loads them."""
        return self._model.model

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Cross entropy a character, and in part CTC's loss a character."""
        device = values.device
        del values, mask, step  # log-mel frames are taken of the waveforms as they are
        waveforms = [self._utterances[index].waveform() for index in indices]
        mel = self._log_mel(
            waveforms, sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(device)
        ).input_features.to(device)
        target = pad_sequence(
            [self._targets[index] for index in indices], batch_first=True, padding_value=_IGNORED
        ).to(device)
        output = self._model(input_features=mel, labels=target)
        written = target != _IGNORED
        accuracy = (output.logits.argmax(-1) == target)[written].float().mean()
        loss = output.loss
        if self._letters is not None:
            aligned = self._aligned(self._letters(output.encoder_last_hidden_state), indices)
            loss = (1 - self._ctc) * loss + self._ctc * aligned
        return loss, float(accuracy)

    def _aligned(self, logits: Tensor, indices: NDArray[np.int64]) -> Tensor:
        """Return CTC's loss a character, of logits (batch, frames, characters) with blank first."""
        heard = [len(self._utterances[index].waveform()) // _POSITION for index in indices]
        frames = torch.tensor(heard, device=logits.device).clamp(max=logits.shape[1])
        return ctc_loss(logits.log_softmax(-1), frames, [self._targets[index][:-1] + 1 for index in indices])

    def preprocessing(self) -> dict[str, object]:
        """Return the settings of Whisper's log-mel features."""
        return {key: value for key, value in self._log_mel.to_dict().items() if key != "mel_filters"}
