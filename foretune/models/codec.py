"""The encoder of EnCodec. Défossez et al., 2022, arXiv:2210.13438.

A stack of convolutions down to the codec's frames, recurrent layers, and a last convolution that gives
what is quantised. Layer 0 is what enters the recurrent layers, layer 1 what leaves them, layer 2 the
vectors before quantisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .candidate import Card
from .grid_probe import InputFrames
from .module import ModuleCandidate
from .waveforms import Waveforms, pad_waveforms


class CodecInputs:
    """Waveforms as (batch, channels, samples), every channel the same, and of one level where asked for."""

    speech = "hidden_states"
    speech_axis = 2

    def __init__(self, channels: int, normalise: bool) -> None:
        """Take what the configuration says of channels and level."""
        self._channels = channels
        self._normalise = normalise

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the padded waveforms."""
        if self._normalise:
            waveforms = [waveform / (np.sqrt(np.mean(waveform**2)) + 1e-8) for waveform in waveforms]
        padded = torch.from_numpy(pad_waveforms(waveforms))
        return {self.speech: padded[:, None].expand(-1, self._channels, -1).contiguous()}

    def frames(self, sample_rate: int) -> InputFrames:
        """Return that each sample is an input frame."""
        del sample_rate
        return InputFrames()


def is_codec(module: Any) -> bool:
    """Return whether a model has the form of EnCodec: convolutions, recurrent layers, a quantiser."""
    layers = getattr(getattr(module, "encoder", None), "layers", None)
    recurrent = isinstance(layers, nn.ModuleList) and any(hasattr(part, "lstm") for part in layers)
    return recurrent and hasattr(module, "quantizer")


def codec(name: str, module: Any, card: Card) -> ModuleCandidate:
    """Wrap a neural codec's encoder."""
    config = module.config
    encoder = module.encoder.eval()
    recurrent = next(part for part in encoder.layers if hasattr(part, "lstm"))
    return ModuleCandidate(
        name,
        encoder,
        layers=[recurrent, encoder.layers[-1]],
        inputs=CodecInputs(config.audio_channels, bool(config.normalize)),
        sample_rate=config.sampling_rate,
        frames=lambda hidden: hidden.transpose(1, 2),
        card=card,
        code=f"channels={config.audio_channels} normalise={config.normalize}",
    )
