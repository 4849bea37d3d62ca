"""Which runs a grid has, and in what order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from foretune.models import load_candidate
from foretune.models.candidate import Candidate
from foretune.records.tuning import Protocol, planned
from foretune.tasks import get_task
from foretune.tasks.errors import InputError

LARGE = 20_000_000
"""Parameters above which the learning rate by default, of encoders of a few million, is likely too high."""


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
    report: Callable[[str], None] = lambda _: None,
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
        report: is told which candidates are too large for the learning rate of the settings by default.

    Raises:
        InputError: an unknown task or candidate, a layer that a candidate does not have.
    """
    for task in tasks:
        get_task(task)
    whole = protocol in ("full", "probe")
    cuts: dict[str, list[int]] = {}
    for model in dict.fromkeys(models):
        candidate = load_candidate(model)
        cuts[model] = _cuts(candidate, model, "last" if whole else layers)
        size = candidate.parameters(max(cuts[model]))
        if size > LARGE and protocol != "probe":
            report(
                f"{model}: {size / 1e6:.0f} million parameters; the learning rate by default was chosen for "
                "a few million: give --learning-rates 1e-5,1e-4,1e-3, which chooses on held-out speech"
            )
    runs = [
        Run(task, model, planned(protocol), layer, seed)
        for seed in range(seeds)
        for task in tasks
        for model in models
        for layer in cuts[model]
    ]
    return list(dict.fromkeys(runs))


def _cuts(candidate: Candidate, model: str, layers: Literal["all", "last"] | Sequence[int]) -> list[int]:
    top = candidate.num_layers
    if layers == "all":
        return list(range(top + 1))
    if layers == "last":
        return [top]
    for layer in layers:
        if not isinstance(layer, int) or not 0 <= layer <= top:
            raise InputError(f"layer {layer}: {model} has layers 0 to {top}")
    return [int(layer) for layer in layers]
