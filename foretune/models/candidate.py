"""What every candidate offers: the hidden states of all its layers, on a known frame grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .frame_grid import FrameGrid


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

    Layer 0 is what enters the first transformer layer, layer l the output of the l-th one.

    Attributes:
        name: as the user gave it.
        revision: 12 hexadecimal digits, a hash of the weights (and of the code that makes features).
        num_layers: layers above the front end; 0 for filter banks.
        dimensions: features per frame of each layer 0..num_layers.
        grid: the frame grid, shared by all layers.
        card: what is known about it.
        module: the torch module.
        sample_rate: in Hz.
    """

    name: str
    revision: str
    num_layers: int
    dimensions: tuple[int, ...]
    grid: FrameGrid
    card: Card
    module: nn.Module
    sample_rate: int = 16_000

    @abstractmethod
    def batch(self, waveforms: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        """Normalise and pad waveforms, each (samples,), to the module's own inputs.

        Raises:
            InputError: a waveform is shorter than one frame.
        """

    @abstractmethod
    def forward(self, batch: dict[str, Tensor], *, last_layer: int | None = None) -> HiddenStates:
        """Run the encoder on a padded batch and return the hidden states of every layer.

        Differentiable unless called under `torch.inference_mode()`. What padding holds changes nothing.

        Args:
            batch: from `batch`.
            last_layer: stop after this layer; the final norm, where the family has one, follows it.
        """

    @abstractmethod
    def front_end(self) -> nn.Module | None:
        """Return the convolutional front end, which fine-tuning freezes; None where there is none."""

    @abstractmethod
    def parameters(self, layer: int) -> int:
        """Return how many parameters the encoder has when cut after `layer`."""

    @property
    def device(self) -> torch.device:
        """Return where the weights are."""
        weight = next(self.module.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device
