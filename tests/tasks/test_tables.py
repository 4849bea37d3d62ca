from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from pyarrow import parquet

from foretune.tasks.errors import InputError
from foretune.tasks.tables import read_table

ROWS = [
    {"path": "a.wav", "text": "go, left", "speaker": "0001", "emotion": "NA"},
    {"path": "b.wav", "speaker": "007", "emotion": "joy"},
]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros(1600), 16_000)


# the same two rows in every format


def test_csv(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.csv",
        'path,text,speaker,emotion,age\na.wav,"go, left",0001,NA,7\n\nb.wav, ,007, joy ,\n',
    )
    table = read_table(path)
    assert table.rows == ROWS
    assert table.columns == ("path", "text", "speaker", "emotion", "age")
    assert table.folder == tmp_path


def test_csv_as_spreadsheets_write_it(tmp_path: Path) -> None:
    text = 'path,text, speaker,emotion,,\r\na.wav,"go, left",0001,NA,,\r\nb.wav,,007,joy,,\r\n'
    assert read_table(write(tmp_path / "m.csv", text, "utf-8-sig")).rows == ROWS


def test_tsv(tmp_path: Path) -> None:
    text = "path\ttext\tspeaker\temotion\na.wav\tgo, left\t0001\tNA\nb.wav\t\t007\tjoy\n"
    assert read_table(write(tmp_path / "m.tsv", text)).rows == ROWS


def test_json_lines(tmp_path: Path) -> None:
    text = (
        '{"path": "a.wav", "text": "go, left", "speaker": "0001", "emotion": "NA", "times": [1]}\n\n'
        '{"path": "b.wav", "speaker": "007", "emotion": "joy", "text": null}\n'
    )
    table = read_table(write(tmp_path / "m.jsonl", text))
    assert table.rows == ROWS
    assert table.columns == ("path", "text", "speaker", "emotion", "times")


def test_parquet(tmp_path: Path) -> None:
    columns = {
        "path": ["a.wav", "b.wav"],
        "text": ["go, left", None],
        "speaker": pa.array(["0001", "007"]).dictionary_encode(),
        "emotion": ["NA", "joy"],
        "samples": [b"1", b"2"],
    }
    parquet.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert read_table(tmp_path / "m.parquet").rows == ROWS


def test_numbers_become_text_and_missing_numbers_empty(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"path": [1, 2], "label": [1.5, float("nan")]}), tmp_path / "m.parquet")
    assert read_table(tmp_path / "m.parquet").rows == [{"path": "1", "label": "1.5"}, {"path": "2"}]


def test_json_keeps_the_type_of_each_cell(tmp_path: Path) -> None:
    # a reader that guesses one type for the column would turn 0001 into 1
    path = write(tmp_path / "m.jsonl", '{"path": "a", "speaker": "0001"}\n{"path": "b", "speaker": 2}\n')
    assert [row["speaker"] for row in read_table(path).rows] == ["0001", "2"]


# audio folders


def test_sub_folders_name_the_labels(tmp_path: Path) -> None:
    folder = tmp_path / "data [1]"  # brackets are a pattern to datasets
    touch(folder, "joy/test_1.wav", "joy/2.flac", "fear/deep/3.ogg", "fear/.hidden.wav", "loose.wav")
    (folder / "joy" / "notes.txt").write_text("not audio")
    table = read_table(folder)
    assert table.rows == [
        {"path": "fear/deep/3.ogg", "label": "deep"},
        {"path": "joy/2.flac", "label": "joy"},
        {"path": "joy/test_1.wav", "label": "joy"},
        {"path": "loose.wav"},
    ]
    assert table.folder == folder


def test_train_and_test_folders_are_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/joy/1.wav", "train/fear/2.wav", "dev/joy/3.wav", "test/joy/4.wav")
    assert [(row["path"], row["split"]) for row in read_table(tmp_path).rows] == [
        ("train/fear/2.wav", "train"),
        ("train/joy/1.wav", "train"),
        ("dev/joy/3.wav", "dev"),
        ("test/joy/4.wav", "test"),
    ]


def test_a_label_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.wav", "bus/2.wav")
    assert [row["label"] for row in read_table(tmp_path).rows] == ["bus", "train"]
    assert "split" not in read_table(tmp_path).columns


@pytest.mark.parametrize("name", ["manifest.csv", "metadata.csv", "metadata.jsonl"])
def test_a_manifest_in_the_folder_counts(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "joy/1.wav")
    write(tmp_path / name, '{"file_name": "joy/1.wav"}' if name.endswith("l") else "file_name\njoy/1.wav\n")
    table = read_table(tmp_path)
    assert table.path == tmp_path / name
    assert table.rows == [{"file_name": "joy/1.wav"}]


# manners


def test_nothing_is_left_on_disk_or_terminal_and_no_host_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import datasets

    called: list[object] = []

    def refuse(*address: object) -> NoReturn:
        called.append(address)  # the raise alone would be swallowed
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(cache))
    before = datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    read_table(write(tmp_path / "good.csv", "path\na.wav\n"))
    with pytest.raises(InputError):
        read_table(write(tmp_path / "bad.csv", "path\na.wav\nb.wav,2\n"))
    assert called == []
    assert list(cache.iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")
    assert before == datasets.config.HF_UPDATE_DOWNLOAD_COUNTS
    assert not datasets.utils.are_progress_bars_disabled()


# errors


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", r"m\.csv: the manifest is empty"),
        ("m.csv", "path,text\n", "the manifest has no rows"),
        ("m.jsonl", "\n\n", "the manifest has no rows"),
        ("m.csv", "path,text\na,b,c\n", "row 1 has 3 cells where the header has 2; put quotes"),
        ("m.csv", "path,text\na,b\nc,d,e\n", "Expected 2 fields in line 3, saw 3"),
        ("m.csv", 'path,text\na,"b\nc,d\n', "cannot be read .*EOF inside string"),
        ("m.csv", "path,text,text\na,b,c\n", "column text occurs twice"),
        ("m.jsonl", '{"path": "a"}\n{"path":\n', r"m\.jsonl: row 2: not JSON"),
        ("m.jsonl", '[{"path": "a"}]\n', "row 1: not a JSON object"),
        ("m.jsonl", '{"path": "a", "text": ["b"]}\n', "row 1: column text holds a list; give text"),
        ("m.parquet", "words", "not a Parquet file"),
        ("m.xlsx", "words", r"must be \.csv, \.tsv, \.jsonl or \.parquet"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path / name, text))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_text_must_be_utf_8(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot be read .*utf-8"):
        read_table(write(tmp_path / name, 'path\n{"é": 1}\n', "latin-1"))


def test_parquet_without_rows(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"path": pa.array([], pa.string())}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="the manifest has no rows"):
        read_table(tmp_path / "m.parquet")


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv: no such manifest"):
        read_table(tmp_path / "gone.csv")


def test_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(InputError, match=r"neither a manifest .* nor audio files"):
        read_table(tmp_path)
