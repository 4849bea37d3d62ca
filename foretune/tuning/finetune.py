"""Fine-tuning a candidate, cut after a layer, on a task: one piece of ground truth.

The convolutional front end is frozen; the transformer layers up to the cut and a linear head on the
last of them train. Dropout and time masking stay off: the runs are short, and without them a run
costs less and its seed says everything (the head's weights and the order of the data).
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Literal

import torch

from foretune.models.candidate import Candidate
from foretune.records import TuningRecord, provenance
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData, Utterance

from .frozen import FrozenFeatures
from .heads import make_head
from .settings import Settings, default_settings
from .stages import CutEncoder, Progress, Trainer, decide, untouched

Protocol = Literal["layer", "full"]


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
) -> TuningRecord:
    """Fine-tune a candidate on the training part, and measure it on the test part.

    The same seed on the same machine gives the same metric. The candidate is left as it was, so that
    no run starts from what another has tuned.

    Args:
        candidate: on the device to train on.
        task: says what is predicted, and how it is measured.
        data: of the task.
        layer: where the encoder is cut, 0..num_layers.
        protocol: `layer`, or `full` for the whole encoder. `full` is the same computation as `layer`
            at the top layer, so that a record of one serves for the other.
        seed: of the head's weights and the order of the data.
        settings: by default those of `default_settings`.
        frozen: keeps the front end's output for other runs; its cost counts for the run that computes it.
        progress: called with the updates done and their total.

    Raises:
        InputError: no such layer, no utterances, one class only, an utterance without a target or
            shorter than one frame.
        FloatingPointError: the loss is no longer finite.
    """
    _check(candidate, data, layer, protocol)
    settings = settings or default_settings(task)
    origin = provenance(str(candidate.device))
    wall, cpu = time.perf_counter(), time.process_time()
    if candidate.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(candidate.device)
    features = (frozen or FrozenFeatures()).of(candidate, data)
    targets = [_target(task, utterance) for utterance in data.train]
    for utterance in data.test:
        task.target(utterance)  # what cannot be measured must not be trained
    with untouched(candidate.module):
        head = make_head(task, targets, candidate.dimensions[layer], settings.blank_bias, seed)
        model = CutEncoder(candidate, layer, head).to(candidate.device).eval()
        parameters = Trainer(model, targets, settings, seed, progress).train(features.train)
        metrics = task.measure(data.test, decide(model, features.test))
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
        learning_rate=settings.learning_rate,
        steps=settings.steps,
        status="done",
        metric=task.metric,
        direction=task.direction,
        value=metrics[task.metric],
        metrics=metrics,
        parameters_trained=parameters,
        train_utterances=len(data.train),
        test_utterances=len(data.test),
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        peak_memory_bytes=_peak_memory(candidate.device),
    )


def _target(task: Task, utterance: Utterance) -> str:
    """Return what the head learns to give: the label, or the transcript as the metric compares it."""
    target: str = task.target(utterance)
    if task.kind == "sequence":
        target = task.normalise(target)
    return target


def _check(candidate: Candidate, data: TaskData, layer: int, protocol: Protocol) -> None:
    if not 0 <= layer <= candidate.num_layers:
        raise InputError(f"layer {layer}: {candidate.name} has layers 0 to {candidate.num_layers}")
    if protocol == "full" and layer != candidate.num_layers:
        raise InputError(f"layer {layer}: `full` tunes the whole encoder; give layer {candidate.num_layers}")
    for part, utterances in (("training", data.train), ("test", data.test)):
        if not utterances:
            raise InputError(f"task {data.task}: its {part} part is empty; give utterances")


def _peak_memory(device: torch.device) -> int:
    """Return the most bytes in use so far: on the accelerator during the run, or of the whole process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
