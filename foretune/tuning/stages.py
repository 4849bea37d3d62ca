"""The stages of a run: the head alone on frozen features, then the head and what trains below it.

The loop is our own, on `accelerate`: a `transformers.Trainer` would want a model that takes waveforms and
returns its loss, where here stages start from hidden states, calls of one layer or sums of layers that were
computed before, and run for seconds. A run that takes minutes keeps where it stands, see `checkpoint`; one
that goes on walks through its stages again, and passes over the updates that are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor, nn
from torch.optim import AdamW

from foretune.records.tuning import Trial
from foretune.tensor_files import Tensors

from .checkpoint import Checkpoint, Standing, give_back
from .cut import FrozenStates, Tunable
from .flops import flops_of_update
from .frozen import in_order_of_length, shuffled_batches
from .settings import Settings
from .validation import Best, Trained, Validation, copies

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
        *,
        progress: Progress | None = None,
        validation: Validation | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Prepare to train.

        Args:
            model: on the device to train on.
            targets: label or transcript of each utterance to train on.
            settings: of the stages.
            seed: of the order of the data.
            progress: called with the updates done and their total.
            validation: what the learning rate and the end of the last stage are chosen by.
            checkpoint: keeps where the run stands; what it has kept is gone on from.
        """
        self.model = model
        self.targets = targets
        self.settings = settings
        self.progress = progress
        self.validation = validation
        self.rates = settings.learning_rates
        self.generator = torch.Generator().manual_seed(seed)
        # all is where the candidate is; accelerate knows one device a process, and would move it there
        self.accelerator = Accelerator(device_placement=False)
        self.total = settings.head_steps + settings.steps
        self.checkpoint = checkpoint
        self.now = Standing()
        self.kept: Tensors | None = None  # of a run that goes on, until the stage is reached where it stood
        if checkpoint is not None and (found := checkpoint.read(model.device)):
            self.now, self.kept = found

    def train(self, inputs: Sequence[Any], encoder: Sequence[nn.Parameter]) -> Trained:
        """Train the head on frozen hidden states, then the head and parameters below it together.

        Args:
            inputs: of the model, one for each utterance to train on.
            encoder: what trains in the second stage, beside the head.

        Raises:
            FloatingPointError: the loss is no longer finite, with every learning rate.
        """
        settings = self.settings
        self.total = settings.head_steps + settings.steps * max(1, len(self.rates))
        head = list(self.model.head.parameters())
        self._head_alone(head, inputs)
        together = Stage(1, settings.steps, settings.batch_size, settings.learning_rate)
        return self._last(together, [*encoder, *head], inputs)

    def _head_alone(self, head: list[nn.Parameter], inputs: Sequence[Any]) -> None:
        """Train the head on the hidden states that there are before anything below it has trained."""
        settings = self.settings
        hidden = infer(self.model, inputs)
        self.model.head.standardise(hidden)
        stage = Stage(0, settings.head_steps, settings.head_batch_size, settings.head_learning_rate)
        self._run(stage, FrozenStates(self.model.head, self.model.device), head, hidden)

    def train_at_once(self, inputs: Sequence[Any]) -> Trained:
        """Train all of the model in one stage, as long as both and at the pace of the head alone.

        Args:
            inputs: of the model, one for each utterance to train on.

        Raises:
            FloatingPointError: the loss is no longer finite, with every learning rate.
        """
        settings = self.settings
        self.model.head.standardise(infer(self.model, inputs))
        steps = settings.head_steps + settings.steps
        self.total = steps * max(1, len(self.rates))
        stage = Stage(0, steps, settings.head_batch_size, settings.head_learning_rate)
        return self._last(stage, list(self.model.parameters()), inputs)

    def _last(self, stage: Stage, parameters: list[nn.Parameter], inputs: Sequence[Any]) -> Trained:
        """Run the last stage, once with each learning rate if there are several, each from one start."""
        count = sum(parameter.numel() for parameter in parameters)
        if self.validation is None:
            self._run(stage, self.model, parameters, inputs)
            return Trained(count, stage.learning_rate, stage.steps, self.now.flops)
        rates = self.rates or (stage.learning_rate,)
        order = self.generator.get_state() if self.kept is None else self.now.order
        if self.kept is None and len(rates) > 1:
            self.now.start = copies(parameters)
        for number, rate in enumerate(rates):
            if number < len(self.now.trials):
                continue  # before an interruption
            if self.kept is None and number:
                restore(parameters, self.now.start)
                self.generator.set_state(order)
            self._try(Stage(stage.number + number, stage.steps, stage.batch_size, rate), parameters, inputs)
        best, trials = self.now.best, self.now.trials
        if best is None:
            raise FloatingPointError("; ".join(trial.error for trial in trials))
        restore(parameters, best.weights)
        return Trained(count, best.rate, best.step, self.now.flops, best.metrics, trials)

    def _try(self, stage: Stage, parameters: list[nn.Parameter], inputs: Sequence[Any]) -> None:
        """Run the last stage with one learning rate, and note what it gave on the validation part."""
        before = self.total - stage.steps * (max(1, len(self.rates)) - len(self.now.trials))
        if self.kept is None:
            self.now.done = before  # a stage may have stopped early
        error = ""
        try:
            self._run(stage, self.model, parameters, inputs, choose=True)
        except FloatingPointError as raised:
            error = str(raised)
        own, updates = self.now.trial, self.now.done - before
        if error or own is None:
            self.now.trials.append(Trial(learning_rate=stage.learning_rate, updates=updates, error=error))
            return
        self.now.trials.append(
            Trial(learning_rate=stage.learning_rate, updates=updates, step=own.step, metrics=own.metrics)
        )
        if self.now.best is None or own.goodness > self.now.best.goodness:
            self.now.best = own

    def _run(
        self,
        stage: Stage,
        module: Tunable,
        parameters: list[nn.Parameter],
        inputs: Sequence[Any],
        *,
        choose: bool = False,
    ) -> None:
        """Make a stage's updates of `parameters`, with `module` between inputs and logits.

        With `choose` the validation part is evaluated now and then, and what did best is kept.
        """
        if self.kept is not None and stage.number < self.now.stage:
            return  # done before an interruption
        optimizer = AdamW(
            parameters, lr=stage.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )
        now = self._begin(stage, parameters, optimizer, choose)
        prepared, stepper = self.accelerator.prepare(module, optimizer)
        batches = shuffled_batches([len(row) for row in inputs], stage.batch_size, self.generator)
        evaluated_after = self._evaluations(stage.steps) if choose else ()
        updates = zip(range(1, stage.steps + 1), batches, strict=False)
        for step, indices in islice(updates, now.step, None):
            if self._is_to_stop():
                break
            batch, lengths = module.collate([inputs[index] for index in indices])
            targets = [self.targets[index] for index in indices]
            if step == 1:
                now.flops_a_frame = flops_of_update(module, batch, lengths, targets) / int(lengths.sum())
            now.frames += int(lengths.sum())
            with self._precision():
                logits = prepared(batch, lengths)
            loss = module.head.loss(logits.float(), lengths, targets)
            factor = _warm_up_and_fall(step - 1, stage.steps, self.settings.warmup)
            self._update(loss, parameters, stepper, stage.learning_rate * factor)
            now.step = step
            if now.trial and self.validation and step in evaluated_after:
                now.trial.see(step, self._evaluate(self.validation), parameters)
            if self.checkpoint is not None and self.checkpoint.due():
                self.checkpoint.write(now, parameters, optimizer)
        if now.trial and self.validation and not now.trial.weights:  # no update was asked for
            now.trial.see(0, self._evaluate(self.validation), parameters)
        now.flops += round(now.flops_a_frame * now.frames)

    def _update(
        self, loss: Tensor, parameters: list[nn.Parameter], optimizer: AcceleratedOptimizer, rate: float
    ) -> None:
        """Make one update at a learning rate."""
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} after {self.now.done} updates")
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(parameters, self.settings.clipping)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        self.now.done += 1
        if self.progress is not None:
            self.progress(self.now.done, self.total)

    def _begin(
        self, stage: Stage, parameters: list[nn.Parameter], optimizer: AdamW, choose: bool
    ) -> Standing:
        """Stand at the begin of a stage, or where it was interrupted."""
        now = self.now
        if self.kept is not None:
            give_back(self.kept, parameters, optimizer)
            self.generator.set_state(now.order)
            self.kept = None
            return now
        now.stage, now.step, now.frames, now.flops_a_frame = stage.number, 0, 0, 0.0
        now.order = self.generator.get_state()
        now.trial = Best(stage.learning_rate) if choose else None
        return now

    def _is_to_stop(self) -> bool:
        """Say whether so many evaluations in a row have brought nothing better that a stage is to end."""
        trial = self.now.trial
        return trial is not None and bool(trial.weights) and trial.waited >= self.settings.patience

    def _evaluations(self, steps: int) -> frozenset[int]:
        """Return the updates after which the validation part is evaluated."""
        times = max(1, self.settings.evaluations)
        return frozenset(max(1, round(steps * time / times)) for time in range(1, times + 1))

    def _evaluate(self, validation: Validation) -> tuple[dict[str, float], float]:
        return validation.measure(decide(self.model, validation.inputs).said)

    def _precision(self) -> torch.autocast:
        """Compute matrix products in what the settings say."""
        return torch.autocast(
            self.model.device.type, torch.bfloat16, enabled=self.settings.precision == "bfloat16"
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Updates with one batch size and peak learning rate; `number` is its place in the run."""

    number: int
    steps: int
    batch_size: int
    learning_rate: float


@torch.no_grad()
def restore(parameters: Sequence[nn.Parameter], values: Sequence[Tensor]) -> None:
    """Give parameters earlier values."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


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


@dataclass(frozen=True, slots=True)
class Decisions:
    """What a model makes of utterances.

    Attributes:
        said: the label or transcript of each.
        means: (utterances, dimension), the mean over frames of the hidden states under the head.
    """

    said: list[str]
    means: Tensor


@torch.inference_mode()
def decide(model: Tunable, inputs: Sequence[Any]) -> Decisions:
    """Return the label or transcript of each utterance, from the model's inputs."""
    found: dict[int, str] = {}
    means: dict[int, Tensor] = {}
    for indices in in_order_of_length([len(row) for row in inputs], _INFERENCE_BATCH):
        batch, lengths = model.collate([inputs[index] for index in indices])
        hidden = model.hidden(batch, lengths)
        found.update(zip(indices, model.head.decide(model.head(hidden, lengths), lengths), strict=True))
        for index, row, length in zip(indices, hidden, lengths.tolist(), strict=True):
            means[index] = row[:length].mean(0).cpu()
    everyone = range(len(inputs))
    return Decisions([found[index] for index in everyone], torch.stack([means[index] for index in everyone]))


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
