"""What a pass over speech has gathered so far, on disk, so that an interrupted one goes on where it was.

A cache is a folder that the user names. It has a folder for each pass, named by a hash of all that
decides what the pass gathers: the candidate's name and weights, the utterances' own content and labels, the
sampling, precision, batches and windows, and the versions of the code. Features are not kept, but what is
made from them:

- of utterance tasks the pooled features of every layer, in numbered files that are each written once. They
  serve any estimator;
- of sequence tasks the accumulators themselves (moments, samples), in one file that is replaced whole.

A file is a BLAKE2 checksum, then NumPy's `.npz` without pickle. Damage is noticed by the checksum; what is
damaged, and what came after it, is made again. A file appears whole or not at all. One process at a time
writes to a pass's folder; another one that wants the same goes without it.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from foretune.estimators.state import dump, load
from foretune.pace import Pace
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

VERSION = 3
"""To be raised when a change to the code alters features, samples or what the files hold."""

SAVING_SHARE = 0.1
"""Most of the time that saving may take."""

_DIGEST = 32  # bytes of a checksum

Report = Callable[[str], None]


class Folder:
    """The files of one pass.

    Args:
        root: the cache.
        key: what decides the pass's outcome, as `describe` gives it.
        report: gets a line on each damaged file.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, root: Path, key: Mapping[str, Any], report: Report | None = None) -> None:
        text = json.dumps(key, indent=2, sort_keys=True)
        self.path = root / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        self._report = report
        self._lock = FileLock(self.path / "lock")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout:
            message = f"{self.path}: in use by another process; going on without the cache"
            raise BusyError(message) from None
        except OSError as error:
            raise InputError(
                f"cache {root}: {error.strerror}; name a folder that can be written to"
            ) from None
        (self.path / "key.json").write_text(text)

    def close(self) -> None:
        """Let other processes have it."""
        self._lock.release()

    def write(self, name: str, value: Any) -> None:
        """Write a value that `foretune.estimators.state` can dump, whole or not at all."""
        text, arrays = dump(value)
        temporary = self.path / f"{name}.{os.getpid()}.tmp"
        try:
            with temporary.open("w+b") as file:
                file.write(bytes(_DIGEST))
                np.savez(file, allow_pickle=False, **arrays, content=np.frombuffer(text.encode(), np.uint8))
                checksum = _checksum(file)
                file.seek(0)
                file.write(checksum)
            temporary.replace(self._file(name))
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, name: str) -> Any:
        """Return the value of a file; None where there is none, or a damaged one, which is removed."""
        path = self._file(name)
        if not path.exists():
            return None
        with path.open("rb") as file:
            if file.read(_DIGEST) == _checksum(file):
                file.seek(_DIGEST)
                with np.load(file, allow_pickle=False) as content:
                    arrays = {key: content[key] for key in content.files}
                return load(arrays.pop("content").tobytes().decode(), arrays)
        if self._report is not None:
            self._report(f"{path}: damaged; it is made again")
        path.unlink()
        return None

    def remove_from(self, name: str) -> None:
        """Remove the file of this name and those whose names come after it."""
        for path in self.path.glob("*.gathered"):
            if path.stem >= name:
                path.unlink()

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.gathered"


def _checksum(file: BinaryIO) -> bytes:
    """Return the checksum of what follows a file's own."""
    digest = hashlib.blake2b(digest_size=_DIGEST)
    file.seek(_DIGEST)
    while block := file.read(2**20):
        digest.update(block)
    return digest.digest()


class BusyError(Exception):
    """Another process writes to the same folder."""


def saving_pace() -> Pace:
    """Return when to save: at once, then so seldom that it takes no more than `SAVING_SHARE` of the time."""
    return Pace(SAVING_SHARE)


# --- what decides the outcome of a pass


def content_hash(utterances: Sequence[Utterance]) -> str:
    """Return 32 hexadecimal digits over utterances: the bytes of their audio and all that is known of them.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for utterance in utterances:
        known = {
            field.name: canonical(getattr(utterance, field.name))
            for field in dataclasses.fields(utterance)
            if field.name != "audio"
        }
        digest.update(json.dumps(known, sort_keys=True).encode())
        digest.update(_audio_digest(utterance))
    return digest.hexdigest()


def audio_hash(utterances: Sequence[Utterance]) -> str:
    """Return 32 hexadecimal digits over the audio of utterances alone, in their order.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for utterance in utterances:
        digest.update(_audio_digest(utterance))
    return digest.hexdigest()


def _audio_digest(utterance: Utterance) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(utterance.audio, np.ndarray):
        digest.update(np.ascontiguousarray(utterance.audio).data)
        return digest.digest()
    try:
        with utterance.audio.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{utterance.audio}: {error.strerror}; correct the path") from None
    return digest.digest()


def canonical(value: Any) -> Any:
    """Return a value in JSON's own types, equal values alike.

    Args:
        value: a dataclass, mapping, sequence, array, path, enumeration, string, number or None, nested.

    Raises:
        TypeError: it is, or holds, something else, of which nobody can say when it is the same.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, enum.Enum | Path):
        return str(value)
    if isinstance(value, np.ndarray):
        digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16)
        return [str(value.dtype), list(value.shape), digest.hexdigest()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: canonical(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return sorted(([canonical(key), canonical(item)] for key, item in value.items()), key=json.dumps)
    if isinstance(value, Sequence):
        return [canonical(item) for item in value]
    raise TypeError(f"a {type(value).__name__} has no canonical form")
