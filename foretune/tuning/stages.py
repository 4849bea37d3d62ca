"""The stages of a run: the head alone on frozen features, then the head and what trains below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from .cut import FrozenStates, Tunable
from .frozen import in_order_of_length, shuffled_batches
from .settings import Settings

_INFERENCE_BATCH = 32

Progress = Callable[[int, int], None]


class Trainer:
    """What stages share: the data's targets and order, the device, the settings."""

    def __init__(
        self,
        model: Tunable,
        targets: Sequence[str],
        settings: Settings,
        seed: int,
        progress: Progress | None,
    ) -> None:
        """Prepare to train.

        Args:
            model: on the device to train on.
            targets: label or transcript of each training utterance.
            settings: of both stages.
            seed: of the order of the data.
            progress: called with the updates done and their total.
        """
        self.model = model
        self.targets = targets
        self.settings = settings
        self.progress = progress
        self.generator = torch.Generator().manual_seed(seed)
        self.accelerator = Accelerator(cpu=model.device.type == "cpu")
        self.done = 0

    def train(self, inputs: Sequence[Any], encoder: Sequence[nn.Parameter]) -> int:
        """Train the head on frozen hidden states, then the head and parameters below it together.

        Args:
            inputs: of the model, one for each training utterance.
            encoder: what trains in the second stage, beside the head.

        Returns:
            The number of parameters trained.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        settings = self.settings
        head = list(self.model.head.parameters())
        hidden = infer(self.model, inputs)
        self.model.head.standardise(hidden)
        self._stage(
            FrozenStates(self.model.head, self.model.device),
            head,
            hidden,
            steps=settings.head_steps,
            batch_size=settings.head_batch_size,
            learning_rate=settings.head_learning_rate,
        )
        together = [*encoder, *head]
        self._stage(
            self.model,
            together,
            inputs,
            steps=settings.steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
        )
        return sum(parameter.numel() for parameter in together)

    def train_at_once(self, inputs: Sequence[Any]) -> int:
        """Train all of the model in one stage, as long as both and at the pace of the head alone.

        Args:
            inputs: of the model, one for each training utterance.

        Returns:
            The number of parameters trained.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        self.model.head.standardise(infer(self.model, inputs))
        parameters = list(self.model.parameters())
        self._stage(
            self.model,
            parameters,
            inputs,
            steps=self.settings.head_steps + self.settings.steps,
            batch_size=self.settings.head_batch_size,
            learning_rate=self.settings.head_learning_rate,
        )
        return sum(parameter.numel() for parameter in parameters)

    def _stage(
        self,
        module: Tunable,
        parameters: list[nn.Parameter],
        inputs: Sequence[Any],
        *,
        steps: int,
        batch_size: int,
        learning_rate: float,
    ) -> None:
        """Make `steps` updates of `parameters`, with `module` between inputs and logits."""
        optimizer = AdamW(parameters, lr=learning_rate, weight_decay=self.settings.weight_decay, fused=True)
        schedule = LambdaLR(optimizer, lambda step: _warm_up_and_fall(step, steps, self.settings.warmup))
        prepared, stepper = self.accelerator.prepare(module, optimizer)
        batches = shuffled_batches([len(row) for row in inputs], batch_size, self.generator)
        for _, indices in zip(range(steps), batches, strict=False):
            batch, lengths = module.collate([inputs[index] for index in indices])
            loss = module.head.loss(
                prepared(batch, lengths), lengths, [self.targets[index] for index in indices]
            )
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss.item()} after {self.done} updates")
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(parameters, self.settings.clipping)
            stepper.step()
            schedule.step()
            stepper.zero_grad()
            self.done += 1
            if self.progress is not None:
                self.progress(self.done, self.settings.head_steps + self.settings.steps)


def _warm_up_and_fall(step: int, steps: int, warmup: float) -> float:
    """Return the factor of the learning rate at an update: up to 1 and linearly down towards 0."""
    rising = max(1, round(warmup * steps))
    return min((step + 1) / (rising + 1), (steps - step) / (steps - rising)) if steps > rising else 1.0


@torch.no_grad()
def infer(model: Tunable, inputs: Sequence[Any]) -> list[Tensor]:
    """Return the hidden states of each utterance, (frames, dimension), without padding, on the CPU.

    Args:
        model: gives them.
        inputs: of the model, one for each utterance; batched by length.
    """
    found: dict[int, Tensor] = {}
    for indices in in_order_of_length([len(row) for row in inputs], _INFERENCE_BATCH):
        hidden = model.hidden(*model.collate([inputs[index] for index in indices]))
        for index, row in zip(indices, hidden, strict=True):
            found[index] = row[: len(inputs[index])].cpu()
    return [found[index] for index in range(len(inputs))]


@torch.inference_mode()
def decide(model: Tunable, inputs: Sequence[Any]) -> list[str]:
    """Return the label or transcript of each utterance, from the model's inputs."""
    found: dict[int, str] = {}
    for indices in in_order_of_length([len(row) for row in inputs], _INFERENCE_BATCH):
        batch, lengths = model.collate([inputs[index] for index in indices])
        decisions = model.head.decide(model(batch, lengths), lengths)
        found.update(zip(indices, decisions, strict=True))
    return [found[index] for index in range(len(inputs))]


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Give a module back as it was: weights, what requires gradients, and mode."""
    weights = {key: tensor.detach().to("cpu", copy=True) for key, tensor in module.state_dict().items()}
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    training = module.training
    try:
        yield
    finally:
        module.load_state_dict(weights)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        module.train(training)
