"""The encoder of Whisper. Radford et al., 2022, arXiv:2212.04356.

It always sees 30 s of log-mel features, silence after the speech, and attends to all of it: that is
how it was pre-trained. So an utterance's features do not depend on what else is in its batch. The
frames whose centres lie inside the waveform count, the others are padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .candidate import Candidate, Card, HiddenStates
from .frame_grid import FrameGrid
from .waveforms import send
from .weights import count_parameters, weights_hash

_HOP, _WINDOW = 160, 400  # samples, of the log-mel features
_BORDER = 3  # frames after the last valid one within whose receptive field there still is speech


class WhisperCandidate(Candidate):
    """Whisper's encoder on its own log-mel features."""

    module: Any
    copies = True

    def __init__(self, name: str, module: Any, card: Card) -> None:
        """Take a loaded `WhisperModel`, or the encoder of one."""
        from transformers import WhisperFeatureExtractor

        self.name = name
        encoder = module.get_encoder() if hasattr(module, "get_encoder") else module
        self.module = encoder.eval()
        self.card = card
        self.num_layers = len(self.module.layers)
        config = self.module.config
        self.dimensions = (config.d_model,) * (self.num_layers + 1)
        self.revision = weights_hash(self.module)
        # two convolutions of kernel 3, padded by 1, the second of stride 2, on centred windows
        self.grid = FrameGrid(
            stride=2 * _HOP, receptive_field=_WINDOW + 4 * _HOP, offset=-(_WINDOW // 2 + 2 * _HOP)
        )
        self.longest = config.max_source_positions * self.grid.stride
        self._log_mel = WhisperFeatureExtractor(
            feature_size=config.num_mel_bins,
            hop_length=_HOP,
            n_fft=_WINDOW,
            chunk_length=config.max_source_positions * self.grid.stride // self.sample_rate,
        )

    def batch(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Compute log-mel features of the padded waveforms.

        Returns:
            `input_features` (batch, mel bins, frames) and `samples` (batch,), int64.
        """
        self.check_waveforms(waveforms)
        mel = self._log_mel(list(waveforms), sampling_rate=self.sample_rate, return_tensors="pt")
        return {
            "input_features": send(mel.input_features, self.device),
            "samples": send(torch.tensor([len(waveform) for waveform in waveforms]), self.device),
        }

    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the two convolutions over the log-mel features.

        Returns:
            Features (batch, frames, 6·d) and lengths. A frame's first d channels are its own; the
            others, the same in all frames of an utterance, tell what follows the last one (see
            `_window`), so that a caller may keep valid frames alone.
        """
        hidden = nn.functional.gelu(self.module.conv1(batch["input_features"]))
        hidden = nn.functional.gelu(self.module.conv2(hidden)).transpose(1, 2)
        samples = batch["samples"]
        # as the grid counts, on the device: to look at them would wait for it
        lengths = (samples - self.grid.first_frame_needs) // self.grid.stride + 1
        last = hidden.shape[1] - 1
        after = lengths[:, None] + torch.arange(_BORDER + 1, device=lengths.device)
        after = torch.cat([after, torch.full_like(after[:, :1], last)], dim=1).clamp(max=last)
        tail = hidden.gather(1, after[:, :, None].expand(-1, -1, hidden.shape[2]))
        own = hidden[:, : int(lengths.max())]
        return torch.cat([own, tail.flatten(1)[:, None].expand(-1, own.shape[1], -1)], dim=2), lengths

    def forward_from_features(
        self, features: Tensor, lengths: Tensor, *, last_layer: int | None = None
    ) -> HiddenStates:
        """Add the positions and run the layers over the whole window; valid frames are returned."""
        stop = self.check_layer(last_layer)
        encoder = self.module
        hidden = self._window(features, lengths) + encoder.embed_positions.weight
        longest = int(lengths.max())
        layers = []
        for layer in encoder.layers[:stop]:
            layers.append(hidden[:, :longest])
            output = layer(hidden, None)
            hidden = output[0] if isinstance(output, tuple) else output
        layers.append(encoder.layer_norm(hidden)[:, :longest])
        return HiddenStates(layers, lengths)

    def _window(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the convolutions' output over 30 s, (batch, window, d), from that over valid frames.

        After the last valid frame come `_BORDER` frames that see the end of the speech, then silence,
        which is the same in every frame but the window's last, whose convolution is padded.
        """
        window, dimension = self.module.embed_positions.weight.shape
        frames = features.shape[1]
        own, tail = (
            features[:, :, :dimension],
            features[:, 0, dimension:].reshape(len(features), -1, dimension),
        )
        place = torch.arange(window, device=features.device).expand(len(features), -1)
        beyond = (place - lengths[:, None]).clamp(max=_BORDER)
        source = torch.where(beyond < 0, place.clamp(max=frames - 1), frames + beyond)
        source[:, -1] = torch.where(beyond[:, -1] < 0, source[:, -1], frames + _BORDER + 1)
        return torch.cat([own, tail], dim=1).gather(1, source[:, :, None].expand(-1, -1, dimension))

    def front_end(self) -> nn.Module:
        """Return the two convolutions."""
        return nn.ModuleList([self.module.conv1, self.module.conv2])

    def parameters(self, layer: int) -> int:
        """Count all but the layers above `layer`."""
        stop = self.check_layer(layer)
        return count_parameters(self.module) - count_parameters(self.module.layers[stop:])
