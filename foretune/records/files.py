"""Files of records: appended to by many, read, and compacted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import Field, TypeAdapter, ValidationError

from foretune.tasks.errors import InputError

from .agreements import AgreementRecord, PublishedRecord
from .schema import SCHEMA
from .scores import ScoreRecord
from .tuning import TuningRecord

Record = TuningRecord | ScoreRecord | AgreementRecord | PublishedRecord
_ANY: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def append(path: Path, *records: Record) -> None:
    """Append records to a file, durably, while other processes may do the same.

    Several at once reach the disk together, which takes as long as one.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(record.model_dump_json(by_alias=True) + "\n" for record in records)
    with FileLock(f"{path}.lock"), path.open("a+b") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a torn line: keep it apart from ours
                file.write(b"\n")
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *, offset: int = 0) -> list[Record]:
    """Read every record of a file; an unfinished line (a writer was killed) is left out.

    Args:
        path: the file.
        offset: bytes to skip, where earlier records end.

    Raises:
        InputError: the file is missing, or a finished line is not a record.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of records; run `foretune tune` or `pytest bench/` first")
    records: list[Record] = []
    for number, line in enumerate(path.read_bytes()[offset:].split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(_ANY.validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "json_invalid":  # torn
                continue
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"{path}:{number}: not a record of schema 1 to {SCHEMA}: {where}: {first['msg']}"
            ) from None
    return records


def latest(records: Iterable[Record]) -> list[Record]:
    """Return the last record of every run and cell, in the order in which these first came."""
    last: dict[tuple[object, ...], Record] = {}
    for record in records:
        last[(record.kind, *record.key)] = record
    return list(last.values())


def compact(path: Path, *, offset: int = 0) -> None:
    """Keep the last record of every run and cell; writers wait, readers see the old file or the new one.

    Args:
        path: the file.
        offset: bytes to drop from its beginning, where earlier records end.

    Raises:
        InputError: the file is missing, or a finished line is not a record.
        OSError: the file cannot be written.
    """
    with FileLock(f"{path}.lock"):  # held from reading on: what is appended meanwhile would be lost
        replace(path, latest(read(path, offset=offset)))


def replace(path: Path, records: Iterable[Record]) -> None:
    """Write records to a file, durably and all at once; whoever reads sees the old file or the new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write("".join(f"{record.model_dump_json(by_alias=True)}\n" for record in records).encode())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
