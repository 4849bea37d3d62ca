"""Stacks of strided convolutions over waveforms as matrix products, for inference on a CPU; and over padding.

Features are held as (time, channels), so that the s·C numbers under the stride of a convolution lie side by
side. Its first s taps are then the product of a (frames, s·C) matrix, which is there already, with their
weights; so are the next s taps of the same matrix moved on by s·C numbers; and a norm over channels
needs no transposing. A convolution over (channels, time) copies, pads and reorders instead.

A group norm that norms each channel of the first convolution over time costs nothing: the mean and variance
of what a filter w gives are w'm and w'Sw, of the mean m and the covariance S of the waveform's windows,
so the norm becomes part of the filters.

A waveform is convolved in stretches of `STRETCH` frames: what the first layers give, hundreds of numbers for
each sample of the waveform, stays in the cache and in memory that is there already.

An accelerator wants the opposite: many waveforms in one operation. There the convolutions run as they are,
over padded waveforms, and the group norm over time takes its mean and variance of each waveform's own frames.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

STRETCH = 100
"""Frames of the last convolution that are computed at a time (2 s in wav2vec 2.0)."""


class _Layer(NamedTuple):
    convolution: nn.Conv1d
    norm: nn.Module | None
    activation: Callable[[Tensor], Tensor]


class StridedConvolutions:
    """The same function as a stack of convolutions, computed in another way.

    Weights are read when it is called, so it follows the module that it was made of.
    """

    def __init__(self, layers: list[_Layer]) -> None:
        self._layers = layers

    @classmethod
    def of(cls, front_end: Any) -> StridedConvolutions | None:
        """Return the form of a `transformers` feature encoder; None where its layers are of another kind.

        Args:
            front_end: has `conv_layers`, each with `conv`, `activation` and possibly `layer_norm`.
        """
        layers = []
        for place, layer in enumerate(getattr(front_end, "conv_layers", ())):
            norm = getattr(layer, "layer_norm", None)
            if not (_is_plain(getattr(layer, "conv", None)) and _is_known(norm, place, layer.conv)):
                return None
            layers.append(_Layer(layer.conv, norm, layer.activation))
        return cls(layers) if layers and layers[0].convolution.in_channels == 1 else None

    @staticmethod
    def serve(waveforms: Tensor) -> bool:
        """Return whether this is the faster way: on a CPU, in float32, without gradients."""
        return (
            waveforms.device.type == "cpu"
            and waveforms.dtype == torch.float32
            and not torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
        )

    def __call__(self, waveforms: Tensor) -> Tensor:
        """Return features (batch, frames, channels) of waveforms (batch, samples)."""
        weights = [_taps(layer.convolution) for layer in self._layers[1:]]
        return torch.stack([self._convolve(waveform, weights) for waveform in waveforms])

    def padded(self, waveforms: Tensor, samples: Tensor) -> Tensor:
        """Return features of padded waveforms, in which padding changes no valid frame.

        Args:
            waveforms: (batch, samples), padded with anything finite.
            samples: valid samples of each, (batch,).
        """
        hidden = waveforms[:, None]
        frames = samples
        for layer in self._layers:
            convolution = layer.convolution
            hidden = convolution(hidden)
            frames = (frames - convolution.kernel_size[0]) // convolution.stride[0] + 1
            if isinstance(layer.norm, nn.GroupNorm):
                hidden = _norm_over_time(hidden, frames, layer.norm)
            elif layer.norm is not None:
                hidden = layer.norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)
        return hidden.transpose(1, 2)

    def _convolve(self, waveform: Tensor, weights: list[list[Tensor]]) -> Tensor:
        filters, bias = _first_filters(waveform, self._layers[0])
        field, stride = self._field()
        frames = (len(waveform) - field) // stride + 1
        return torch.cat(
            [
                self._stretch(waveform[start * stride : (stop - 1) * stride + field], filters, bias, weights)
                for start in range(0, frames, STRETCH)
                for stop in [min(start + STRETCH, frames)]
            ]
        )

    def _stretch(
        self, waveform: Tensor, filters: Tensor, bias: Tensor | None, weights: list[list[Tensor]]
    ) -> Tensor:
        first = self._layers[0]
        windows = _windows(waveform, first.convolution).contiguous()
        hidden = windows @ filters.T if bias is None else torch.addmm(bias, windows, filters.T)
        hidden = first.activation(first.norm(hidden) if isinstance(first.norm, nn.LayerNorm) else hidden)
        for layer, taps in zip(self._layers[1:], weights, strict=True):
            hidden = _over_features(hidden, layer.convolution, taps)
            hidden = layer.activation(hidden if layer.norm is None else layer.norm(hidden))
        return hidden

    def _field(self) -> tuple[int, int]:
        """Return the samples that a frame hears, and those from one frame to the next."""
        field = stride = 1
        for layer in self._layers:
            field += (layer.convolution.kernel_size[0] - 1) * stride
            stride *= layer.convolution.stride[0]
        return field, stride


def padded_convolutions_serve(waveforms: Tensor) -> bool:
    """Return whether `padded` is the faster way where a norm over time keeps waveforms apart."""
    return waveforms.device.type != "cpu"


def _norm_over_time(hidden: Tensor, frames: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Norm each channel of (batch, channels, time) over its valid frames, (batch,), in float32."""
    hidden = hidden.float()
    valid = (torch.arange(hidden.shape[2], device=hidden.device) < frames[:, None])[:, None]
    count = frames[:, None, None]
    mean = torch.where(valid, hidden, 0).sum(dim=2, keepdim=True) / count
    centred = torch.where(valid, hidden - mean, 0)
    variance = centred.square().sum(dim=2, keepdim=True) / count
    scale = torch.rsqrt(variance + norm.eps) * norm.weight[:, None]
    return centred * scale + norm.bias[:, None]


