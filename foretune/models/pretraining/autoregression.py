"""Autoregressive predictive coding (APC). Chung et al., 2019, arXiv:1904.03240."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretune.models.log_mel import LogMelConfig, LogMelEncoder
from foretune.models.log_mel.front_ends import stack

from .objectives import PretrainingObjective
from .recipe import Recipe

AHEAD = 2
"""Frames of 40 ms that are looked ahead."""


class Autoregression(PretrainingObjective):
    """Prediction of the log-mel frames to come, from what was heard so far."""

    watched = "the share of the frames' mean absolute deviation that is predicted"
    family = "APC (recurrent)"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        configuration = LogMelConfig(**recipe.log_mel())
        self.encoder = LogMelEncoder(configuration)
        self.head = nn.Linear(configuration.hidden_size, 4 * configuration.bands)

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Mean absolute error on log-mel frames `AHEAD` of the last that was heard."""
        del indices, step  # nothing is drawn, and speech is its own target
        wanted = stack(self.encoder.features(values))[:, AHEAD:]
        hidden = self.encoder(values, attention_mask=mask).last_hidden_state[:, :-AHEAD]
        frames = torch.arange(wanted.shape[1], device=wanted.device)
        valid = frames < (self.frames(mask) - AHEAD)[:, None]
        loss = (self.head(hidden) - wanted)[valid].abs().mean()
        return loss, explained(loss, wanted[valid])


def explained(loss: Tensor, wanted: Tensor) -> float:
    """Return which share of the mean absolute deviation a mean absolute error leaves unexplained, from 1."""
    deviation = (wanted - wanted.median(dim=0).values).abs().mean()
    return max(0.0, 1 - float(loss.detach() / deviation))
