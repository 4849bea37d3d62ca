"""The linear heads: their targets, losses and decisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from foretune.tasks.errors import InputError
from foretune.tasks.task import Task

BLANK = 0
"""CTC's blank."""


class Head(nn.Module, ABC):
    """A linear layer on standardised features, with the loss of its task.

    Features are brought to zero mean and unit variance by statistics of the training part, so that
    one learning rate fits every layer and candidate; a linear head can express no more by it.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, dimension: int, outputs: Sequence[str], generator: torch.Generator) -> None:
        """Draw the weights.

        Args:
            dimension: features per frame.
            outputs: the name of each output.
            generator: draws the weights.
        """
        super().__init__()
        self.outputs = list(outputs)
        self.index = {output: index for index, output in enumerate(self.outputs)}
        self.linear = nn.Linear(dimension, len(self.outputs))
        with torch.no_grad():
            self.linear.weight.normal_(0, dimension**-0.5 / 10, generator=generator)
            self.linear.bias.zero_()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("deviation", torch.ones(dimension))

    @torch.no_grad()
    def standardise(self, features: Sequence[Tensor]) -> None:
        """Take the mean and standard deviation of frames, each tensor (frames, dimension)."""
        frames = torch.cat(list(features)).double()
        self.mean.copy_(frames.mean(0))
        deviation = frames.std(0, correction=0)
        # a constant dimension stays as it is
        self.deviation.copy_(torch.where(deviation > 1e-5 * (1 + frames.mean(0).abs()), deviation, 1.0))

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits from features (batch, frames, dimension) and their valid frames (batch,)."""

    @abstractmethod
    def loss(self, logits: Tensor, lengths: Tensor, targets: Sequence[str]) -> Tensor:
        """Return the mean loss over utterances, in nats."""

    @abstractmethod
    def decide(self, logits: Tensor, lengths: Tensor) -> list[str]:
        """Return the label or transcript of each utterance."""


class ClassificationHead(Head):
    """Mean over valid frames, linear layer, cross entropy."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, classes)."""
        valid = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        pooled = (features * valid[..., None]).sum(1) / lengths[:, None]
        logits: Tensor = self.linear((pooled - self.mean) / self.deviation)
        return logits

    def standardise(self, features: Sequence[Tensor]) -> None:
        """Take the statistics of mean-pooled utterances."""
        super().standardise([torch.stack([frames.mean(0) for frames in features])])

    def loss(self, logits: Tensor, lengths: Tensor, targets: Sequence[str]) -> Tensor:
        """Return the cross entropy."""
        wanted = torch.tensor([self.index[target] for target in targets], device=logits.device)
        return functional.cross_entropy(logits, wanted)

    def decide(self, logits: Tensor, lengths: Tensor) -> list[str]:
        """Return the likeliest label of each utterance."""
        return [self.outputs[index] for index in logits.argmax(-1).tolist()]


class CTCHead(Head):
    """Linear layer on each frame, CTC over a task's tokens (Graves et al., 2006), greedy decoding."""

    def __init__(
        self, task: Task, dimension: int, tokens: Sequence[str], blank_bias: float, generator: torch.Generator
    ) -> None:
        """Draw the weights.

        Args:
            task: cuts transcripts into tokens.
            dimension: features per frame.
            tokens: all that may be said; the blank is added.
            blank_bias: initial bias of the blank.
            generator: draws the weights.
        """
        super().__init__(dimension, ["", *tokens], generator)
        self.task = task
        with torch.no_grad():
            self.linear.bias[BLANK] = blank_bias

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (batch, frames, tokens and blank)."""
        logits: Tensor = self.linear((features - self.mean) / self.deviation)
        return logits

    def loss(self, logits: Tensor, lengths: Tensor, targets: Sequence[str]) -> Tensor:
        """Return CTC's loss per token; a transcript too long for its frames counts 0."""
        spelled = [[self.index[token] for token in self.task.tokens(target)] for target in targets]
        return functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            torch.tensor([index for row in spelled for index in row], device=logits.device),
            lengths,
            torch.tensor([len(row) for row in spelled], device=logits.device),
            blank=BLANK,
            zero_infinity=True,
        )

    def decide(self, logits: Tensor, lengths: Tensor) -> list[str]:
        """Return transcripts: the likeliest output of each frame, repetitions merged, blanks dropped."""
        transcripts = []
        for row, length in zip(logits.argmax(-1), lengths.tolist(), strict=True):
            merged = torch.unique_consecutive(row[:length]).tolist()
            said = [self.outputs[index] for index in merged if index != BLANK]
            transcripts.append(self.task.separator.join(said))
        return transcripts


def make_head(task: Task, targets: Sequence[str], dimension: int, blank_bias: float, seed: int) -> Head:
    """Make the head that a task needs.

    Args:
        task: utterance tasks get a `ClassificationHead`, sequence tasks a `CTCHead`.
        targets: labels or transcripts of the training part, which say what the outputs are.
        dimension: features per frame.
        blank_bias: initial bias of CTC's blank.
        seed: draws the initial weights.

    Raises:
        InputError: there is one class only, or no transcript has a token.
    """
    generator = torch.Generator().manual_seed(seed)
    if task.kind == "utterance":
        classes = sorted(set(targets))
        if len(classes) < 2:
            raise InputError(
                f"task {task.name}: {len(classes)} classes in the training part; give at least two"
            )
        return ClassificationHead(dimension, classes, generator)
    tokens = sorted({token for target in targets for token in task.tokens(target)})
    if not tokens:
        kind = "phone" if task.separator else "character"
        raise InputError(f"task {task.name}: no training transcript has a {kind}; give transcripts")
    return CTCHead(task, dimension, tokens, blank_bias, generator)