def _is_plain(convolution: object) -> bool:
    return (
        isinstance(convolution, nn.Conv1d)
        and convolution.padding == (0,)
        and convolution.dilation == (1,)
        and convolution.groups == 1
    )


def _is_known(norm: object, place: int, convolution: nn.Conv1d) -> bool:
    if isinstance(norm, nn.GroupNorm):
        return place == 0 and norm.num_groups == convolution.out_channels and norm.affine
    return norm is None or isinstance(norm, nn.LayerNorm)


def _taps(convolution: nn.Conv1d) -> list[Tensor]:
    """Return the weights of every `stride` taps as a matrix (taps · channels in, channels out)."""
    taps = convolution.weight.permute(2, 1, 0)  # (kernel, in, out)
    return [part.flatten(0, 1).contiguous() for part in torch.split(taps, convolution.stride[0])]


def _windows(waveform: Tensor, convolution: nn.Conv1d) -> Tensor:
    """Return what each frame of a convolution hears, (frames, kernel), without copying."""
    return waveform.unfold(0, convolution.kernel_size[0], convolution.stride[0])


def _first_filters(waveform: Tensor, layer: _Layer) -> tuple[Tensor, Tensor | None]:
    """Return the filters (channels, kernel) and the bias of the first convolution, with its group norm."""
    filters = layer.convolution.weight[:, 0]
    if not isinstance(layer.norm, nn.GroupNorm):
        return filters, layer.convolution.bias
    exact = _windows(waveform, layer.convolution).double()
    mean = exact.mean(dim=0)
    covariance = (exact - mean).T @ (exact - mean) / len(exact)
    of_filters = filters.double()
    variance = ((of_filters @ covariance) * of_filters).sum(dim=1)
    scale = layer.norm.weight.double() * torch.rsqrt(variance + layer.norm.eps)
    bias = (layer.norm.bias.double() - scale * (of_filters @ mean)).float()
    return (scale[:, None] * of_filters).float(), bias


def _over_features(hidden: Tensor, convolution: nn.Conv1d, taps: list[Tensor]) -> Tensor:
    """Return a convolution over (time, channels), contiguous; shape (frames, channels out)."""
    channels, stride = hidden.shape[1], convolution.stride[0]
    frames = (len(hidden) - convolution.kernel_size[0]) // stride + 1
    result = None
    for place, weights in enumerate(taps):
        start = hidden.storage_offset() + place * stride * channels
        part = hidden.as_strided((frames, len(weights)), (stride * channels, 1), start)
        if result is not None:
            result.addmm_(part, weights)
        elif convolution.bias is None:
            result = part @ weights
        else:
            result = torch.addmm(convolution.bias, part, weights)
    assert result is not None, "a kernel of no taps"  # noqa: S101
    return result
