"""What fine-tuning leaves frozen, computed once: above all the output of each candidate's front end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from foretune.models.candidate import Candidate
from foretune.tasks.utterance import TaskData, Utterance

_BATCH = 32


@dataclass(frozen=True, slots=True)
class SplitFeatures:
    """What is frozen for the two parts of a task's data: the front end's output, or what lies above it.

    Attributes:
        train: one tensor (frames, channels) for each training utterance, on the CPU.
        test: likewise for each test utterance.
    """

    train: list[Tensor]
    test: list[Tensor]

    @property
    def nbytes(self) -> int:
        """Return the size in bytes."""
        return sum(features.nbytes for features in (*self.train, *self.test))


class Sized(Protocol):
    """Something whose size in bytes is known."""

    @property
    def nbytes(self) -> int:
        """Return the size in bytes."""


Kept = TypeVar("Kept", bound=Sized)


class FrozenFeatures:
    """Keeps in memory what runs share: front ends' outputs, and what else a protocol leaves frozen.

    Since fine-tuning never changes the front end, all layers and seeds of a candidate see the same.
    """

    def __init__(self, limit: int = 2 << 30) -> None:
        """Make an empty store.

        Args:
            limit: bytes to keep; what was used longest ago goes first.
        """
        self.limit = limit
        self._kept: OrderedDict[tuple[object, ...], Sized] = OrderedDict()

    def of(self, candidate: Candidate, data: TaskData) -> SplitFeatures:
        """Return the front end's output for a task's data, computed unless kept from before.

        Raises:
            InputError: an utterance is shorter than one frame, or cannot be read.
        """
        return self.keep(
            ("front end",),
            candidate,
            data,
            lambda: SplitFeatures(front_end(candidate, data.train), front_end(candidate, data.test)),
        )

    def keep(
        self, what: tuple[object, ...], candidate: Candidate, data: TaskData, compute: Callable[[], Kept]
    ) -> Kept:
        """Return something that only the candidate and the data decide, computed unless kept from before.

        Args:
            what: tells it from other things of the same candidate and data.
            candidate: the encoder.
            data: of a task.
            compute: makes it.
        """
        key = (*what, candidate.name, candidate.revision, data.task, data.suite, data.revision)
        if key not in self._kept:
            self._kept[key] = compute()
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > self.limit:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]  # type: ignore[return-value]


@torch.no_grad()
def front_end(candidate: Candidate, utterances: Sequence[Utterance]) -> list[Tensor]:
    """Run a candidate's front end over utterances, batched by length.

    Returns:
        One tensor (frames, channels) for each utterance, on the CPU, without padding.

    Raises:
        InputError: an utterance is shorter than one frame, or cannot be read.
    """
    waveforms = [utterance.waveform() for utterance in utterances]
    by_length = sorted(range(len(waveforms)), key=lambda index: len(waveforms[index]))
    found: dict[int, Tensor] = {}
    for start in range(0, len(by_length), _BATCH):
        indices = by_length[start : start + _BATCH]
        features, lengths = candidate.front_end_features(
            candidate.batch([waveforms[index] for index in indices])
        )
        for index, row, length in zip(indices, features, lengths.tolist(), strict=True):
            found[index] = row[:length].cpu().clone()
    return [found[index] for index in range(len(waveforms))]


def pad(features: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Pad features, each (frames, channels), with zeros to (batch, frames, channels); and their lengths."""
    lengths = torch.tensor([len(row) for row in features], device=device)
    return torch.nn.utils.rnn.pad_sequence(list(features), batch_first=True).to(device), lengths


def in_order_of_length(lengths: Sequence[float], batch_size: int) -> Iterator[list[int]]:
    """Cut indices into batches of similar length, each once, the shortest first."""
    indices = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(indices), batch_size):
        yield indices[start : start + batch_size]


def shuffled_batches(
    lengths: Sequence[int], batch_size: int, generator: torch.Generator
) -> Iterator[list[int]]:
    """Draw batches of similar length without end; in each pass every index occurs once.

    Args:
        lengths: frames of each utterance.
        batch_size: indices in a batch, fewer in a pass's last one.
        generator: draws which neighbours in length meet, and the order of batches.
    """
    while True:
        # a jitter of a twentieth mixes neighbours and hardly adds padding
        noise = 1 + 0.1 * (torch.rand(len(lengths), generator=generator) - 0.5)
        jittered = (torch.tensor(lengths) * noise).tolist()
        batches = list(in_order_of_length(jittered, batch_size))
        for position in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[position]
