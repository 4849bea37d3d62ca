"""Encoders that put a transformer on a stack of convolutions over the waveform.

wav2vec 2.0, HuBERT, WavLM, data2vec-audio, UniSpeech and their like share one form in `transformers`,
`feature_extractor`, `feature_projection`, `encoder.layers`, and are told by it, not by name.

Which tensor is layer l: hooks on the encoder's layers see, in one pass, what enters the first one
(layer 0) and what each of them returns (layer l). The last one is replaced by the encoder's own
output, which differs where a norm follows the layers (`do_stable_layer_norm`). To stop after layer
l, the encoder runs with the first l layers only, so its norm follows layer l.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .candidate import Candidate, Card, HiddenStates
from .frame_grid import WAVEFORM_RATE, FrameGrid
from .strided_convolutions import StridedConvolutions, padded_convolutions_serve
from .waveforms import pad_waveforms, resample, send, standardise
from .weights import count_parameters, weights_hash

_PROBE_TOLERANCE = 1e-4  # largest relative change by padding that counts as none


class ConvolutionalCandidate(Candidate):
    """A transformer on a stack of convolutions over the waveform."""

    module: Any
    copies = True

    def __init__(
        self, name: str, module: Any, card: Card, *, normalise: bool, sample_rate: int = WAVEFORM_RATE
    ) -> None:
        """Take a loaded base model of `transformers`.

        Args:
            name: what the candidate is called.
            module: with `feature_extractor`, `feature_projection` and `encoder.layers`.
            card: what is known about it.
            normalise: bring each waveform to zero mean and unit variance, as its preprocessing says.
            sample_rate: in Hz, that it takes; waveforms are resampled from 16 kHz.
        """
        self.name = name
        self.module = module.eval()
        self.card = card
        self.normalise = normalise
        config = self.module.config
        self.num_layers = len(self.module.encoder.layers)
        self.dimensions = (config.hidden_size,) * (self.num_layers + 1)
        self.grid = FrameGrid.of_convolutions(config.conv_kernel, config.conv_stride, sample_rate=sample_rate)
        self.revision = weights_hash(module, f"normalise={normalise}")
        self._products = StridedConvolutions.of(self.module.feature_extractor)
        self._pads_waveforms, self._pads_features = self._probe_padding()

    def batch(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Normalise and pad waveforms.

        Returns:
            `input_values` (batch, samples), float32, and `samples` (batch,), int64.
        """
        self.check_waveforms(waveforms)
        waveforms = [resample(waveform, self.grid.sample_rate) for waveform in waveforms]
        if self.normalise:
            waveforms = [standardise(waveform) for waveform in waveforms]
        return {
            "input_values": send(torch.from_numpy(pad_waveforms(waveforms)), self.device),
            "samples": send(torch.tensor([len(waveform) for waveform in waveforms]), self.device),
        }

    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the convolutions; where they norm over time, over each utterance's own samples."""
        samples = batch["samples"]
        waveforms = batch["input_values"]
        # on the device: to look at them would wait for it
        lengths = (samples - self.grid.first_frame_needs) // self.grid.stride + 1
        if self._pads_waveforms:
            return self._convolve(waveforms), lengths
        if self._products is not None and padded_convolutions_serve(waveforms):
            return self._products.padded(waveforms, samples), lengths
        features: Tensor | None = None
        for rows, count in _equal_lengths(samples):
            part = self._convolve(waveforms[rows, :count])
            if features is None:
                features = part.new_zeros(len(samples), int(lengths.max()), part.shape[2])
            features[rows, : part.shape[1]] = part
        assert features is not None, "an empty batch"  # noqa: S101
        return features, lengths

    def forward_from_features(
        self, features: Tensor, lengths: Tensor, *, last_layer: int | None = None
    ) -> HiddenStates:
        """Run the projection and the transformer layers, padding masked."""
        stop = self.check_layer(last_layer)
        features = features[:, : int(lengths.max())]
        if self._pads_features:
            mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
            return HiddenStates(self._encode(features, mask, stop), lengths)
        layers: list[Tensor] = []
        for rows, count in _equal_lengths(lengths):
            parts = self._encode(features[rows, :count], None, stop)
            if not layers:
                layers = [part.new_zeros(*features.shape[:2], part.shape[2]) for part in parts]
            layers = [_place(layer, rows, part) for layer, part in zip(layers, parts, strict=True)]
        return HiddenStates(layers, lengths)

    def front_end(self) -> nn.Module:
        """Return the stack of convolutions."""
        front_end: nn.Module = self.module.feature_extractor
        return front_end

    def parameters(self, layer: int) -> int:
        """Count convolutions, projection and encoder, without the transformer layers above `layer`."""
        stop = self.check_layer(layer)
        parts = [self.module.feature_extractor, self.module.feature_projection, self.module.encoder]
        cut = count_parameters(self.module.encoder.layers[stop:])
        return sum(count_parameters(part) for part in parts) - cut

    def _convolve(self, waveforms: Tensor) -> Tensor:
        if self._products is not None and self._products.serve(waveforms):
            return self._products(waveforms)
        features: Tensor = self.module.feature_extractor(waveforms)
        return features.transpose(1, 2)

    def _encode(self, features: Tensor, mask: Tensor | None, stop: int) -> list[Tensor]:
        projected = self.module.feature_projection(features)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        with _first_layers(self.module.encoder, stop) as states, _MASKS_MIXED:
            output = self.module.encoder(hidden, attention_mask=mask)
        return [*states[:stop], output.last_hidden_state]

    @torch.no_grad()
    def _probe_padding(self) -> tuple[bool, bool]:
        """Find out, by trying, whether padding leaves the convolutions' and the encoder's output alone."""
        generator = torch.Generator().manual_seed(0)
        short = self.grid.receptive_field + 7 * self.grid.stride
        long = short + 8 * self.grid.stride
        waveforms = torch.randn(2, long, generator=generator)
        waveforms[0, short:] = 0
        alone = self._convolve(waveforms[:1, :short])
        padded = self._convolve(waveforms)
        pads_waveforms = _agree(alone, padded[:1, : alone.shape[1]])
        padded[0, alone.shape[1] :] = 0
        padded[:1, : alone.shape[1]] = alone
        mask = torch.ones(padded.shape[:2], dtype=torch.bool)
        mask[0, alone.shape[1] :] = False
        single = self._encode(alone, None, self.num_layers)
        batched = self._encode(padded, mask, self.num_layers)
        pads_features = all(
            _agree(one, many[:1, : one.shape[1]]) for one, many in zip(single, batched, strict=True)
        )
        return pads_waveforms, pads_features


