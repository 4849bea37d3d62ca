"""A run against an earlier one, cell by cell: what got worse, and what can no longer be told.

Silence is no pass. A cell that only one of the runs has, that failed, or that was made from something
else fails the comparison like a worse one, unless its state is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from foretune.records import Record
from foretune.tasks.errors import InputError

from .cells import Cell, Result, results
from .limits import Limit, Limits

State = Literal["worse", "missing", "new", "failed", "changed", "untimed", "unbounded"]
ALLOWABLE: tuple[State, ...] = tuple(state for state in get_args(State) if state != "worse")
"""States that a user may allow:

- `missing`: the earlier run has the cell, this one does not (never run, skipped, deselected);
- `new`: this run has the cell, or a value in it, that the earlier one does not;
- `failed`: the estimator gave a value then and gives none now;
- `changed`: it was made from other data, weights, candidates or seeds of fine-tuning;
- `untimed`: the times were not taken on the same device and machine with as many threads, or were taken
  beside other tests;
- `unbounded`: a limit is by interval, and the earlier run has none in the cell.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a run fails, or would without what is allowed.

    Attributes:
        state: what is the matter.
        cell: its name.
        layer: of a score.
        measure: what was compared; empty where the cell as a whole is concerned.
        old: the earlier value.
        new: this run's.
        limit: the value that must be kept, and the limit behind it.
        note: more in words.
        allowed: whether the user allows this state.
    """

    state: State
    cell: str
    layer: int | None = None
    measure: str = ""
    old: float | None = None
    new: float | None = None
    limit: str = ""
    note: str = ""
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of a comparison.

    Attributes:
        findings: in the order of the earlier run's cells, then the new ones.
        values: how many values were held against their limits.
        cells: how many cells the two runs have, together.
        unscored: cells for which the estimator gave no value in either run, as it may rightly do.
    """

    findings: Sequence[Finding]
    values: int
    cells: int
    unscored: int = 0

    @property
    def offending(self) -> list[Finding]:
        """Return the findings that nothing allows."""
        return [finding for finding in self.findings if not finding.allowed]

    @property
    def passed(self) -> bool:
        """Whether no cell offends, and anything was compared at all."""
        return not self.offending and self.values > 0

    def as_dict(self) -> dict[str, Any]:
        """Return what a machine wants to know."""
        return {
            "passed": self.passed,
            "cells": self.cells,
            "values": self.values,
            "unscored": self.unscored,
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass
class _Findings:
    """What is collected on the way."""

    limits: Limits
    allowed: Collection[str]
    found: list[Finding] = field(default_factory=list)
    values: int = 0
    unscored: int = 0

    def add(self, state: State, cell: Cell, **more: Any) -> None:
        self.found.append(Finding(state, cell.name, cell.layer, allowed=state in self.allowed, **more))


def compare(
    old: Iterable[Record],
    new: Iterable[Record],
    limits: Limits,
    *,
    allowed: Collection[str] = (),
    why_absent: Callable[[Cell], str] = lambda _: "",
) -> Comparison:
    """Hold a run against an earlier one.

    Args:
        old: the earlier run; of repeated cells the last counts.
        new: this run.
        limits: how much worse it may be.
        allowed: states that do not fail the comparison, of `ALLOWABLE`.
        why_absent: says why this run lacks a cell; empty where that is not known.

    Raises:
        InputError: a state cannot be allowed, the earlier run has nothing to compare with, or a limit
            fits none of its cells.
    """
    check_allowed(allowed)
    before, after = results(old), results(new)
    check_limits(before, limits)
    collected = _Findings(limits, allowed)
    for cell in before | after:
        _compare_cell(cell, before.get(cell), after.get(cell), collected, why_absent)
    return Comparison(collected.found, collected.values, len(before | after), collected.unscored)


def check_allowed(allowed: Iterable[str]) -> None:
    """Check that there are such states.

    Raises:
        InputError: one cannot be allowed.
    """
    unknown = [state for state in allowed if state not in ALLOWABLE]
    if unknown:
        raise InputError(f"cannot allow {unknown[0]!r}; there are {', '.join(ALLOWABLE)}")


def check_limits(before: Mapping[Cell, Result], limits: Limits) -> None:
    """Check that there is something to compare with, and that each limit concerns some of it.

    Raises:
        InputError: the earlier run has no cell, or a limit fits none.
    """
    if not before:
        raise InputError("the saved run has no scores and no agreements: there is nothing to compare with")
    for limit in limits.limits:
        if not any(
            limit.measure in result.values and limit.covers(cell.name) for cell, result in before.items()
        ):
            example = next(cell.name for cell in before)
            raise InputError(f"limit {limit}: it fits no cell of the saved run; a cell is called {example}")


def _compare_cell(
    cell: Cell, old: Result | None, new: Result | None, found: _Findings, why_absent: Callable[[Cell], str]
) -> None:
    if cell.setting == "times":  # that a cell is there is the matter of its scores
        if old is not None and new is not None:
            _compare_values(cell, old, new, found)
    elif new is None:
        found.add("missing", cell, note=why_absent(cell))
    elif old is None:
        found.add("new", cell)
    elif old.error and new.error:
        found.unscored += 1
    elif new.error:
        found.add("failed", cell, note=new.error)
    elif old.error:
        found.add("new", cell, note=f"no value before: {old.error}")
    else:
        changes = _differences(old.origin, new.origin)
        if changes:
            found.add("changed", cell, note=changes)
        if not changes or "changed" in found.allowed:
            _compare_values(cell, old, new, found)


def _compare_values(cell: Cell, old: Result, new: Result, found: _Findings) -> None:
    for measure in {**old.values, **new.values}:
        limit = found.limits.of(measure, cell.name)
        if limit is None:
            continue
        before, after = old.values.get(measure), new.values.get(measure)
        if before is None and after is None:
            continue
        if after is None:
            found.add("failed", cell, measure=measure, old=before)
        elif before is None:
            found.add("new", cell, measure=measure, new=after)
        elif measure == "time" and (unlike := _why_untimed(cell, old, new)):
            found.add("untimed", cell, measure=measure, old=before, new=after, note=unlike)
        else:
            _hold(cell, limit, (before, after), found, interval=old.intervals.get(limit.kind))


def _why_untimed(cell: Cell, old: Result, new: Result) -> str:
    """Return why two times cannot be compared; empty where they can."""
    for run, untimed in (("then", old.untimed), ("now", new.untimed)):
        if untimed:
            return f"{run} {untimed}"
    unlike = _differences(old.timed_on, new.timed_on)
    if cell.setting == "times":  # of an agreement, what it was made from has been compared already
        unlike = unlike or _differences(old.origin, new.origin)
    return unlike


def _hold(
    cell: Cell,
    limit: Limit,
    values: tuple[float, float],
    found: _Findings,
    interval: tuple[float, float] | None = None,
) -> None:
    """Hold one value against its limit."""
    old, new = values
    shortest = found.limits.shortest if limit.measure == "time" else -math.inf
    allowed = limit.range(max(old, shortest), interval)
    if allowed is None:
        found.add("unbounded", cell, measure=limit.measure, old=old, new=new, note=f"no {limit.kind} before")
        return
    found.values += 1
    if not allowed.holds(max(new, shortest)):
        found.add("worse", cell, measure=limit.measure, old=old, new=new, limit=str(allowed))


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return in words where two descriptions differ; empty where they do not."""
    return "; ".join(
        f"{name}: {old.get(name)} → {new.get(name)}" for name in old if old[name] != new.get(name)
    )
