"""Reading a manifest's rows: CSV, TSV, JSON lines, Parquet or an audio folder, through `datasets`.

Every cell becomes text or None (empty), so that a speaker named 0001 stays 0001. Rows count from
1, after the header, blank lines left out. Nothing is decoded, downloaded or left on disk.
"""

from __future__ import annotations

import csv
import datetime
import glob
import json
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import InputError

COLUMNS = ("path", "file_name", "text", "speaker", "emotion", "label", "phones", "language", "split")
"""What a manifest may say of a recording; other columns are ignored."""

MANIFEST_NAMES = tuple(
    f"{stem}.{suffix}" for stem in ("manifest", "metadata") for suffix in ("csv", "tsv", "jsonl", "parquet")
)
"""The files that describe a folder, in the order in which they are looked for."""

TRAIN_FOLDERS = ("train", "validation", "valid", "dev")
TEST_FOLDERS = ("test",)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a manifest.

    Attributes:
        path: the file, or the folder of an audio folder.
        folder: what the rows' paths are relative to.
        columns: the columns that were found, ours or not.
        rows: of each row the cells of our columns, stripped; empty ones are left out.
    """

    path: Path
    folder: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]


def read_table(path: Path) -> Table:
    """Read the rows of a manifest.

    Args:
        path: a .csv, .tsv, .jsonl (.json) or .parquet file, or a folder: one of `MANIFEST_NAMES`
            in it is read where there is one, else its sub-folders name the labels of the audio
            files in them (LABEL/*.wav, or train/LABEL/*.wav beside test/LABEL/*.wav).

    Raises:
        InputError: there is no such file, its kind is unknown, it cannot be read, it has no rows,
            a column twice, or a cell that is not text or a number.
    """
    if path.is_dir():
        manifest = next((path / name for name in MANIFEST_NAMES if (path / name).is_file()), None)
        return _read_audio_folder(path) if manifest is None else read_table(manifest)
    if not path.is_file():
        raise InputError(
            f"{path}: no such manifest; give a CSV, TSV, JSON lines or Parquet file, or a folder"
        )
    readers = {
        ".csv": _read_delimited,
        ".tsv": _read_delimited,
        ".jsonl": _read_json_lines,
        ".json": _read_json_lines,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: a manifest must be .csv, .tsv, .jsonl or .parquet, or a folder; rename or convert it"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the manifest is empty; give it rows")
    columns, records = reader(path)
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated:
        raise InputError(f"{path}: column {repeated[0]} occurs twice; keep one")
    if not records:
        raise InputError(f"{path}: the manifest has no rows; give it some")
    rows = [
        {column: cell for column in COLUMNS if (cell := _cell(record.get(column), path, number, column))}
        for number, record in enumerate(records, start=1)
    ]
    return Table(path, path.parent, tuple(columns), rows)


def _cell(value: object, path: Path, row: int, column: str) -> str:
    """Return a cell as text, empty where it has no value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str | int | float | datetime.date):
        return str(value).strip()
    raise InputError(f"{path}: row {row}: column {column} holds a {type(value).__name__}; give text")


def _read_delimited(path: Path) -> tuple[Sequence[str], list[dict[str, object]]]:
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = (line for line in csv.reader(file, delimiter=separator) if line)
            header = [
                name.strip() or f"unnamed {number}" for number, name in enumerate(next(lines, []), start=1)
            ]
            first = next(lines, [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); save it as UTF-8 text") from None
    if len(first) > len(header):  # pandas would take the first column for an index
        raise InputError(
            f"{path}: row 1 has {len(first)} cells where the header has {len(header)}; "
            "put quotes around cells that hold the separator"
        )
    if not first or len(set(header)) < len(header):
        return header, []
    records = _load(
        path,
        "csv",
        sep=separator,
        header=0,
        column_names=header,
        encoding="utf-8-sig",
        keep_default_na=False,  # a speaker may be called NA
        features=dict.fromkeys(header, "string"),
    )
    return header, records


def _read_json_lines(path: Path) -> tuple[Sequence[str], list[dict[str, object]]]:
    # the `json` reader of datasets guesses one type a column and turns the speaker 0001 into 1
    lines = [str(record["text"]) for record in _load(path, "text", features={"text": "string"})]
    records = []
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        try:
            record = json.loads(line.removeprefix("\ufeff"))
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}: row {number}: not JSON ({error.msg}); give one object a line"
            ) from None
        if not isinstance(record, dict):
            raise InputError(f"{path}: row {number}: not a JSON object; give one object a line")
        records.append(record)
    columns = dict.fromkeys(column for record in records for column in record)
    return list(columns), records


def _read_parquet(path: Path) -> tuple[Sequence[str], list[dict[str, object]]]:
    import pyarrow
    from pyarrow import parquet

    try:
        metadata = parquet.read_metadata(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file ({_one_line(error)}); export it again") from None
    columns = list(metadata.schema.to_arrow_schema().names)
    if metadata.num_rows == 0:
        return columns, []
    wanted = [column for column in columns if column in COLUMNS]
    if not wanted:
        return columns, [{}]  # which columns are missing is for the caller to say
    return columns, _load(path, "parquet", columns=wanted)


def _read_audio_folder(folder: Path) -> Table:
    """Read LABEL/*.wav, or train/LABEL/*.wav beside test/LABEL/*.wav."""
    parts = {name: folder / name for name in (*TRAIN_FOLDERS, *TEST_FOLDERS) if (folder / name).is_dir()}
    subfolders = {
        entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    }
    rows: list[dict[str, str]] = []
    has_parts = bool(parts) and subfolders == set(parts)
    for split, part in parts.items() if has_parts else [("", folder)]:
        for file in _audio_files(part):
            row = {"path": str(file.relative_to(folder))}
            if file.parent != part:
                row["label"] = file.parent.name
            if split:
                row["split"] = split
            rows.append(row)
    if not rows:
        raise InputError(
            f"{folder}: neither a manifest ({MANIFEST_NAMES[0]}, …) nor audio files in it; "
            "add a manifest, or a sub-folder of audio files for each label"
        )
    columns = ("path", "label", "split") if has_parts else ("path", "label")
    return Table(folder, folder, columns, rows)


def _audio_files(folder: Path) -> list[Path]:
    """List the audio files below a folder, hidden ones left out, by the rules of `audiofolder`."""
    from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

    if not any(file.suffix.lower() in AudioFolder.EXTENSIONS for file in folder.rglob("*")):
        return []
    records = _load(
        Path(glob.escape(str(folder.resolve()))) / "**",
        "audiofolder",
        features={"audio": "string"},  # as Audio it would want a decoder
        # labels come from the path: datasets drops them where a folder holds some metadata file
        drop_labels=True,
        drop_metadata=True,
    )
    return sorted(folder / Path(str(record["audio"])).relative_to(folder.resolve()) for record in records)


def _load(
    path: Path, builder: str, features: dict[str, str] | None = None, **options: Any
) -> list[dict[str, object]]:
    """Read all rows through one of datasets' packaged builders, without a trace on disk or terminal."""
    import datasets

    typed = (
        None if features is None else datasets.Features({k: datasets.Value(v) for k, v in features.items()})
    )
    try:
        with _quiet_and_offline(), tempfile.TemporaryDirectory(prefix="foretune-") as cache:
            rows = datasets.load_dataset(
                builder,
                data_files={"train": [str(path)]},
                split="train",
                cache_dir=cache,
                keep_in_memory=True,
                features=typed,
                **options,
            )
            return list(rows.to_list())
    # datasets wraps what its readers raise: parser, decoding and Arrow errors
    except (datasets.exceptions.DatasetsError, ValueError, OSError) as error:
        cause = error.__cause__ or error
        raise InputError(f"{path}: cannot be read ({_one_line(cause)}); correct the file") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


@contextmanager
def _quiet_and_offline() -> Iterator[None]:
    """Keep datasets' progress bars, log lines and warnings off the terminal, and itself offline."""
    import datasets
    from datasets.utils import are_progress_bars_disabled
    from datasets.utils import logging as datasets_logging

    verbosity, had_bars = datasets_logging.get_verbosity(), not are_progress_bars_disabled()
    counts_downloads = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    datasets.disable_progress_bars()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # a request to the hub, even for local files
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = counts_downloads
        datasets_logging.set_verbosity(verbosity)
        if had_bars:
            datasets.enable_progress_bars()
