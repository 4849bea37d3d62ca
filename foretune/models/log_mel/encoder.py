"""An encoder on log-mel frames: front end, layers, and for a transformer's a norm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from foretune.models.frame_grid import FrameGrid

from .configuration import LogMelConfig
from .front_ends import ConvolvedFrames, StackedFrames, scaled_log_mel
from .layers import make_layers, positions


class LogMelEncoder(PreTrainedModel):  # type: ignore[misc]
    """Frames of 40 ms from waveforms of unit variance."""

    config_class = LogMelConfig
    main_input_name = "input_values"

    def __init__(self, config: LogMelConfig) -> None:
        """Make the parts of a configuration, with weights as torch draws them."""
        super().__init__(config)
        front_end = ConvolvedFrames if config.layer_type == "vgg" else StackedFrames
        self.front_end: ConvolvedFrames | StackedFrames = front_end(config.bands, config.hidden_size)
        self.layers = nn.ModuleList(make_layers(config))
        self.norm = nn.LayerNorm(config.hidden_size) if config.layer_type == "transformer" else nn.Identity()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave the weights as torch drew them."""

    @property
    def grid(self) -> FrameGrid:
        """Return where the frames lie."""
        return self.front_end.grid

    def features(self, input_values: Tensor) -> Tensor:
        """Return scaled log-mel frames of waveforms (batch, samples): (batch, 10 ms frames, bands)."""
        return scaled_log_mel(input_values, self.config)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask_time_indices: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        """Encode waveforms.

        Args:
            input_values: of zero mean and unit variance, padded, (batch, samples).
            attention_mask: valid samples, (batch, samples); all by default.
            mask_time_indices: frames that the layers shall not see, (batch, frames).

        Returns:
            `last_hidden_state`, (batch, frames, width).
        """
        hidden = self.front_end(self.features(input_values))
        if mask_time_indices is not None:
            hidden = hidden.masked_fill(mask_time_indices[:, :, None], 0.0)
        valid = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        if attention_mask is not None:
            lengths = self._get_feat_extract_output_lengths(attention_mask.sum(-1))
            valid = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
        if self.config.layer_type == "transformer":
            hidden = hidden + positions(hidden)
        for layer in self.layers:
            hidden = layer(hidden, valid)
        return BaseModelOutput(last_hidden_state=self.norm(hidden))

    def _get_feat_extract_output_lengths(self, input_lengths: Tensor) -> Tensor:
        """Return the frames of so many samples each."""
        grid = self.grid
        return torch.div(input_lengths - grid.receptive_field, grid.stride, rounding_mode="floor") + 1
