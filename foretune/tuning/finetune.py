"""Fine-tuning a candidate on a task: one piece of ground truth.

The convolutional front end is frozen. By protocol, there train beside a head:

- `layer`: the transformer layers up to a cut;
- `full`: all of them, which is `layer` at the top and recorded as that;
- `single-layer`: one transformer layer, what is below it stays frozen; at layer 0 the head alone;
- `probe`: the weights of a sum of all layers, which stay frozen.

Dropout and time masking stay off: the runs are short, and without them a run costs less and its seed
says everything (the head's weights and the order of the data).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from foretune import tensor_files
from foretune.models.candidate import Candidate
from foretune.records import TuningRecord, provenance
from foretune.records.tuning import Protocol
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData, Utterance

from .checkpoint import Checkpoint, Spent
from .frozen import FrozenFeatures
from .heads import make_head
from .protocols import Preparation, head_dimension
from .settings import Settings, default_settings, departures
from .stages import Progress, Trainer, decide, untouched
from .validation import Validation, held_out
from .verification import verification

T = TypeVar("T")


def fine_tune(
    candidate: Candidate,
    task: Task,
    data: TaskData,
    *,
    layer: int,
    protocol: Protocol = "layer",
    seed: int = 0,
    settings: Settings | None = None,
    frozen: FrozenFeatures | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> TuningRecord:
    """Fine-tune a candidate on the training part, and measure it on the test part.

    Where the settings ask for a validation part, it is taken from the training part, and the learning rate
    and the end of the last stage are chosen by the task's metric on it; the test part is measured once,
    after that. The same seed on the same machine gives the same metric. The candidate is left as it was,
    so that no run starts from what another has tuned.

    Args:
        candidate: on the device to train on.
        task: says what is predicted, and how it is measured.
        data: of the task.
        layer: where the encoder is cut, or the one that trains, 0..num_layers; the top for
            `full` and `probe`.
        protocol: `layer`, `full`, `single-layer` or `probe`. `full` is the same computation as `layer`
            at the top layer, so that a record of one serves for the other.
        seed: of the head's weights and the order of the data.
        settings: by default those of `default_settings`.
        frozen: keeps what is frozen for other runs; its cost counts for the run that computes it.
        progress: called with the updates done and their total.
        checkpoint: file, for this run alone, in which a run of minutes keeps where it stands, once a minute
            (and for 5 % of its time at most); it is gone on from where it is there, with the result of a run
            that was not interrupted, and removed at the end. None: nothing is kept.

    Raises:
        InputError: no such layer, no utterances, one class only, an utterance without a target or
            shorter than one frame, layers of several dimensions (`probe`), too little to hold out.
        FloatingPointError: the loss is no longer finite.
    """
    _check(candidate, data, layer, protocol)
    settings = settings or default_settings(task)
    origin = provenance(str(candidate.device))
    spent = Spent(candidate.device)
    kept = None if checkpoint is None else Checkpoint(checkpoint, origin, spent)
    targets = [_target(task, utterance) for utterance in data.train]
    for utterance in data.test:
        task.target(utterance)  # what cannot be measured must not be trained
    held = held_out(task, data, settings.validation) if settings.validation else [False] * len(data.train)
    with untouched(candidate.module):
        dimension = head_dimension(protocol, candidate, task.kind, layer)
        head = make_head(task, targets, dimension, settings.blank_bias, seed).to(candidate.device)
        frozen = frozen or FrozenFeatures()
        made = Preparation(candidate, data, task.kind, layer, head, seed, frozen).by(protocol)
        trainer = Trainer(
            made.model,
            _where(held, targets, False),
            settings,
            seed,
            progress=progress,
            validation=_validation(task, data, held, made.train) if any(held) else None,
            checkpoint=kept,
        )
        inputs = _where(held, made.train, False)
        trained = trainer.train_at_once(inputs) if made.at_once else trainer.train(inputs, made.encoder)
        decisions = decide(made.model, made.test)
        metrics = task.measure(data.test, decisions.said) | verification(task, data.test, decisions.means)
    if checkpoint is not None:
        tensor_files.remove(checkpoint)
    wall_seconds, cpu_seconds, peak_memory_bytes = spent.so_far()
    return TuningRecord(
        task=task.name,
        suite=data.suite,
        data_revision=data.revision,
        model=candidate.name,
        provenance=origin,
        model_revision=candidate.revision,
        protocol=protocol,
        layer=layer,
        seed=seed,
        learning_rate=trained.learning_rate,
        steps=settings.steps + (settings.head_steps if made.at_once else 0),
        settings=departures(task, settings),
        status="done",
        metric=task.metric,
        direction=task.direction,
        value=metrics[task.metric],
        metrics=metrics,
        validation=trained.validation,
        trials=trained.trials,
        parameters_trained=trained.parameters,
        flops=trained.flops,
        train_utterances=len(inputs),
        validation_utterances=sum(held),
        test_utterances=len(data.test),
        wall_seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        peak_memory_bytes=peak_memory_bytes,
    )


def _validation(task: Task, data: TaskData, held: Sequence[bool], inputs: Sequence[Any]) -> Validation:
    utterances = _where(held, data.train, True)
    return Validation(
        _where(held, inputs, True),
        lambda said: task.measure(utterances, said),
        lambda metrics: task.goodness(metrics[task.metric]),
    )


def _where(held: Sequence[bool], items: Sequence[T], wanted: bool) -> list[T]:
    """Return the items of the utterances that are held out, or of those that are not."""
    return [item for item, out in zip(items, held, strict=True) if out is wanted]


def _target(task: Task, utterance: Utterance) -> str:
    """Return what the head learns to give: the label, or the transcript as the metric compares it."""
    target: str = task.target(utterance)
    if task.kind == "sequence":
        target = task.normalise(target)
    return target


def _check(candidate: Candidate, data: TaskData, layer: int, protocol: Protocol) -> None:
    if not 0 <= layer <= candidate.num_layers:
        raise InputError(f"layer {layer}: {candidate.name} has layers 0 to {candidate.num_layers}")
    if protocol in ("full", "probe") and layer != candidate.num_layers:
        raise InputError(
            f"layer {layer}: `{protocol}` is about the whole encoder; give layer {candidate.num_layers}"
        )
    for part, utterances in (("training", data.train), ("test", data.test)):
        if not utterances:
            raise InputError(f"task {data.task}: its {part} part is empty; give utterances")