class _WithoutWarning:
    """Keeps a warning away while at least one thread is inside; filters belong to the whole process."""

    def __init__(self, message: str) -> None:
        self._message = message
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", self._message, UserWarning)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_MASKS_MIXED = _WithoutWarning("Support for mismatched key_padding_mask")
"""WavLM mixes a boolean and a float mask, which torch still takes."""


@contextmanager
def _first_layers(encoder: Any, stop: int) -> Iterator[list[Tensor]]:
    """Cut an encoder after a layer, and collect what enters its first layer and what each one returns."""
    layers = encoder.layers
    states: list[Tensor] = []

    def enter(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states.append(args[0] if args else kwargs["hidden_states"])

    def leave(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        states.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(leave) for layer in layers[:stop]]
    if stop > 0:
        hooks.append(layers[0].register_forward_pre_hook(enter, with_kwargs=True))
    encoder.layers = layers[:stop]
    try:
        yield states
    finally:
        encoder.layers = layers
        for hook in hooks:
            hook.remove()


def _place(layer: Tensor, rows: Tensor, part: Tensor) -> Tensor:
    padded = nn.functional.pad(part, (0, 0, 0, layer.shape[1] - part.shape[1]))
    return layer.index_copy(0, rows, padded)


def _equal_lengths(lengths: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Yield (rows, length) for each distinct length."""
    for length in torch.unique(lengths):
        yield torch.nonzero(lengths == length).flatten(), int(length)


def _agree(one: Tensor, other: Tensor) -> bool:
    scale = float(one.abs().max())
    return float((one - other).abs().max()) <= _PROBE_TOLERANCE * max(scale, 1e-30)
