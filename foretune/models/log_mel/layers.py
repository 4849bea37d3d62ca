"""Layers from (batch, frames, width) to the same; padded frames reach no valid one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .configuration import LogMelConfig


class RecurrentLayer(nn.Module):
    """A gated recurrent unit that looks back only, with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrence = nn.GRU(width, width, batch_first=True)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Run over time; what is padded comes after all that is valid."""
        del valid
        output: Tensor = self.recurrence(hidden)[0]
        return hidden + output


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each after a norm."""

    def __init__(self, width: int, heads: int, intermediate: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, intermediate), nn.GELU(), nn.Linear(intermediate, width)
        )

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Attend to valid frames alone."""
        normed = self.attention_norm(hidden)
        attended, _ = self.attention(normed, normed, normed, key_padding_mask=~valid, need_weights=False)
        hidden = hidden + attended
        output: Tensor = hidden + self.feed_forward(hidden)
        return output


class VggBlock(nn.Module):
    """A convolution over time and frequency that halves the bands and doubles the channels."""

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self._image = (channels, bands)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """See each frame as an image of (channels, bands)."""
        silenced = hidden * valid[:, :, None]
        image = silenced.reshape(*hidden.shape[:2], *self._image).transpose(1, 2)
        image = nn.functional.max_pool2d(nn.functional.relu(self.convolution(image)), (1, 2))
        return image.transpose(1, 2).flatten(2)


class FullyConnected(nn.Module):
    """A linear layer and a ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Treat each frame by itself."""
        del valid
        return nn.functional.relu(self.linear(hidden))


class ConvolutionLayer(nn.Module):
    """A convolution over time, a norm and a ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """See zeros beyond the utterance's end, as before its beginning."""
        silenced = (hidden * valid[:, :, None]).transpose(1, 2)
        return nn.functional.relu(self.norm(self.convolution(silenced).transpose(1, 2)))


def make_layers(config: LogMelConfig) -> list[nn.Module]:
    """Return the layers of a configuration.

    Raises:
        ValueError: no such type of layers.
    """
    width, count = config.hidden_size, config.num_hidden_layers
    if config.layer_type == "recurrent":
        return [RecurrentLayer(width) for _ in range(count)]
    if config.layer_type == "transformer":
        return [
            TransformerLayer(width, config.num_attention_heads, config.intermediate_size)
            for _ in range(count)
        ]
    if config.layer_type == "convolution":
        return [ConvolutionLayer(width, config.kernel) for _ in range(count)]
    if config.layer_type == "vgg":
        return _vgg(config)
    raise ValueError(f"layer_type {config.layer_type!r}: no such layers")


def _vgg(config: LogMelConfig) -> list[nn.Module]:
    """Return blocks until one band is left, then fully connected layers."""
    bands = config.bands // 4
    layers: list[Any] = []
    while bands > 1 and len(layers) < config.num_hidden_layers:
        layers.append(VggBlock(config.hidden_size // bands, bands))
        bands //= 2
    above = config.num_hidden_layers - len(layers)
    return layers + [FullyConnected(config.hidden_size) for _ in range(above)]


def positions(like: Tensor) -> Tensor:
    """Return sines and cosines of time, (frames, width), for hidden states (batch, frames, width).

    Vaswani et al., 2017, arXiv:1706.03762.
    """
    frames, width = like.shape[1:]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000.0) / width))
    angles = torch.arange(frames, device=like.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1).to(like)
