"""What every candidate offers: the hidden states of all its layers, on a known frame grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretune.tasks.errors import InputError

from .frame_grid import WAVEFORM_RATE, FrameGrid


@dataclass(slots=True)
class HiddenStates:
    """Hidden states of a batch.

    Attributes:
        layers: one tensor (batch, frames, dimension) for each of layers 0..num_layers.
        lengths: valid frames of each utterance, shape (batch,), int64; what lies beyond is padding.
    """

    layers: list[Tensor]
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class Card:
    """What is known about a candidate beside its weights; None or empty where unknown."""

    family: str
    pretraining_data: str = ""
    objective: str = ""
    licence: str = ""
    source_suite: str = ""
    details: dict[str, object] = field(default_factory=dict)


class Candidate(ABC):
    """A pre-trained encoder that can be scored and fine-tuned.

    Layer 0 is what enters the first transformer layer, layer l the output of the l-th one. Subclass it,
    or wrap a module by `ModuleCandidate`; `foretune.contract.check` tries what is promised here.

    Attributes:
        name: as the user gave it.
        revision: 12 hexadecimal digits, a hash of the weights (and of the code that makes features).
        num_layers: layers above the front end; 0 for filter banks.
        dimensions: features per frame of each layer 0..num_layers.
        grid: the frame grid, shared by all layers.
        card: what is known about it.
        module: the torch module.
        sample_rate: in Hz, of the waveforms that `batch` takes: 16 kHz for all. The rate that the module
            itself works at is its grid's.
        longest: samples, at 16 kHz, that a waveform may have; None where any length does.
        copies: a deep copy that shares the weights computes the same, beside this one in another thread:
            nothing that the forward pass changes (hooks, say) lies outside of the candidate.
        load_seconds: that `load_candidate` took; None where it was made otherwise.
    """

    name: str
    revision: str
    num_layers: int
    dimensions: tuple[int, ...]
    grid: FrameGrid
    card: Card
    module: nn.Module
    sample_rate: int = 16_000
    longest: int | None = None
    copies: bool = False
    load_seconds: float | None = None

    @abstractmethod
    def batch(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Normalise and pad waveforms, each (samples,), to the module's own inputs.

        Raises:
            InputError: a waveform is shorter than one frame, or longer than `longest`.
        """

    @abstractmethod
    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Run the convolutional front end, which fine-tuning freezes and whose output it may keep.

        Args:
            batch: from `batch`.

        Returns:
            Features (batch, frames, channels), as they are before any projection to the encoder's
            own dimension, and the valid frames of each utterance, (batch,), int64. A caller may keep
            each utterance's valid frames alone, and pad them anew for `forward_from_features`.
        """

    @abstractmethod
    def forward_from_features(
        self, features: Tensor, lengths: Tensor, *, last_layer: int | None = None
    ) -> HiddenStates:
        """Run the rest of the encoder on the front end's output.

        Differentiable unless called under `torch.inference_mode()`. What padding holds changes nothing.

        Args:
            features: from `front_end_features`, (batch, frames, channels); frames may be more than
                the longest length.
            lengths: valid frames of each utterance, (batch,), at least 1.
            last_layer: stop after this layer, 0..num_layers; the last by default.

        Returns:
            Layers 0..last_layer. The last of them has the encoder's final norm, where the family has
            one; so the last tensor for `last_layer=l` is layer l of a full pass, up to that norm.
        """

    def forward(self, batch: dict[str, Tensor], *, last_layer: int | None = None) -> HiddenStates:
        """Run the encoder on a padded batch: the front end, then the rest up to `last_layer`.

        Args:
            batch: from `batch`.
            last_layer: as in `forward_from_features`.
        """
        return self.forward_from_features(*self.front_end_features(batch), last_layer=last_layer)

    @abstractmethod
    def front_end(self) -> nn.Module | None:
        """Return the convolutional front end, which fine-tuning freezes; None where there is none."""

    @abstractmethod
    def parameters(self, layer: int) -> int:
        """Return how many parameters the encoder has when cut after `layer`, front end included."""

    def refusal(self, samples: int) -> str | None:
        """Return why a waveform of so many samples cannot be taken, None where it can."""
        if self.grid.frames(samples) < 1:
            return f"{samples} samples, too few for one frame of {self.name} ({self.shortest}); leave it out"
        if self.longest is not None and samples > self.longest:
            seconds, most = samples / self.sample_rate, self.longest / self.sample_rate
            return f"{seconds:.1f} s, and {self.name} takes {most:g} s at most; cut it"
        return None

    @property
    def shortest(self) -> int:
        """Return how many samples, at 16 kHz, give one frame."""
        return max(1, self.grid.first_frame_needs * WAVEFORM_RATE // self.grid.sample_rate)

    def check_waveforms(self, waveforms: Sequence[NDArray[np.float32]]) -> None:
        """Check that there are waveforms and that each of them can be taken.

        Raises:
            InputError: there is none, or one is shorter than one frame or too long.
        """
        if not waveforms:
            raise InputError("an empty batch: give at least one waveform")
        for position, waveform in enumerate(waveforms):
            reason = self.refusal(len(waveform))
            if reason is not None:
                raise InputError(f"waveform {position}: {reason}")

    def check_layer(self, layer: int | None) -> int:
        """Return the layer to stop after, the last one by default.

        Raises:
            InputError: there is no such layer.
        """
        if layer is None:
            return self.num_layers
        if not 0 <= layer <= self.num_layers:
            raise InputError(f"layer {layer}: {self.name} has layers 0 to {self.num_layers}")
        return layer

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        weight = next(self.module.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device
