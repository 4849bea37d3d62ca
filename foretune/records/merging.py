"""Joining the records of several machines into one file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from foretune.tasks.errors import InputError

from .files import Record, latest, read, replace
from .scores import ScoreRecord
from .tuning import TuningRecord

_ORDER = ("tuning", "score", "agreement", "published")
_TOLERANCE = 1e-6
"""Relative; results of one cell on two machines differ by less."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What several files make together.

    Attributes:
        records: one of each run and cell, by kind and then by run or cell, whatever the order of the files.
        repeated: records left out since another has the same result.
        conflicts: a line for each run or cell of which two files have different results.
    """

    records: list[Record]
    repeated: int
    conflicts: list[str]


@dataclass(frozen=True, slots=True)
class _Found:
    """A record and the file it is from."""

    record: Record
    path: Path

    @property
    def result(self) -> tuple[str, float | None]:
        """What was found, on which data; None where it failed."""
        record = self.record
        if isinstance(record, TuningRecord):
            return record.data_revision, record.value
        if isinstance(record, ScoreRecord):
            return record.data_revision, record.score
        return record.data_revision, record.spearman

    @property
    def preference(self) -> tuple[bool, str, str]:
        """The record with the highest counts: with a result before without, later before earlier."""
        started = self.record.provenance.started
        return self.result[1] is not None, started, self.record.model_dump_json()

    def agrees(self, other: _Found) -> bool:
        """Whether two records of a run or cell have the same result."""
        (data, value), (other_data, other_value) = self.result, other.result
        if data != other_data or value is None or other_value is None:
            return (data, value) == (other_data, other_value)
        return math.isclose(value, other_value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)

    def __str__(self) -> str:
        data, value = self.result
        shown = "no result" if value is None else f"{value:.6g}"
        return f"{shown} in {self.path} (data {data}, {self.record.provenance.started})"


def merge(paths: Sequence[Path]) -> Merged:
    """Join the records of several files; nothing is written.

    Within a file the last record of a run or cell counts. Between files one with a result counts before
    one without, and of two with a result the one that started later.

    Args:
        paths: files of records.

    Raises:
        InputError: a file is missing, or a finished line is not a record.
    """
    found: dict[tuple[object, ...], list[_Found]] = {}
    for path in dict.fromkeys(paths):
        for record in latest(read(path)):
            found.setdefault((_ORDER.index(record.kind), *record.key), []).append(_Found(record, path))
    kept: list[Record] = []
    conflicts: list[str] = []
    repeated = 0
    for key in sorted(found):
        best, *others = sorted(found[key], key=lambda each: each.preference, reverse=True)
        kept.append(best.record)
        different = [other for other in others if not best.agrees(other)]
        repeated += len(others) - len(different)
        if different:
            cell = " ".join(str(part) for part in (best.record.kind, *best.record.key) if part != "")
            conflicts.append(f"{cell}: kept {best}; not {', '.join(map(str, different))}")
    return Merged(kept, repeated, conflicts)


def write_merged(paths: Sequence[Path], output: Path) -> Merged:
    """Join the records of several files into one, which is replaced as a whole.

    Args:
        paths: files of records; `output` may be one of them.
        output: the file to write.

    Raises:
        InputError: as `merge`; or `output` has records already and is none of `paths`.
        OSError: the file cannot be written.
    """
    given = {path.resolve() for path in paths}
    if output.exists() and output.resolve() not in given:
        raise InputError(f"{output}: is there already; name it among the files to join, or remove it")
    with FileLock(f"{output}.lock"):  # held from reading on: what is appended meanwhile would be lost
        merged = merge(paths)
        replace(output, merged.records)
    return merged
