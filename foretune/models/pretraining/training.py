"""The training loop: seeded by step, and resumable from a checkpoint of tensors alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from foretune import tensor_files

from .batches import Batches
from .objectives import PretrainingObjective

_EVERY = 250
"""Steps from one checkpoint to the next."""


@dataclass(slots=True)
class Progress:
    """What a training has done so far.

    Attributes:
        step: updates made.
        wall_seconds: spent, over all sessions.
        cpu_seconds: spent, over all sessions.
        curve: [step, loss, watched figure], averaged over the steps since the last entry.
    """

    step: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)


def train(
    objective: PretrainingObjective,
    batches: Batches,
    *,
    steps: int,
    schedule: int,
    learning_rate: float,
    seed: int,
    checkpoint: Path,
    report: Callable[[int, int, float, float], None],
) -> Progress:
    """Train to the last step, from a checkpoint where there is one.

    Args:
        objective: what is trained, in place.
        batches: the data by step.
        steps: updates in all.
        schedule: updates that the learning rate's schedule is made for, at least `steps`.
        learning_rate: reached after 8 % of the schedule, then falling linearly to a twentieth.
        seed: of what the modules draw (Gumbel noise).
        checkpoint: file of tensors, written every 250 steps and at the end.
        report: called with (step, steps, loss, watched figure) at every checkpoint.

    Returns:
        What was done, with what it cost.
    """
    named = {name: weight for name, weight in objective.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(
        named.values(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    progress = _load(checkpoint, objective, optimiser, named) if checkpoint.is_file() else Progress()
    objective.train()
    wall, cpu = time.perf_counter(), time.process_time()
    losses: list[tuple[float, float]] = []
    while progress.step < steps:
        step = progress.step
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * _schedule(step / schedule)
        indices = batches[step]
        values, mask = batches.inputs(indices)
        with torch.random.fork_rng(devices=[] if values.device.type == "cpu" else [values.device]):
            torch.manual_seed(seed * 1_000_003 + step)
            loss, watched = objective.loss(values, mask, indices, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(named.values(), 1.0)
        optimiser.step()
        losses.append((float(loss.detach()), watched))
        progress.step += 1
        if progress.step % _EVERY == 0 or progress.step == steps:
            means = [sum(column) / len(losses) for column in zip(*losses, strict=True)]
            losses.clear()
            progress.curve.append([progress.step, *means])
            progress.wall_seconds += time.perf_counter() - wall
            progress.cpu_seconds += time.process_time() - cpu
            wall, cpu = time.perf_counter(), time.process_time()
            _save(checkpoint, objective, optimiser, named, progress)
            report(progress.step, steps, *means)
    return progress


def _schedule(done: float) -> float:
    warm = 0.08
    return done / warm if done < warm else 1 - 0.95 * (done - warm) / (1 - warm)


def _save(
    path: Path,
    objective: PretrainingObjective,
    optimiser: torch.optim.Optimizer,
    named: dict[str, torch.nn.Parameter],
    progress: Progress,
) -> None:
    tensors = {f"model/{name}": value.detach().clone() for name, value in objective.state_dict().items()}
    tensors |= tensor_files.optimizer_tensors(optimiser, named)
    tensor_files.write(path, tensors, asdict(progress))


def _load(
    path: Path,
    objective: PretrainingObjective,
    optimiser: torch.optim.Optimizer,
    named: dict[str, torch.nn.Parameter],
) -> Progress:
    tensors, said = tensor_files.read(path)
    objective.load_state_dict(
        {key.removeprefix("model/"): tensors[key] for key in tensors if key.startswith("model/")}
    )
    tensor_files.give_back(tensors, optimiser, named)
    return Progress(**said)
