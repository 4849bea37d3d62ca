"""A session of tests against a saved run, and against what bench/gates.toml asks to be judged."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from foretune.judged import Judged, Seen
from foretune.records import AgreementRecord, Record, read
from foretune.tasks.errors import InputError

from .cells import Cell, results
from .comparison import Finding, check_allowed, check_limits, compare
from .display import summary, table
from .limits import Limits
from .thresholds import Gates, judged_as, setting_of

_ANY: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def parse(lines: Iterable[str]) -> list[Record]:
    """Return the records that another process of the session sent as JSON."""
    return [_ANY.validate_json(line) for line in lines]


@dataclass(frozen=True)
class Verdict:
    """What a gate says at the end of a session.

    Attributes:
        title: which gate.
        text: its table, and a summary line.
        passed: whether it lets the session through.
    """

    title: str
    text: str
    passed: bool


@dataclass(frozen=True)
class SavedRun:
    """An earlier run that a session is held against.

    Attributes:
        path: its file.
        records: as they were when the session began: the session may write to the same file.
        limits: how much worse the session may be.
        allowed: states that do not fail it.
    """

    path: Path
    records: Sequence[Record]
    limits: Limits
    allowed: Collection[str]

    @classmethod
    def open(cls, path: Path, limits: Iterable[str], allowed: Collection[str]) -> SavedRun:
        """Read a saved run and check, before the long work, that it can be compared with.

        Raises:
            InputError: the file, a limit or an allowed state cannot be used.
        """
        check_allowed(allowed)
        saved = cls(path, read(path), Limits.parse(limits), allowed)
        try:
            check_limits(results(saved.records), saved.limits)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        return saved

    def judge(self, made: Iterable[Record], seen: Seen) -> Verdict:
        """Compare a session's records with the saved run."""
        found = compare(
            self.records,
            made,
            self.limits,
            allowed=self.allowed,
            why_absent=lambda cell: _why_absent(cell, seen),
        )
        parts = ([table(found.findings)] if found.findings else []) + [summary(found)]
        return Verdict(f"gate against {self.path} ({self.limits})", "\n".join(parts), found.passed)


def _why_absent(cell: Cell, seen: Seen) -> str:
    """Return why a session has no result in a cell; empty where nothing is known of it."""
    of_layers = seen.why((cell.task, "layers", cell.which, cell.estimator))
    of_models = seen.why((cell.task, "models", "all", cell.estimator))
    if cell.setting in ("layers", "models"):
        return of_layers if cell.setting == "layers" else of_models
    return of_layers or of_models  # a score serves both


def unjudged(
    gates: Mapping[Judged, object], made: Iterable[Record], seen: Seen, *, settings: Collection[str] | None
) -> list[Finding]:
    """List the cells that a file of gates names and nothing judged, those deselected left out.

    Args:
        gates: the cells of the file.
        made: what the session recorded.
        seen: what became of its tests.
        settings: those that the session is about; None: all.
    """
    judged = {
        (record.task, setting_of(record.setting, record.protocol), record.model, record.estimator)
        for record in made
        if isinstance(record, AgreementRecord)
    }
    return [
        Finding("missing", ".".join(cell), note=_why_unjudged(cell, seen))
        for cell in gates
        if (settings is None or cell[1] in settings)
        and cell not in judged
        and _test_of(cell) not in seen.deselected
    ]


def _test_of(cell: Judged) -> Judged:
    """Return what the test of a cell judges: layers or models, by whatever protocols there are."""
    task, setting, model, estimator = cell
    return (task, judged_as(setting), model, estimator)


def _why_unjudged(cell: Judged, seen: Seen) -> str:
    # a test judges the protocols that there are: another one it does not
    recorded = "its test recorded nothing" if cell in seen.collected else "no test judges it"
    return seen.why(_test_of(cell)) or recorded


def judge_gates(
    path: Path, made: Iterable[Record], seen: Seen, *, settings: Collection[str] | None, allowed: bool
) -> Verdict | None:
    """Say which cells of a file of gates nothing judged; None where all were.

    Raises:
        InputError: the file cannot be used.
    """
    found = unjudged(Gates.read(path).cells, made, seen, settings=settings)
    if not found:
        return None
    words = "allowed" if allowed else "FAILED"
    cells = "cell is" if len(found) == 1 else "cells are"
    text = f"{table(found)}\n{words}: {len(found)} {cells} named in {path.name} and judged by no test"
    return Verdict(f"gates of {path}", text, allowed)
