"""Which runs a grid has, and in what order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foretune.models import load_candidate
from foretune.records.tuning import Protocol, planned
from foretune.tasks import get_task
from foretune.tasks.errors import InputError


@dataclass(frozen=True, slots=True)
class Run:
    """One fine-tuning run of a grid.

    Attributes:
        task: a task's name.
        model: a candidate's name.
        protocol: `layer`, `single-layer` or `probe`; see `plan` on `full`.
        layer: where the encoder is cut, or the one that trains.
        seed: of the head's weights and the order of the data.
    """

    task: str
    model: str
    protocol: Protocol
    layer: int
    seed: int


def plan(
    tasks: Sequence[str],
    models: Sequence[str],
    *,
    layers: Literal["all", "last"] | Sequence[int] = "all",
    protocol: Protocol = "layer",
    seeds: int = 3,
) -> list[Run]:
    """List the runs of a grid, the first seed of everything before the second of anything.

    `full` fine-tuning is `layer` at the top, the same computation under another name: it is planned
    as that, so that grids that overlap share the run.

    Args:
        tasks: names of tasks.
        models: names of candidates.
        layers: `all` (0..num_layers), the `last`, or these.
        protocol: `layer`, `single-layer`; or `full` or `probe`, for which `layers` does not count.
        seeds: seeds 0..seeds-1.

    Raises:
        InputError: an unknown task or candidate, a layer that a candidate does not have.
    """
    for task in tasks:
        get_task(task)
    whole = protocol in ("full", "probe")
    cuts = {model: _cuts(model, "last" if whole else layers) for model in models}
    runs = [
        Run(task, model, planned(protocol), layer, seed)
        for seed in range(seeds)
        for task in tasks
        for model in models
        for layer in cuts[model]
    ]
    return list(dict.fromkeys(runs))


def _cuts(model: str, layers: Literal["all", "last"] | Sequence[int]) -> list[int]:
    top = load_candidate(model).num_layers
    if layers == "all":
        return list(range(top + 1))
    if layers == "last":
        return [top]
    for layer in layers:
        if not isinstance(layer, int) or not 0 <= layer <= top:
            raise InputError(f"layer {layer}: {model} has layers 0 to {top}")
    return [int(layer) for layer in layers]
