"""Reading the CSV files of published results: what is damaged is named by file and row."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

_ADVICE = "restore the file from the package"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file.

    Attributes:
        path: the file.
        number: counted from 1, after the header.
        cells: text by column.
    """

    path: Path
    number: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Return a cell that must not be empty.

        Raises:
            InputError: it is.
        """
        return self.cells[column] or self._fail(f"{column} is empty")

    def number_in(self, column: str, low: float, high: float) -> float:
        """Return a cell as a number from `low` to `high`, both included.

        Raises:
            InputError: it is not one.
        """
        cell = self.text(column)
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not low <= value <= high:  # NaN too
            self._fail(f"{column} is {cell}, must be a number from {low:g} to {high:g}")
        return value

    def _fail(self, what: str) -> str:
        raise InputError(f"{self.path}: row {self.number}: {what}; {_ADVICE}")


def read_rows(path: Path, columns: Sequence[str], key: Sequence[str]) -> list[Row]:
    """Read a CSV file.

    Args:
        path: the file.
        columns: what its header must be.
        key: columns whose cells together name a row, which no other may have.

    Raises:
        InputError: the file is missing, is no UTF-8 text, has another header, no rows, a row with too
            few or too many cells, or a row twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); {_ADVICE}") from None
    if not lines or lines[0] != list(columns):
        raise InputError(f"{path}: header is not {','.join(columns)}; {_ADVICE}")
    rows: dict[tuple[str, ...], Row] = {}
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(columns):
            raise InputError(f"{path}: row {number}: {len(line)} cells, not {len(columns)}; {_ADVICE}")
        row = Row(path, number, dict(zip(columns, line, strict=True)))
        name = tuple(row.cells[column] for column in key)
        if name in rows:
            raise InputError(
                f"{path}: row {number}: {', '.join(name)} is in row {rows[name].number} already; {_ADVICE}"
            )
        rows[name] = row
    if not rows:
        raise InputError(f"{path}: no rows; {_ADVICE}")
    return list(rows.values())


def revision(*paths: Path) -> str:
    """Return 12 hexadecimal digits that change when a file changes."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
