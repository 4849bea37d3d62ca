"""`foretune align`: the table, the file of spans, the pictures; and rank's options."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from foretune import alignment
from foretune.alignment import align, drawing
from foretune.alignment import labelling as labelling_module
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance


@pytest.fixture
def manifest(tmp_path, say_tones):
    waveform = say_tones([(None, 3), ("a", 6), ("b", 4), (None, 5), ("c", 7), (None, 4)])
    lines = ["path,text"]
    for number, text in enumerate(["ab c", "ab 7 c", "cba", "a b c", "Ab, c!"]):
        soundfile.write(tmp_path / f"{number}.wav", np.roll(waveform, 320 * number), 16_000)
        lines.append(f'{number}.wav,"{text}"')
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


@pytest.fixture
def run(run, monkeypatch, tone_aligner):
    """Run the command with an aligner that hears tones."""
    monkeypatch.setattr(alignment, "load_aligner", lambda name, **_: tone_aligner(name))
    monkeypatch.setattr(labelling_module, "load_aligner", lambda name, **_: tone_aligner(name))
    return run


def test_the_table_tells_words_confidence_and_what_was_left_out(run, manifest):
    code, out, err = run("align", "--data", manifest)
    assert code == 0
    cells = {
        row[0]: row[1:]
        for line in out.splitlines()
        if len(row := [cell.strip() for cell in line.strip("│").split("│")]) == 4
    }
    assert cells["0.wav"] == ["2", "0.00", ""]
    assert cells["1.wav"][0] == "3"
    assert cells["2.wav"][:2] == ["–", "–"]
    assert cells["2.wav"][2].startswith("aligned with a confidence of")
    assert "letters aligned by embedded (0123456789ab)" in err
    assert "4 utterances" in err


def test_spans_are_written_as_json_lines(run, manifest, tmp_path):
    out = tmp_path / "spans.jsonl"
    code, _, err = run("align", "--data", manifest, "--out", out)
    assert code == 0
    assert f"wrote {out}" in err
    lines = {line["id"]: line for line in map(json.loads, out.read_text().splitlines())}
    assert len(lines) == 5
    assert [(word["label"], word["start"], word["end"]) for word in lines["0.wav"]["words"]] == [
        ("ab", 0.06, 0.26), ("c", 0.36, 0.5),
    ]  # fmt: skip
    assert "left_out" in lines["2.wav"]


def test_as_many_pictures_as_asked_for(run, manifest, tmp_path):
    folder = tmp_path / "new" / "pictures"
    code, _, err = run("align", "--data", manifest, "--draw", folder, "--limit", 2)
    assert code == 0
    assert err.count("drew ") == 2
    assert len(list(folder.glob("*.png"))) == 2


def test_rank_takes_an_aligner_and_a_policy(run, manifest, tmp_path):
    path = tmp_path / "ranking.json"
    code, _, err = run(
        "rank", "--task", "asr", "--data", manifest, "--model", "fbank", "--aligner", "org/tones",
        "--silence", "own-class", "--json", path,
    )  # fmt: skip
    assert code == 0, err
    labels = json.loads(path.read_text())["provenance"]["labels"]
    assert (labels["aligner"], labels["silence"]) == ("org/tones", "own-class")
    assert "letters aligned by org/tones" in err


def test_rank_refuses_an_unknown_policy(run, manifest):
    code, _, err = run("rank", "--task", "asr", "--data", manifest, "--model", "fbank", "--silence", "keep")
    assert code == 2
    assert "--silence keep: give drop, own-class, nearest" in err


# --- pictures


@pytest.fixture
def drawn(say_tones, tone_aligner):
    waveform = say_tones([(None, 10), ("a", 30), (None, 10), ("c", 30), (None, 20)])
    utterance = Utterance("folder/one two.wav", np.rint(waveform * 32767).astype(np.int16), text="a * c")
    return utterance, align([utterance], tone_aligner()).of[utterance.id]


def test_a_picture_is_named_for_its_utterance_and_shows_something(drawn, tmp_path):
    path = drawing.draw(*drawn, tmp_path)
    assert path == tmp_path / "folder_one_two.wav.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape[1] > 700
    assert 0.02 < (pixels < 200).mean() < 0.9


def test_a_picture_as_vectors_names_words_and_letters(drawn, tmp_path):
    text = drawing.draw(*drawn, tmp_path, suffix=".svg").read_text()
    assert text.startswith("<?xml")
    for label in ("folder/one two.wav: confidence", "waveform", "letters", "seconds"):
        assert f"<!-- {label}" in text


def test_a_folder_that_cannot_be_made_is_refused(drawn, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"--draw .*file"):
        drawing.draw(*drawn, tmp_path / "file")


def test_without_matplotlib_the_message_says_what_to_install(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"python -m pip install 'foretune\[draw\]'"):
        drawing.draw(*drawn, tmp_path)
