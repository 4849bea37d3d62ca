"""Which runs of a grid fit into a budget."""

from __future__ import annotations

import re
from collections.abc import Sequence

from foretune.tasks.errors import InputError

from .costs import Cell, Estimate
from .planning import Run

_UNITS = {"h": 3600, "m": 60, "s": 1}


def fit(runs: Sequence[Run], costs: Estimate, budget: float, workers: int = 1) -> tuple[list[Run], list[str]]:
    """Leave out what does not fit into a budget, and say what.

    While it is too much, one after the other: the highest seed goes, until one is left; of every model
    every other layer goes, counted down from the highest, until that alone is left; the dearest model of a
    task goes, until one is left. Updates are never cut, since a run with fewer is another experiment.

    Args:
        runs: that are to be done.
        costs: of each of them.
        budget: seconds.
        workers: processes.

    Returns:
        What is left, in the order of `runs`, and a phrase for each thing left out.

    Raises:
        InputError: not even one run fits.
    """
    kept, left_out = list(runs), list[str]()

    def too_much() -> bool:
        return costs.seconds(kept, workers) > budget

    while too_much() and len({run.seed for run in kept}) > 1:
        last = max(run.seed for run in kept)
        kept = [run for run in kept if run.seed != last]
        left_out.append(f"seed {last}")
    whole = kept
    while too_much() and (thinner := _every_other_layer(kept)) != kept:
        kept = thinner
    left_out += _layers_left_out(whole, kept)
    while too_much() and len(cells := {(run.task, run.model) for run in kept}) > 1:
        dearest = max(
            sorted(cells),
            key=lambda cell: costs.seconds([run for run in kept if (run.task, run.model) == cell]),
        )
        kept = [run for run in kept if (run.task, run.model) != dearest]
        left_out.append(f"{dearest[1]} on {dearest[0]}")
    if kept and too_much():
        needed = duration(costs.seconds(kept, workers))
        raise InputError(
            f"a budget of {duration(budget)}: one run alone takes about {needed}; give that, or fewer --steps"
        )
    return kept, left_out


def _every_other_layer(runs: Sequence[Run]) -> list[Run]:
    layers = _layers(runs)
    kept = {cell: set(sorted(found, reverse=True)[::2]) for cell, found in layers.items()}
    return [run for run in runs if run.layer in kept[run.task, run.model]]


def _layers_left_out(before: Sequence[Run], after: Sequence[Run]) -> list[str]:
    kept = _layers(after)
    phrases = []
    for (task, model), layers in _layers(before).items():
        if gone := sorted(layers - kept[task, model]):
            which = "layer" if len(gone) == 1 else "layers"
            phrases.append(f"{which} {', '.join(map(str, gone))} of {model} on {task}")
    return phrases


def _layers(runs: Sequence[Run]) -> dict[Cell, set[int]]:
    found: dict[Cell, set[int]] = {}
    for run in runs:
        found.setdefault((run.task, run.model), set()).add(run.layer)
    return found


def duration(seconds: float) -> str:
    """Say a time in words: `40 s`, `12 min`, `2 h 5 min`.

    >>> duration(39.6), duration(720), duration(7500)
    ('40 s', '12 min', '2 h 5 min')
    """
    if seconds < 120:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part, there in ((f"{hours} h", hours), (f"{minutes} min", minutes)) if there)


def seconds_of(text: str) -> float:
    """Read a time such as `10m`, `90s` or `1h30m`.

    Raises:
        InputError: it is something else.

    >>> seconds_of("1h30m")
    5400.0
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text.replace(" ", ""):
        raise InputError(f"--budget {text}: give a time such as 10m, 90s or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not total:
        raise InputError(f"--budget {text}: give more than nothing")
    return total
