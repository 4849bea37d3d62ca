"""What an encoder on log-mel frames is made of."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig


class LogMelConfig(PreTrainedConfig):  # type: ignore[misc]
    """Configuration of an encoder on log-mel frames."""

    model_type = "foretune_log_mel"

    def __init__(
        self,
        *,
        layer_type: str = "transformer",
        hidden_size: int = 96,
        num_hidden_layers: int = 4,
        num_attention_heads: int = 4,
        intermediate_size: int = 384,
        kernel: int = 5,
        bands: int = 40,
        mean: float = 0.0,
        std: float = 1.0,
        **others: Any,
    ) -> None:
        """Say what the encoder is made of.

        Args:
            layer_type: `recurrent`, `transformer`, `vgg` or `convolution`.
            hidden_size: numbers a frame.
            num_hidden_layers: above the front end.
            num_attention_heads: of a transformer's layers.
            intermediate_size: of a transformer's feed-forward part.
            kernel: frames that a convolution over time sees.
            bands: of the log-mel frames.
            mean: taken off the logarithms.
            std: they are divided by it.
            others: of every configuration of `transformers`.
        """
        self.layer_type = layer_type
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.kernel = kernel
        self.bands = bands
        self.mean = mean
        self.std = std
        super().__init__(**others)
