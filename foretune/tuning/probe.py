"""The protocol `probe`: a frozen encoder, a learned weighted sum of its layers, and SUPERB's head.

Yang et al., 2021, arXiv:2105.01051. Utterance tasks project the sum to 256 dimensions, take the mean over
frames and put a linear layer on it; all of that is linear, so the mean is taken first, once, of each
layer. Sequence tasks have a linear layer on each frame, as SUPERB's phone recognition; its two recurrent
layers of 1,024 for speech recognition are the same linear layer here, since tens of minutes of speech
cannot train their 40 million parameters. Each dimension of each layer is brought to zero mean and unit
variance on the training part, so that no layer counts for more by being large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError
from foretune.tasks.task import Kind

from .cut import Tunable
from .frozen import SplitFeatures, in_order_of_length, pad
from .heads import Head

PROJECTION = 256
"""Dimensions that an utterance task's head has inside."""
_BATCH = 32
_SAMPLED = 64  # training utterances that say each dimension's mean and deviation, of frames


def states_of_all_layers(
    candidate: Candidate, kind: Kind, train: Sequence[Tensor], test: Sequence[Tensor]
) -> SplitFeatures:
    """Run a candidate over a task's data, and keep every layer.

    Args:
        candidate: the encoder.
        kind: of the task; for utterance tasks each layer's mean over frames is kept.
        train: the front end's output for each training utterance, (frames, channels).
        test: likewise for each test utterance.

    Returns:
        The hidden states of all layers side by side, (frames, layers · dimension) for each utterance,
        standardised, in half precision; of one frame, their mean, for utterance tasks.

    Raises:
        InputError: the layers differ in dimension, so there is no sum of them.
    """
    if len(set(candidate.dimensions)) > 1:
        sizes = ", ".join(str(each) for each in sorted(set(candidate.dimensions)))
        raise InputError(
            f"model {candidate.name}: its layers have {sizes} dimensions, so a probe cannot add them; "
            "use the protocol layer"
        )
    reduce = _mean if kind == "utterance" else _all
    if kind == "utterance":
        sample = raw = _run(candidate, train, reduce)
    else:
        sample = _run(candidate, train[:: max(1, len(train) // _SAMPLED)], reduce)
        raw = None
    frames = torch.cat(sample).double()
    mean, deviation = frames.mean(0), frames.std(0, correction=0)
    deviation = torch.where(deviation > 1e-5 * (1 + mean.abs()), deviation, 1.0)

    def standardise(states: Tensor) -> Tensor:
        return ((reduce(states) - mean) / deviation).half()

    if raw is not None:
        kept = [((states - mean) / deviation).half() for states in raw]
    else:
        kept = _run(candidate, train, standardise)
    return SplitFeatures(kept, _run(candidate, test, standardise))


def _mean(states: Tensor) -> Tensor:
    return states.mean(0, keepdim=True)


def _all(states: Tensor) -> Tensor:
    return states


@torch.no_grad()
def _run(
    candidate: Candidate, features: Sequence[Tensor], reduce: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return what `reduce` makes of each utterance's layers, (frames, layers · dimension), on the CPU."""
    found: dict[int, Tensor] = {}
    for indices in in_order_of_length([len(row) for row in features], _BATCH):
        padded, lengths = pad([features[index] for index in indices], candidate.device)
        layers = torch.cat(candidate.forward_from_features(padded, lengths).layers, dim=2).cpu()
        for index, row in zip(indices, layers, strict=True):
            found[index] = reduce(row[: len(features[index])])
    return [found[index] for index in range(len(features))]


class Probe(Tunable):
    """A weighted sum of layers, a projection where the task's head has one, and a head."""

    def __init__(self, candidate: Candidate, kind: Kind, head: Head, seed: int) -> None:
        """Draw the projection; the layers' weights start equal.

        Args:
            candidate: says how many layers there are, and where to compute.
            kind: of the task; utterance tasks project.
            head: takes `PROJECTION` dimensions for utterance tasks, or the candidate's own.
            seed: draws the projection.
        """
        super().__init__()
        self.head = head
        self.device = candidate.device
        self.scores = nn.Parameter(torch.zeros(candidate.num_layers + 1))
        dimension = candidate.dimensions[-1]
        self.projection: nn.Module = nn.Identity()
        if kind == "utterance":
            self.projection = linear = nn.Linear(dimension, PROJECTION)
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                linear.weight.normal_(0, dimension**-0.5, generator=generator)
                linear.bias.zero_()

    @property
    def weights(self) -> Tensor:
        """Return the layers' weights, (layers,), which sum to 1."""
        return self.scores.softmax(0)

    def hidden(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the projected sum, (batch, frames, dimension), of what `states_of_all_layers` gives."""
        layers = inputs.float().reshape(*inputs.shape[:2], len(self.scores), -1)
        summed = torch.einsum("btld,l->btd", layers, self.weights)
        projected: Tensor = self.projection(summed)
        return projected
