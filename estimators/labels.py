"""Labels and groups of any hashable type, turned into integer codes."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Encoded:
    """Values that have been encoded before, for all layers of a batch; anything that takes values takes it.

    Attributes:
        names: the distinct values.
        codes: (rows,), the index of each row's value among them.
    """

    names: list[Hashable]
    codes: NDArray[np.intp]

    @classmethod
    def of(cls, values: Any, argument: str) -> Encoded:
        """Encode values; the argument is their name in messages."""
        return cls(*encode(values, len(values), argument))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)


def encode(
    values: Any, rows: int, argument: str, *, features: str = "features"
) -> tuple[list[Hashable], NDArray[np.intp]]:
    """Return the distinct values and, for each row, the index of its value among them.

    Args:
        values: (rows,), numpy array, torch tensor or sequence of hashables.
        rows: how many there must be.
        argument: its name in messages.
        features: the name in messages of what has the rows.

    Raises:
        ValueError: the number of values is not `rows`, or one of them is None, NaN or not hashable.
    """
    if isinstance(values, Encoded) and len(values) == rows:
        return values.names, values.codes
    if isinstance(values, Encoded):
        values = [values.names[code] for code in values.codes]
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"{argument} has shape {values.shape}; it must be one value per row, (N,)")
        if values.dtype.kind in "biuUS" and len(values) == rows:
            unique, inverse = np.unique(values, return_inverse=True)
            return unique.tolist(), inverse.astype(np.intp)
        values = values.tolist()
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if len(values) != rows:
        raise ValueError(f"{argument} has {len(values)} values, {features} {rows} rows; give one per row")
    index: dict[Hashable, int] = {}
    codes = np.empty(rows, dtype=np.intp)
    for i, value in enumerate(values):
        if value is None or value != value:  # noqa: PLR0124 (only NaN differs from itself)
            raise ValueError(f"{argument}[{i}] is {value}; leave out rows without one")
        try:
            codes[i] = index.setdefault(value, len(index))
        except TypeError:
            raise ValueError(f"{argument}[{i}] is a {type(value).__name__}, which is not hashable") from None
    return list(index), codes


def sort_key(label: Hashable) -> tuple[str, Any, str]:
    """Return a key that sorts labels of any types, numbers and strings in their own order."""
    if isinstance(label, bool | int | float):
        return ("", label, "")
    return (type(label).__name__, str(label), repr(label))


def stable_hash(value: Hashable, seed: int = 0) -> int:
    """Return 64 bits that depend on the value (through its repr) and the seed alone.

    Python's own hash of a string differs from process to process.
    """
    if isinstance(value, np.generic):
        value = value.item()
    digest = hashlib.blake2b(f"{seed}:{type(value).__name__}:{value!r}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def bucket(group: Hashable, buckets: int) -> int:
    """Return which of so many buckets a group falls into, on any machine the same."""
    return stable_hash(group) % buckets
