"""What trains: a head on an encoder, or on what an encoder gave before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from foretune.models.candidate import Candidate

from .frozen import pad
from .heads import Head


class Tunable(nn.Module, ABC):
    """A head, and what makes its hidden states from an utterance's input, whose `len` is its frames.

    Attributes:
        head: gives logits from hidden states.
        device: to compute on.
    """

    head: Head
    device: torch.device

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as of any module; of recurrent layers without dropout it is always that of training.

        It makes no difference to what they compute, and cuDNN takes no gradient of them in the other.
        """
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.RNNBase) and part.dropout == 0:
                part.training = True
        return self

    def collate(self, inputs: Sequence[Any]) -> tuple[Any, Tensor]:
        """Make a batch of utterances' inputs, and count the valid frames of each.

        By default inputs are tensors (frames, channels), and are padded to (batch, frames, channels).
        """
        return pad(inputs, self.device)

    @abstractmethod
    def hidden(self, inputs: Any, lengths: Tensor) -> Tensor:
        """Return hidden states (batch, frames, dimension) from a batch."""

    def forward(self, inputs: Any, lengths: Tensor) -> Tensor:
        """Return logits from a batch."""
        logits: Tensor = self.head(self.hidden(inputs, lengths), lengths)
        return logits


class CutEncoder(Tunable):
    """An encoder cut after a layer, under a head; its input is the front end's output."""

    def __init__(self, candidate: Candidate, layer: int, head: Head) -> None:
        """Join them; layers above the cut stay where they are and are never run."""
        super().__init__()
        self.candidate = candidate
        self.layer = layer
        self.encoder = candidate.module
        self.device = candidate.device
        self.head = head

    def hidden(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the layer's hidden states from the front end's output, (batch, frames, channels)."""
        return self.candidate.forward_from_features(inputs, lengths, last_layer=self.layer).layers[-1]


class FrozenStates(Tunable):
    """A head alone, on hidden states that were computed before."""

    def __init__(self, head: Head, device: torch.device) -> None:
        """Take the head."""
        super().__init__()
        self.head = head
        self.device = device

    def hidden(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return what was given."""
        return inputs


def reached(candidate: Candidate, layer: int, features: Tensor) -> list[nn.Parameter]:
    """Return the parameters that a layer's hidden states depend on, and let only these train.

    What lies above the cut, or is used in pre-training alone, gets no gradient; the front end is not
    run at all.

    Args:
        candidate: all of its parameters are tried.
        layer: where it is cut.
        features: the front end's output for any one utterance, (frames, channels).
    """
    parameters = list(candidate.module.parameters())
    train_only(candidate.module, parameters)
    padded, lengths = pad([features], candidate.device)
    hidden = candidate.forward_from_features(padded, lengths, last_layer=layer).layers[-1]
    if hidden.requires_grad:
        hidden.sum().backward()  # type: ignore[no-untyped-call]
    found = [parameter for parameter in parameters if parameter.grad is not None]
    train_only(candidate.module, found)
    return found


def own_parameters(candidate: Candidate, layer: int, features: Tensor) -> list[nn.Parameter]:
    """Return the parameters of one layer alone, and let only these train.

    They are those that its hidden states depend on and those of the layer below do not, so a final norm,
    which follows whatever layer comes last, is none of them.

    Args:
        candidate: all of its parameters are tried.
        layer: 0..num_layers; layer 0 has none, it is what enters the first one.
        features: the front end's output for any one utterance, (frames, channels).
    """
    if layer == 0:
        found: list[nn.Parameter] = []
    else:
        below = {id(parameter) for parameter in reached(candidate, layer - 1, features)}
        found = [each for each in reached(candidate, layer, features) if id(each) not in below]
    train_only(candidate.module, found)
    return found


def train_only(module: nn.Module, wanted: Sequence[nn.Parameter]) -> None:
    """Let these parameters of a module train and no others, and forget all gradients."""
    training = {id(parameter) for parameter in wanted}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in training)
        parameter.grad = None
