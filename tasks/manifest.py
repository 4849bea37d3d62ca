"""A task's data from a user's own recordings, described by a manifest.

Columns: `path` (or `file_name`), relative to the manifest's folder; `text`, `speaker`, `emotion`,
`label`, `phones` (spaces between), `language`, as the task needs; and optionally `split` with `train` or
`test`. Rows marked `validation`,
`valid` or `dev` join the training part: fine-tuning here tunes nothing on them, and the test part
stays what its author made it. Every file is read once before the long work begins.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .audio import decode_audio
from .errors import InputError
from .metrics import normalise_transcript
from .splits import grouped_split
from .tables import TEST_FOLDERS, TRAIN_FOLDERS, Table, read_table
from .task import Task
from .utterance import TaskData, Utterance

SHOWN = 3
"""Bad rows, labels or values that a message names before it only counts."""

LONGEST_PHONE = 4
"""Characters of one phone's name, with length and tone; more without a space are several phones."""

_SIDES = dict.fromkeys(TRAIN_FOLDERS, "train") | dict.fromkeys(TEST_FOLDERS, "test")
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        row: counted from 1, after the header.
        file: as the manifest names it, empty where it does not.
        reason: what is wrong and what to do.
    """

    row: int
    file: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.file or 'no path'}): {self.reason}"


@dataclass(frozen=True, slots=True)
class _GoodRow:
    row: int
    utterance: Utterance
    file: Path
    side: str  # train, test, or empty where the manifest has no split


def load_manifest(
    path: Path,
    task: Task,
    *,
    skip_bad: bool = False,
    test_fraction: float = 0.25,
    seed: int = 0,
    report: Callable[[str], None] = _LOGGER.warning,
) -> TaskData:
    """Load, check and split a user's own data for a task.

    Without a column `split` the test part is chosen by `grouped_split`, so that no value of the
    column `task.split_by` (speakers, or sentences up to case and punctuation) is on both sides.
    Where the manifest does not have that column, recordings are split one by one, and `report`
    is told.

    Args:
        path: a CSV, TSV, JSON lines or Parquet file, or a folder (see `read_table`).
        task: what is to be predicted; the first of its columns that the manifest has is the label.
        skip_bad: leave bad rows out, and report them, where otherwise they are an error.
        test_fraction: share of the rows to test on, where the manifest has no split.
        seed: of that split.
        report: is told, line by line, what was left out or is not as fair as it should be.

    Raises:
        InputError: the manifest cannot be read or lacks a column; rows are bad (a path that
            leaves the folder, an audio file that cannot be used, an empty label, an unknown split)
            and `skip_bad` is false; fewer than two classes; no rows for training or for testing; a
            test label that training does not have; no fair split exists.
    """
    table = read_table(path)
    label_column = _first_column(table, task.columns)
    needed = [label_column]
    if _has(table, "split"):
        needed.append("split")
    elif _has(table, task.split_by):
        needed.append(task.split_by)  # what keeps test and training apart must be known of each row
    transcript = (label_column, task) if task.kind == "sequence" else None
    good = _usable_rows(table, needed, transcript, skip_bad=skip_bad, report=report)
    utterances = [row.utterance for row in good]
    _check_classes(table, task, utterances)
    sides = [row.side for row in good]
    if not all(sides):  # the manifest has no split
        sides = _split(table, task, utterances, test_fraction=test_fraction, seed=seed, report=report)
    data = TaskData(
        task=task.name,
        suite="local",
        revision=_revision(table, good, sides),
        train=[utterance for utterance, side in zip(utterances, sides, strict=True) if side == "train"],
        test=[utterance for utterance, side in zip(utterances, sides, strict=True) if side == "test"],
    )
    _check_sides(table, task, data, report)
    return data


def load_recordings(
    path: Path, *, skip_bad: bool = False, report: Callable[[str], None] = _LOGGER.warning
) -> list[Utterance]:
    """Load recordings of which no label is asked, such as speech from a candidate's pre-training.

    Args:
        path: as for `load_manifest`; of its columns only `path` (or `file_name`) is needed.
        skip_bad: as for `load_manifest`.
        report: as for `load_manifest`.

    Raises:
        InputError: the manifest cannot be read or has no paths; or rows are bad and `skip_bad` is
            false.
    """
    rows = _usable_rows(read_table(path), [], None, skip_bad=skip_bad, report=report)
    return [row.utterance for row in rows]


def _usable_rows(
    table: Table,
    needed: Sequence[str],
    transcript: tuple[str, Task] | None,
    *,
    skip_bad: bool,
    report: Callable[[str], None],
) -> list[_GoodRow]:
    """Return the rows that can be used; raise at bad ones, or report them."""
    good, bad = _check_rows(table, needed, transcript)
    if bad and not (skip_bad and good):
        raise InputError(_bad_rows_message(table, bad))
    for row in bad:
        report(f"{table.path}: left out {row}")
    if bad:
        report(f"{table.path}: left out {len(bad)} of {len(table.rows)} rows, {len(good)} remain")
    return good


def _check_rows(
    table: Table, needed: Sequence[str], transcript: tuple[str, Task] | None
) -> tuple[list[_GoodRow], list[BadRow]]:
    """Sort rows into usable and bad ones, by their cells first, then by their audio.

    Args:
        table: the manifest.
        needed: the columns, beside the path, that must not be empty.
        transcript: the column, if any, that must have something to say to this task.
    """
    path_column = _first_column(table, ("path", "file_name"))
    good: dict[str, _GoodRow] = {}
    bad = []
    for number, row in enumerate(table.rows, start=1):
        try:
            for column in (path_column, *needed):
                if column not in row:
                    raise InputError(f"{column} is empty; fill it in")
            if transcript:
                _check_transcript(row, *transcript)
            file, name = _locate(table.folder, row[path_column])
            if name in good:
                raise InputError(f"the same file as row {good[name].row}; keep one of them")
            side = _side(row["split"]) if "split" in needed else ""
        except InputError as error:
            bad.append(BadRow(number, row.get(path_column, ""), str(error)))
            continue
        good[name] = _GoodRow(number, _utterance(name, file, row), file, side)
    unreadable = _check_audio(list(good.values()))
    bad = sorted([*bad, *unreadable], key=lambda row: row.row)
    rejected = {row.row for row in unreadable}
    return [row for row in good.values() if row.row not in rejected], bad


def _check_transcript(row: dict[str, str], column: str, task: Task) -> None:
    transcript = task.normalise(row[column])
    if not transcript:
        raise InputError(f"{column} has no letters; give a transcript")
    if task.separator and task.separator not in transcript and len(transcript) > LONGEST_PHONE:
        raise InputError(f"{column} has no spaces; put one between two {column}")


def _check_audio(rows: Sequence[_GoodRow]) -> list[BadRow]:
    """Read every file, several at a time (decoding releases the interpreter's lock)."""

    def check(row: _GoodRow) -> BadRow | None:
        try:
            decode_audio(row.file)
        except InputError as error:
            return BadRow(row.row, row.utterance.id, str(error).removeprefix(f"{row.file}: "))
        return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return [bad for bad in pool.map(check, rows) if bad is not None]


def _has(table: Table, column: str) -> bool:
    return any(column in row for row in table.rows)


def _first_column(table: Table, columns: Sequence[str]) -> str:
    """Return the first of these columns that has values."""
    for column in columns:
        if _has(table, column):
            return column
    wanted, found = " or ".join(columns), ", ".join(table.columns) or "none"
    if set(columns) & set(table.columns):
        raise InputError(f"{table.path}: column {wanted} has no values; fill it in")
    raise InputError(f"{table.path}: missing column {wanted}; found: {found}; add or rename one")


def _locate(folder: Path, name: str) -> tuple[Path, str]:
    """Return a row's file, and its name relative to the manifest's folder, which it must not leave."""
    root = folder.resolve()
    try:
        file = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a null character, a loop of links
        raise InputError("not a path; name a file") from None
    if not file.is_relative_to(root):
        raise InputError(f"the path leads out of the manifest's folder {folder}; move the file into it")
    return file, file.relative_to(root).as_posix()


def _utterance(name: str, file: Path, row: dict[str, str]) -> Utterance:
    return Utterance(
        name,
        file,
        text=row.get("text"),
        speaker=row.get("speaker"),
        emotion=row.get("emotion"),
        label=row.get("label"),
        pronunciation=row.get("phones"),
        language=row.get("language"),
    )


def _side(split: str) -> str:
    side = _SIDES.get(split.lower())
    if side is None:
        raise InputError(f"unknown split {split}; give train or test")
    return side


def _bad_rows_message(table: Table, bad: Sequence[BadRow]) -> str:
    shown = "; ".join(str(row) for row in bad[:SHOWN])
    more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    count = f"{len(bad)} of {len(table.rows)} rows {'is' if len(bad) == 1 else 'are'} bad"
    advice = "" if len(bad) == len(table.rows) else "; or leave bad rows out with --skip-bad"
    return f"{table.path}: {count}: {shown}{more}{advice}"


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more


def _check_classes(table: Table, task: Task, utterances: Sequence[Utterance]) -> None:
    if task.kind != "utterance":
        return
    classes = {task.target(utterance) for utterance in utterances}
    if len(classes) < 2:
        column = _first_column(table, task.columns)
        raise InputError(
            f"{table.path}: one class only, {column} is always {classes.pop()}; give rows of at least two"
        )


def _split(
    table: Table,
    task: Task,
    utterances: Sequence[Utterance],
    *,
    test_fraction: float,
    seed: int,
    report: Callable[[str], None],
) -> list[str]:
    """Return train or test for each utterance, by a fair split."""
    if _has(table, task.split_by):
        groups = [group_key(utterance, task.split_by) for utterance in utterances]
        if len(set(groups)) == 1:
            raise InputError(
                f"{table.path}: {task.split_by} is always {groups[0]}, so none can be kept for testing; "
                "add rows, or a column split with train and test"
            )
    else:
        groups = [utterance.id for utterance in utterances]
        report(
            f"{table.path}: no column {task.split_by}, so recordings are split one by one and the test part "
            f"may share a {task.split_by} with training; add the column, or a column split"
        )
    labels = None if task.kind == "sequence" else [task.target(utterance) for utterance in utterances]
    try:
        in_test = grouped_split(groups, labels, test_fraction=test_fraction, seed=seed)
    except InputError as error:
        raise InputError(f"{table.path}: {error}") from None
    return ["test" if chosen else "train" for chosen in in_test]


def group_key(utterance: Utterance, column: str) -> str:
    """Return what an utterance has in common with those that must be on its side of the split.

    Sentences are the same when they differ in case, punctuation or spacing only.
    """
    value = str(getattr(utterance, column))
    # sentences may differ by a number only
    return (normalise_transcript(value, keep_digits=True) or value) if column == "text" else value


def _check_sides(table: Table, task: Task, data: TaskData, report: Callable[[str], None]) -> None:
    """Raise where the two parts do not make a task; report what both have and should not."""
    for side, other, part in (("train", "test", data.train), ("test", "train", data.test)):
        if not part:
            raise InputError(
                f"{table.path}: split is {other} in every usable row; mark some {side}, or drop the column"
            )
    if task.kind == "utterance":
        _check_classes(table, task, data.train)
        known = {task.target(utterance) for utterance in data.train}
        unknown = sorted({task.target(utterance) for utterance in data.test} - known)
        if unknown:
            raise InputError(
                f"{table.path}: unknown label in the test part, {_listed(unknown)}, which training does not "
                "have; add training rows, or drop those rows"
            )
    if _has(table, task.split_by):
        seen, tested = (
            {group_key(u, task.split_by) for u in part if getattr(u, task.split_by) is not None}
            for part in (data.train, data.test)
        )
        if shared := sorted(seen & tested):
            report(
                f"{table.path}: {len(shared)} of {len(tested)} {task.split_by} values in the test part are "
                f"in training too ({_listed(shared)}); results on it will flatter"
            )


def _revision(table: Table, rows: Sequence[_GoodRow], sides: Sequence[str]) -> str:
    """Hash what the rows say, which part they are in, and the bytes of their files.

    Raises:
        InputError: a recording is in both parts, under two names: scores would see what tests measure.
    """
    total = hashlib.sha256()
    parts: dict[str, tuple[str, _GoodRow]] = {}
    for row, side in zip(rows, sides, strict=True):
        utterance = row.utterance
        with row.file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        first_side, first = parts.setdefault(digest, (side, row))
        if first_side != side:
            raise InputError(
                f"{table.path}: row {row.row}, {utterance.id}: the same recording as row {first.row}, "
                f"{first.utterance.id}, which is in the {first_side} part; put both into one, or drop one"
            )
        labels = [utterance.text, utterance.speaker, utterance.emotion, utterance.label]
        facts = [utterance.id, *labels, side, digest]
        more = {"phones": utterance.pronunciation, "language": utterance.language}
        if any(more.values()):  # manifests without them keep their revisions
            facts.append(json.dumps(more))
        total.update(json.dumps(facts).encode() + b"\n")
    return total.hexdigest()[:12]
