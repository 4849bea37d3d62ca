"""data2vec: a student under masks predicts its own moving average. Baevski et al., 2022, arXiv:2202.03555."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import Data2VecAudioConfig, Data2VecAudioModel

from foretune.models.log_mel import LogMelConfig
from foretune.models.log_mel.front_ends import STACKED, scaled_log_mel, stack

from .batches import span_mask, valid_frames
from .objectives import PretrainingObjective
from .recipe import LOG_MEL_SCALE, WIDTH, Recipe

_LOG_MEL = LogMelConfig(**LOG_MEL_SCALE)
"""What grounds the first updates."""
_FIRST_DECAY, _LAST_DECAY = 0.99, 0.9995
_DECAY_GROWS_FOR = 0.3
"""Share of the steps in which the teacher's decay grows to its last value."""


class SelfDistillation(PretrainingObjective):
    """Regression of the mean of the upper half of a teacher's layers at masked frames.

    Where the recipe asks for grounding, the first updates have log-mel frames to predict too, masked or not.
    """

    watched = "the share of the targets' variance that is predicted"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.encoder = Data2VecAudioModel(Data2VecAudioConfig(**recipe.configuration()))
        self.teacher = copy.deepcopy(self.encoder).requires_grad_(False)
        self.head = nn.Linear(WIDTH, WIDTH)
        self._top = recipe.layers // 2
        self._seed = recipe.seed
        self._steps = recipe.steps
        self._grounding = recipe.grounding * recipe.steps
        self._mel_head = nn.Linear(WIDTH, STACKED * _LOG_MEL.bands) if recipe.grounding else None

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Mean squared error at masked frames, and of log-mel frames at first; moves the teacher before."""
        del indices
        if self.training:
            self.follow(step)
        lengths = self.frames(mask)
        wanted = self.targets(values, mask, lengths)
        rng = np.random.default_rng((self._seed, 12, step))
        masked = span_mask(lengths, probability=0.6, length=5, rng=rng).to(values.device)
        hidden = self.encoder(values, attention_mask=mask, mask_time_indices=masked).last_hidden_state
        loss = functional.mse_loss(self.head(hidden[masked]), wanted[masked])
        variance = wanted[masked].var(0).mean()
        explained = max(0.0, 1 - float(loss.detach() / variance))
        if self._mel_head is not None and step < self._grounding:
            valid = valid_frames(lengths, hidden.shape[1])
            mel = stack(scaled_log_mel(values, _LOG_MEL))[:, : hidden.shape[1]]
            ground = functional.mse_loss(self._mel_head(hidden[valid]), mel[valid])
            loss = loss + (1 - step / self._grounding) * ground
        return loss, explained

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the teacher's weights towards the student's."""
        grown = min(1.0, step / max(1.0, _DECAY_GROWS_FOR * self._steps))
        decay = _FIRST_DECAY + (_LAST_DECAY - _FIRST_DECAY) * grown
        for kept, weight in zip(self.teacher.parameters(), self.encoder.parameters(), strict=True):
            kept.lerp_(weight, 1 - decay)

    @torch.no_grad()
    def targets(self, values: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean of the teacher's upper layers, each normed over time, (batch, frames, width).

        The norm over an utterance's frames keeps the targets from falling into a point.
        """
        self.teacher.eval()
        states = self.teacher(values, attention_mask=mask, output_hidden_states=True).hidden_states
        valid = valid_frames(lengths, states[0].shape[1]).unsqueeze(-1)
        count = valid.sum(1, keepdim=True)
        normed = []
        for state in states[-self._top :]:
            centred = (state - (state * valid).sum(1, keepdim=True) / count) * valid
            normed.append(centred / (centred.square().sum(1, keepdim=True) / count + 1e-5).sqrt())
        return torch.stack(normed).mean(0)
