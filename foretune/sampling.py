"""Which rows of the hidden states are samples, with which labels and groups.

Utterance tasks: the mean over an utterance's valid frames is a sample, its label the task's, its
group what the task's test part must not share with training (the speaker for emotions, the sentence
for speakers): held-out scores then leave out what fine-tuning is tested without. Sequence tasks (ASR):
a frame is a sample, its label the phone in whose span its centre lies by the corpus's true times, or the
letter by an alignment, its group the utterance; what becomes of frames outside of every span is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretune.alignment.labelling import TRUE_TIMES, Labelling, Unit
from foretune.alignment.labels import Silence, frame_labels
from foretune.extraction import Batch
from foretune.models.candidate import Candidate
from foretune.models.waveforms import send
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import Span, Utterance


@dataclass(slots=True)
class Rows:
    """The samples of a batch: how to get them from hidden states, and what is known of them."""

    pooled: bool
    mask: Tensor  # (batch, frames), bool: the frames that count
    labels: NDArray[np.str_] | None
    groups: NDArray[np.str_]
    means: Tensor | None = (
        None  # which sample each of these frames goes into, where samples are means of frames
    )
    where: tuple[Tensor, ...] | None = None  # the mask's rows and columns, where they have been found

    def to(self, device: torch.device) -> Rows:
        """Bring what selects samples to the device of the hidden states, once for all layers."""
        if device.type == "cpu":
            return self
        where = None if self.pooled else tuple(send(each, device) for each in self._where())
        means = None if self.means is None else send(self.means, device)
        return dataclasses.replace(self, mask=send(self.mask, device), means=means, where=where)

    def select(self, hidden: Tensor) -> Tensor:
        """Return the samples (N, D) of one layer's hidden states (batch, frames, D), on `to`'s device."""
        if self.pooled:
            # where, not a product: padding may hold anything
            total = torch.where(self.mask[:, :, None], hidden, 0).sum(dim=1, dtype=torch.float64)
            return (total / self.mask.sum(dim=1, keepdim=True)).float()
        chosen = hidden[self._where()]
        if self.means is None:
            return chosen
        summed = chosen.new_zeros(len(self.groups), chosen.shape[1] + 1, dtype=torch.float64)
        ones = chosen.new_ones(len(chosen), 1, dtype=torch.float64)
        summed.index_add_(0, self.means, torch.cat([chosen.double(), ones], dim=1))
        return (summed[:, :-1] / summed[:, -1:]).float()

    def _where(self) -> tuple[Tensor, ...]:
        """Return row and column of each frame that counts; a mask on a device has to be waited for."""
        return self.mask.nonzero(as_tuple=True) if self.where is None else self.where


@dataclass(slots=True)
class Sampler:
    """Turns batches of utterances into samples."""

    utterances: Sequence[Utterance]
    pooled: bool
    labels: Sequence[str] | None  # of whole utterances
    spans: Sequence[Sequence[Span]] | None  # by which frames are labelled, one sequence an utterance
    group_by: str  # column of an utterance whose value is its group
    silence: Silence = "drop"  # what becomes of frames outside of every span
    frame_stride: int = 1  # every so many of an utterance's frames is a sample
    unit: Unit = "frame"  # what a sample is

    def rows(self, candidate: Candidate, batch: Batch) -> Rows:
        """Return which samples a batch gives."""
        chosen = [self.utterances[index] for index in batch.indices]
        lengths = batch.states.lengths.cpu()
        frames = batch.states.layers[0].shape[1]
        mask = torch.arange(frames) < lengths[:, None]
        if self.pooled:
            return Rows(True, mask, *self.of_utterances(batch.indices))
        names: list[str] = []
        if self.spans is not None:
            centres = candidate.grid.centres(frames)
            for row, index in enumerate(batch.indices):
                found = frame_labels(self.spans[index], centres[: int(lengths[row])], self.silence)
                mask[row, : len(found)] = torch.tensor([label is not None for label in found])
                names += [label for label in found if label is not None]
        labels = None if self.spans is None else np.array(names, dtype=np.str_)
        if self.frame_stride > 1:
            place = mask.cumsum(dim=1)[mask] - 1  # of a frame among those of its utterance that count
            kept = place % self.frame_stride == 0
            mask[mask.clone()] = kept
            labels = None if labels is None else labels[kept.numpy()]
        groups = np.repeat([each.id for each in chosen], mask.sum(dim=1).numpy())
        if self.unit == "utterance" and labels is not None:
            return _means(mask, labels, groups)
        return Rows(False, mask, labels, groups)

    def of_utterances(self, indices: Sequence[int]) -> tuple[NDArray[np.str_] | None, NDArray[np.str_]]:
        """Return labels and groups of whole utterances, of which each is a sample."""
        labels = None if self.labels is None else np.array([self.labels[index] for index in indices])
        chosen = [self.utterances[index] for index in indices]
        values = [getattr(each, self.group_by) for each in chosen]
        pairs = zip(values, chosen, strict=True)
        return labels, np.array([each.id if value is None else str(value) for value, each in pairs])


def _means(mask: Tensor, labels: NDArray[np.str_], groups: NDArray[np.str_]) -> Rows:
    """Return one sample for each label of each utterance: the mean of its frames."""
    pairs = np.stack([groups, labels], axis=1)
    unique, index = np.unique(pairs, axis=0, return_inverse=True)
    return Rows(False, mask, unique[:, 1], unique[:, 0], torch.from_numpy(index.reshape(-1)))


def target_sampler(task: Task, utterances: Sequence[Utterance], labelling: Labelling = TRUE_TIMES) -> Sampler:
    """Return how target speech becomes labelled samples, having checked that it does.

    Args:
        task: tells the labels.
        utterances: target speech; of an alignment, those that it has.
        labelling: where the labels of frames come from, and what silence is.

    Raises:
        InputError: there is no utterance, all have the same label, or frames cannot be labelled.
    """
    if not utterances:
        raise InputError(f"{task.name}: there is no training utterance to score on")
    if task.kind == "sequence":
        spans = _target_spans(task, utterances, labelling)
        return Sampler(
            utterances,
            False,
            None,
            spans,
            task.split_by,
            labelling.silence,
            labelling.frame_stride,
            labelling.unit,
        )
    labels = [task.target(utterance) for utterance in utterances]
    if len(set(labels)) < 2:
        raise InputError(f"{task.name}: every utterance has the label {labels[0]}; give at least two labels")
    return Sampler(utterances, True, labels, None, task.split_by)


def _target_spans(task: Task, utterances: Sequence[Utterance], labelling: Labelling) -> list[Sequence[Span]]:
    if labelling.alignments is not None:
        return [labelling.alignments.of[utterance.id].tokens for utterance in utterances]
    untimed = [utterance for utterance in utterances if not utterance.phones]
    if untimed:
        raise InputError(
            f"{untimed[0].id}: no true times of phones, which scoring {task.name} needs, as have "
            f"{len(untimed)} of {len(utterances)} utterances; align them (foretune.alignment.label_frames)"
        )
    return [utterance.phones for utterance in utterances]


def source_sampler(
    task: Task, utterances: Sequence[Utterance], *, labelled: bool, silence: Silence = "drop"
) -> Sampler:
    """Return how source speech becomes samples: as target speech does, but labels are not needed.

    Frames outside of phones are dropped where the source has true times, unless silence is to stay.
    """
    if task.kind == "sequence":
        timed = all(utterance.phones for utterance in utterances)
        spans = [utterance.phones for utterance in utterances] if timed else None
        return Sampler(utterances, False, None, spans, task.split_by, silence)
    labels = [task.target(utterance) for utterance in utterances] if labelled else None
    return Sampler(utterances, True, labels, None, task.split_by)
