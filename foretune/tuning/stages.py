"""The two stages of a run: the head alone on frozen features, then the head and the encoder below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from foretune.models.candidate import Candidate

from .frozen import in_order_of_length, pad, shuffled_batches
from .heads import Head
from .settings import Settings

_INFERENCE_BATCH = 32

Progress = Callable[[int, int], None]


class CutEncoder(nn.Module):
    """An encoder cut after a layer, under a head."""

    def __init__(self, candidate: Candidate, layer: int, head: Head) -> None:
        """Join them; layers above the cut stay where they are and are never run."""
        super().__init__()
        self.candidate = candidate
        self.layer = layer
        self.encoder = candidate.module
        self.head = head

    def hidden(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the layer's hidden states (batch, frames, dimension) from the front end's output."""
        return self.candidate.forward_from_features(features, lengths, last_layer=self.layer).layers[-1]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.hidden(features, lengths), lengths)
        return logits


class Trainer:
    """What both stages share: the data's targets and order, the device, the settings."""

    def __init__(
        self,
        model: CutEncoder,
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
        self.accelerator = Accelerator(cpu=model.candidate.device.type == "cpu")
        self.done = 0

    def train(self, features: Sequence[Tensor]) -> int:
        """Train the head on frozen hidden states, then head and encoder together.

        Args:
            features: the front end's output for each training utterance, (frames, channels).

        Returns:
            The number of parameters trained.

        Raises:
            FloatingPointError: the loss is no longer finite.
        """
        settings = self.settings
        head = list(self.model.head.parameters())
        encoder = reached(self.model, features[0])
        hidden = infer(self.model, self.model.hidden, features)
        self.model.head.standardise(hidden)
        self._stage(
            self.model.head,
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
            features,
            steps=settings.steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
        )
        return sum(parameter.numel() for parameter in together)

    def _stage(
        self,
        module: nn.Module,
        parameters: list[nn.Parameter],
        inputs: Sequence[Tensor],
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
            padded, lengths = pad([inputs[index] for index in indices], self.accelerator.device)
            loss = self.model.head.loss(
                prepared(padded, lengths), lengths, [self.targets[index] for index in indices]
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


def reached(model: CutEncoder, features: Tensor) -> list[nn.Parameter]:
    """Return the encoder's parameters that the cut model's output depends on, and let only these train.

    What lies above the cut, or is used in pre-training alone, gets no gradient; the front end is not
    run at all.

    Args:
        model: the cut model.
        features: the front end's output for any one utterance, (frames, channels).
    """
    parameters = list(model.encoder.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
        parameter.grad = None
    padded, lengths = pad([features], model.candidate.device)
    hidden = model.hidden(padded, lengths)
    if hidden.requires_grad:
        hidden.sum().backward()  # type: ignore[no-untyped-call]
    found = [parameter for parameter in parameters if parameter.grad is not None]
    for parameter in parameters:
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    return found


@torch.no_grad()
def infer(
    model: CutEncoder, function: Callable[[Tensor, Tensor], Tensor], features: Sequence[Tensor]
) -> list[Tensor]:
    """Apply a function of padded features and lengths to utterances, batched by length.

    Args:
        model: says on which device.
        function: returns (batch, frames, dimension).
        features: the front end's output for each utterance, (frames, channels).

    Returns:
        One tensor (frames, dimension) for each utterance, without padding, on the CPU.
    """
    found: dict[int, Tensor] = {}
    for indices in in_order_of_length([len(row) for row in features], _INFERENCE_BATCH):
        padded, lengths = pad([features[index] for index in indices], model.candidate.device)
        for index, row in zip(indices, function(padded, lengths), strict=True):
            found[index] = row[: len(features[index])].cpu()
    return [found[index] for index in range(len(features))]


@torch.inference_mode()
def decide(model: CutEncoder, features: Sequence[Tensor]) -> list[str]:
    """Return the label or transcript of each utterance, from the front end's output."""
    found: dict[int, str] = {}
    for indices in in_order_of_length([len(row) for row in features], _INFERENCE_BATCH):
        padded, lengths = pad([features[index] for index in indices], model.candidate.device)
        decisions = model.head.decide(model(padded, lengths), lengths)
        found.update(zip(indices, decisions, strict=True))
    return [found[index] for index in range(len(features))]


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
