"""What the user gave and cannot be used: one line that names it and what to do, exit code 2, no trace."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foretune.cli import main

RATE = 16_000

Rows = list[dict[str, str]]
Refuse = Callable[..., str]


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Return four speakers, each with two recordings of two emotions; the files exist."""
    generator = np.random.default_rng(0)
    rows = []
    for speaker in "ABCD":
        for emotion in ("joy", "fear"):
            for take in "12":
                name = f"{speaker}-{emotion}-{take}.wav"
                soundfile.write(tmp_path / name, generator.uniform(-0.3, 0.3, RATE // 4), RATE)
                rows.append({"path": name, "text": f"take {take}", "speaker": speaker, "emotion": emotion})
    return rows


def write_manifest(folder: Path, rows: Rows) -> Path:
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Refuse:
    """Run the command and return the one line that it refuses with; nothing may be written."""
    for name in ("TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1" if name.startswith("HF") else "error")  # main would leave them set

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        output = capfd.readouterr()
        assert caught.value.code == 2, output.err
        assert output.out == ""
        lines = output.err.splitlines()
        assert len(lines) == 1, output.err
        assert lines[0].startswith("foretune: error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return run


def rank(manifest: Path, **changed: object) -> list[str]:
    """Return the arguments of a ranking that works, but for what is changed."""
    options = {"task": "emotion_recognition", "data": manifest, "model": "fbank"} | changed
    options.setdefault("json", manifest.parent / "out.json")
    return ["rank", *(str(part) for name, value in options.items() for part in (f"--{name}", value))]


# what every case below differs from in one thing


def test_the_command_ranks_what_is_sound(tmp_path: Path, rows: Rows) -> None:
    manifest = write_manifest(tmp_path, rows)
    with pytest.raises(SystemExit) as caught:
        main(rank(manifest))
    assert caught.value.code == 0
    ranking = json.loads((tmp_path / "out.json").read_text())["ranking"]
    assert [(row["model"], row["layer"]) for row in ranking] == [("fbank", 0)]


# recordings


def break_file(file: Path, how: str) -> None:
    if how == "missing":
        file.unlink()
    elif how == "unreadable":
        file.write_text("words, not sounds\n" * 50)
    elif how == "no bytes":
        file.write_bytes(b"")
    elif how == "no samples":
        soundfile.write(file, np.zeros(0), RATE)
    elif how == "NaN":
        soundfile.write(file, np.full(RATE, np.nan), RATE, subtype="FLOAT")
    elif how == "too short":
        soundfile.write(file, np.zeros(RATE // 50), RATE)


RECORDINGS = {
    "missing": "no such file; correct the path",
    "unreadable": "cannot be read as audio (",
    "no bytes": "the file is empty; remove or replace it",
    "no samples": "holds no samples; remove or replace it",
    "NaN": "holds NaN or infinite samples; remove it",
    "too short": "too short, 0.0200 s where 0.1 s is the least; remove it",
}


@pytest.mark.parametrize(("how", "reason"), RECORDINGS.items(), ids=RECORDINGS)
def test_a_bad_recording(tmp_path: Path, rows: Rows, refuse: Refuse, how: str, reason: str) -> None:
    break_file(tmp_path / rows[2]["path"], how)
    manifest = write_manifest(tmp_path, rows)
    line = refuse(*rank(manifest))
    assert f"{manifest}: 1 of 16 rows is bad: row 3 (A-fear-1.wav): {reason}" in line
    assert line.endswith("--skip-bad")


def test_bad_rows_are_counted_and_left_out_on_request(
    tmp_path: Path, rows: Rows, refuse: Refuse, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, how in enumerate(RECORDINGS):
        break_file(tmp_path / rows[2 * number]["path"], how)
    manifest = write_manifest(tmp_path, rows)
    assert "6 of 16 rows are bad: row 1 (" in refuse(*rank(manifest))
    with pytest.raises(SystemExit) as caught:
        main([*rank(manifest), "--skip-bad"])
    assert caught.value.code == 0
    told = capfd.readouterr().err
    assert f"{manifest}: left out 6 of 16 rows, 10 remain" in told
    assert "left out row 5 (B-joy-1.wav): the file is empty" in told
    provenance = json.loads((tmp_path / "out.json").read_text())["provenance"]
    assert provenance["train_utterances"] + provenance["test_utterances"] == 10


# manifests


def test_a_missing_column(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    for row in rows:
        del row["emotion"]
    manifest = write_manifest(tmp_path, rows)
    wanted = "missing column emotion or label; found: path, text, speaker; add or rename one"
    assert f"{manifest}: {wanted}" in refuse(*rank(manifest))


def test_an_unknown_label(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    for row in rows:
        row["split"] = "test" if row["speaker"] == "D" else "train"
    rows[-1]["emotion"] = "awe"
    manifest = write_manifest(tmp_path, rows)
    line = refuse(*rank(manifest))
    assert f"{manifest}: unknown label in the test part, awe, which training does not have; add" in line


def test_one_class_only(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    manifest = write_manifest(tmp_path, [row for row in rows if row["emotion"] == "joy"])
    line = refuse(*rank(manifest))
    assert f"{manifest}: one class only, emotion is always joy; give rows of at least two" in line


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/hostname", "link.wav"])
def test_a_path_outside_the_folder(tmp_path: Path, rows: Rows, refuse: Refuse, name: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    soundfile.write(tmp_path / "outside.wav", np.zeros(RATE), RATE)
    (folder / "link.wav").symlink_to(tmp_path / "outside.wav")
    for row in rows:
        (tmp_path / row["path"]).rename(folder / row["path"])
    rows[1]["path"] = name
    line = refuse(*rank(write_manifest(folder, rows)))
    assert f"row 2 ({name}): the path leads out of the manifest's folder {folder}; move the file" in line


def test_no_manifest(tmp_path: Path, refuse: Refuse) -> None:
    assert f"{tmp_path / 'gone.csv'}: no such manifest; give" in refuse(*rank(tmp_path / "gone.csv"))


def test_no_rows(tmp_path: Path, refuse: Refuse) -> None:
    (tmp_path / "manifest.csv").write_text("path,emotion\n")
    assert "manifest.csv: the manifest has no rows; give it some" in refuse(*rank(tmp_path / "manifest.csv"))


def test_transcripts_of_other_speech(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    for row in rows:
        row["text"] = f"much more than is said in a quarter of a second, {row['text']}"
    line = refuse(*rank(write_manifest(tmp_path, rows), task="asr"))
    assert "aligner embedded: not one of" in line
    assert "the transcript needs 43 frames and the audio has 10; is it the right one?" in line


# models


def test_a_model_folder_without_weights(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "hubert"}')
    line = refuse(*rank(write_manifest(tmp_path, rows), model=folder))
    assert f"{folder}: no weights in it; put model.safetensors beside config.json" in line


def test_a_model_folder_with_pickled_weights(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "hubert"}')
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")  # a pickle of None
    line = refuse(*rank(write_manifest(tmp_path, rows), model=folder))
    assert f"{folder}: its weights are pickled (pytorch_model.bin)" in line
    assert "save_pretrained" in line


@pytest.mark.usefixtures("offline")
def test_an_unknown_hub_id_while_offline(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    line = refuse(*rank(write_manifest(tmp_path, rows), model="nobody/no-such-encoder"))
    assert "model nobody/no-such-encoder: no such folder, not in the local cache" in line
    assert "give a local folder" in line


def test_an_unknown_model(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    line = refuse(*rank(write_manifest(tmp_path, rows), model="fbnk"))
    assert "model fbnk: unknown; did you mean fbank?" in line


# the other arguments


def test_an_unknown_task(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    line = refuse(*rank(write_manifest(tmp_path, rows), task="emotion"))
    assert "unknown task emotion: did you mean emotion_recognition" in line


def test_an_unknown_estimator(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    line = refuse(*rank(write_manifest(tmp_path, rows), estimator="logmee"))
    assert "no estimator is named 'logmee'; did you mean logme" in line


@pytest.mark.parametrize(
    ("layers", "said"),
    [("1,x", "--layers 1,x: give all, last, or layers such as"), ("7", "layer 7: fbank has layers 0 to 0")],
)
def test_unknown_layers(tmp_path: Path, rows: Rows, refuse: Refuse, layers: str, said: str) -> None:
    assert said in refuse(*rank(write_manifest(tmp_path, rows), layers=layers))


def test_bad_speech_from_pre_training(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    source = tmp_path / "source.csv"
    source.write_text(f"path\n{rows[0]['path']}\n")
    break_file(tmp_path / rows[0]["path"], "NaN")
    manifest = write_manifest(tmp_path, rows[1:])
    line = refuse(*rank(manifest, estimator="sliced_wasserstein", source=source))
    assert f"{source}: 1 of 1 rows is bad: row 1 (A-joy-1.wav): holds NaN" in line


def test_an_output_that_cannot_be_written(tmp_path: Path, rows: Rows, refuse: Refuse) -> None:
    missing = tmp_path / "gone" / "out.json"
    assert f"--json {missing}: there is no folder" in refuse(
        *rank(write_manifest(tmp_path, rows), json=missing)
    )


def test_fine_tuning_refuses_the_same_and_writes_no_records(
    tmp_path: Path, rows: Rows, refuse: Refuse
) -> None:
    break_file(tmp_path / rows[0]["path"], "NaN")
    line = refuse(
        *("tune", "--task", "emotion_recognition", "--model", "fbank", "--layers", "last", "--seeds", 1),
        *("--data", write_manifest(tmp_path, rows), "--records", tmp_path / "tuning.jsonl"),
    )
    assert "row 1 (A-joy-1.wav): holds NaN or infinite samples" in line


# the installed command, as a process


def test_the_process_ends_with_code_2_and_one_line(tmp_path: Path, rows: Rows) -> None:
    break_file(tmp_path / rows[0]["path"], "unreadable")
    manifest = write_manifest(tmp_path, rows)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from foretune.cli import main; main()", *rank(manifest)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert f"{manifest}: 1 of 16 rows is bad: row 1 (A-joy-1.wav): cannot be read as audio (" in done.stderr
    assert not (tmp_path / "out.json").exists()
