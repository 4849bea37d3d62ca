from __future__ import annotations

import csv
import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foretune.tasks import TASKS, TaskData, Utterance
from foretune.tasks.asr import ASR
from foretune.tasks.emotion_recognition import EMOTION_RECOGNITION
from foretune.tasks.errors import InputError
from foretune.tasks.keyword_spotting import KEYWORD_SPOTTING
from foretune.tasks.manifest import group_key, load_manifest, load_recordings
from foretune.tasks.multilingual_asr import MULTILINGUAL_ASR
from foretune.tasks.phoneme_recognition import PHONEME_RECOGNITION
from foretune.tasks.speaker_identification import SPEAKER_IDENTIFICATION
from foretune.tasks.task import Task

RATE = 16_000
SPEECH = Path(__file__).resolve().parents[3] / "shared" / "speech"

needs_speech = pytest.mark.skipif(not SPEECH.is_dir(), reason="the real speech is not beside the repository")

Row = dict[str, str]


def tone(path: Path, frequency: float = 200.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(frequency * np.arange(RATE // 4) * 2 * np.pi / RATE), RATE)


def write_manifest(folder: Path, rows: list[Row], name: str = "manifest.csv") -> Path:
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    return folder / name


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Four speakers, each saying three sentences in two emotions; the files exist."""
    rows = []
    for speaker in "ABCD":
        for sentence in ("Go left.", "go right", "stop"):
            for emotion in ("joy", "fear"):
                name = f"{speaker}/{sentence.split()[-1].strip('.')}-{emotion}.wav"
                tone(tmp_path / name, frequency=100 + 7 * len(rows))
                rows.append({"path": name, "text": sentence, "speaker": speaker, "emotion": emotion})
    return rows


def sides(data: TaskData, column: str) -> tuple[set[str], set[str]]:
    train, test = ({str(getattr(u, column)) for u in part} for part in (data.train, data.test))
    return train, test


# by hand


def test_emotions_are_split_by_speaker(tmp_path: Path, rows: list[Row]) -> None:
    data = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    assert (data.task, data.suite, len(data.train), len(data.test)) == ("emotion_recognition", "local", 18, 6)
    train, test = sides(data, "speaker")
    assert train | test == set("ABCD")
    assert not train & test
    assert sides(data, "emotion") == ({"joy", "fear"}, {"joy", "fear"})
    first = data.train[0]
    assert first.id == f"{first.speaker}/left-joy.wav"
    assert first.audio == tmp_path.resolve() / first.id
    assert first.waveform().shape == (RATE // 4,)


@pytest.mark.parametrize("task", [ASR, SPEAKER_IDENTIFICATION], ids=lambda task: task.name)
def test_speakers_and_transcripts_are_split_by_sentence(tmp_path: Path, rows: list[Row], task: Task) -> None:
    data = load_manifest(write_manifest(tmp_path, rows), task)
    train, test = sides(data, "text")
    assert len(test) == 1
    assert not train & test
    assert sides(data, "speaker") == (set("ABCD"), set("ABCD"))


def test_sentences_are_the_same_up_to_case_and_punctuation() -> None:
    silence = np.zeros(1600, np.int16)
    written = ["Go left!", "go  left", "GO, LEFT"]
    assert {group_key(Utterance("1", silence, text=text), "text") for text in written} == {"go left"}
    assert group_key(Utterance("1", silence, text="Take 2."), "text") == "take 2"
    assert group_key(Utterance("1", silence, text="?!"), "text") == "?!"
    assert group_key(Utterance("1", silence, speaker="EB0"), "speaker") == "EB0"


def test_a_column_split_is_obeyed_and_validation_joins_training(tmp_path: Path, rows: list[Row]) -> None:
    part = {"A": "train", "B": "Validation", "C": "dev", "D": "TEST"}
    for row in rows:
        row["split"] = part[row["speaker"]]
    data = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    assert sides(data, "speaker") == (set("ABC"), {"D"})


def test_a_label_of_the_users_own(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["label"] = row.pop("emotion")
    data = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    assert {EMOTION_RECOGNITION.target(utterance) for utterance in data.test} == {"joy", "fear"}


def test_phones_are_a_column_with_spaces_between(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["phones"] = {"Go left.": "ɡ  oʊ l ɛ f t", "go right": "ɡ oʊ ɹ aɪ t", "stop": "s t ɑː p"}[
            row["text"]
        ]
    data = load_manifest(write_manifest(tmp_path, rows), PHONEME_RECOGNITION)
    train, test = sides(data, "text")
    assert not train & test
    first = data.train[0]
    assert PHONEME_RECOGNITION.tokens(PHONEME_RECOGNITION.normalise(str(first.pronunciation)))[-1] in "tp"
    assert first.phones == ()  # without times
    rows[0]["phones"] = "t"  # one phone is fine
    assert load_manifest(write_manifest(tmp_path, rows), PHONEME_RECOGNITION).revision != data.revision


def test_phones_without_spaces_are_a_bad_row(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["phones"] = "s t ɑː p"
    rows[1]["phones"] = "stɑːp"
    with pytest.raises(InputError, match=r"row 2 \(.*\): phones has no spaces; put one between two phones"):
        load_manifest(write_manifest(tmp_path, rows), PHONEME_RECOGNITION)


def test_transcripts_are_not_phones(tmp_path: Path, rows: list[Row]) -> None:
    wanted = "missing column phones; found: path, text, speaker, emotion; add or rename one"
    with pytest.raises(InputError, match=wanted):
        load_manifest(write_manifest(tmp_path, rows), PHONEME_RECOGNITION)


def test_words_to_spot_are_labels_of_unseen_speakers(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["label"] = row["text"]
    data = load_manifest(write_manifest(tmp_path, rows), KEYWORD_SPOTTING)
    train, test = sides(data, "speaker")
    assert not train & test
    assert {KEYWORD_SPOTTING.target(each) for each in data.test} == {"Go left.", "go right", "stop"}


def test_the_language_is_kept_and_part_of_the_revision(tmp_path: Path, rows: list[Row]) -> None:
    without = load_manifest(write_manifest(tmp_path, rows), MULTILINGUAL_ASR)
    for row in rows:
        row["language"] = "en" if row["speaker"] < "C" else "de"
    data = load_manifest(write_manifest(tmp_path, rows), MULTILINGUAL_ASR)
    assert {str(each.language) for each in data.train} == {"en", "de"}
    assert without.train[0].language is None
    assert data.revision != without.revision


def test_an_audio_folder_and_its_one_by_one_split(tmp_path: Path, rows: list[Row]) -> None:
    told: list[str] = []
    data = load_manifest(tmp_path, SPEAKER_IDENTIFICATION, report=told.append)
    tested = Counter(SPEAKER_IDENTIFICATION.target(u) for u in data.test)
    assert len(data.train) == 18
    assert sorted(tested) == list("ABCD")
    assert sorted(tested.values()) == [1, 1, 2, 2]
    assert len(told) == 1
    assert "no column text, so recordings are split one by one" in told[0]


def test_an_absolute_path_inside_the_folder_is_fine(tmp_path: Path, rows: list[Row]) -> None:
    relative = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    for row in rows:
        row["path"] = str(tmp_path / row["path"])
    absolute = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    assert [u.id for u in absolute.train] == [u.id for u in relative.train]
    assert absolute.revision == relative.revision


# the revision


def test_the_revision_is_of_rows_files_and_split_and_of_nothing_else(tmp_path: Path, rows: list[Row]) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    for speaker in "ABCD":
        shutil.move(tmp_path / speaker, here / speaker)

    def revision(
        folder: Path, changed: Callable[[list[Row]], None] = lambda rows: None, seed: int = 0
    ) -> str:
        copies = [dict(row) for row in rows]
        changed(copies)
        return load_manifest(write_manifest(folder, copies), EMOTION_RECOGNITION, seed=seed).revision

    def add_ignored_column(rows: list[Row]) -> None:
        for row in rows:
            row["age"] = "7"

    first = revision(here)
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert revision(here) == first
    assert revision(here, add_ignored_column) == first
    shutil.copytree(here, there)
    assert revision(there) == first
    others = {
        revision(here, lambda rows: rows[0].update(text="Go home.")),
        revision(here, lambda rows: rows[0].update(emotion="fear")),
        revision(here, lambda rows: rows.reverse()),
        revision(here, lambda rows: rows.pop()),
        next(other for seed in range(1, 9) if (other := revision(here, seed=seed)) != first),
    }
    tone(there / rows[0]["path"], frequency=999.0)
    others.add(revision(there))
    assert len(others - {first}) == 6


# bad rows


def break_row(folder: Path, row: Row, how: str) -> None:
    """Make a row bad in one way."""
    file = folder / row["path"]
    if how == "missing file":
        file.unlink()
    elif how == "not audio":
        file.write_text("words " * 100)
    elif how == "no bytes":
        file.write_bytes(b"")
    elif how == "no samples":
        soundfile.write(file, np.zeros(0), RATE)
    elif how == "NaN":
        soundfile.write(file, np.full(RATE, np.nan), RATE, subtype="FLOAT")
    elif how == "too short":
        soundfile.write(file, np.zeros(RATE // 100), RATE)
    elif how == "symbolic link out":
        outside = folder.parent / f"{folder.name}-outside.wav"
        shutil.move(file, outside)
        file.symlink_to(outside)
    else:
        row.update({"empty label": {"emotion": " "}, "empty path": {"path": ""}}.get(how, {"path": how}))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing file", "no such file; correct the path"),
        ("not audio", r"cannot be read as audio \(.*\); give WAV"),
        ("no bytes", "the file is empty; remove or replace it"),
        ("no samples", "holds no samples; remove or replace it"),
        ("NaN", "holds NaN or infinite samples; remove it"),
        ("too short", r"too short, 0\.0100 s where 0\.1 s is the least; remove it"),
        ("empty label", "emotion is empty; fill it in"),
        ("empty path", "path is empty; fill it in"),
        ("../outside.wav", "the path leads out of the manifest's folder .*; move the file into it"),
        ("/etc/hostname", "the path leads out of the manifest's folder"),
        ("symbolic link out", "the path leads out of the manifest's folder"),
        ("A", "is a folder, not an audio file"),
        ("a\0b.wav", "not a path; name a file"),
        ("x" * 5000, r"cannot be read as audio \(File name too long\)"),
        ("D/stop-fear.wav", "the same file as row 1; keep one of them"),
    ],
)
def test_a_bad_row_is_named_and_left_out_only_on_request(
    tmp_path: Path, rows: list[Row], how: str, reason: str
) -> None:
    if how == "D/stop-fear.wav":
        rows.insert(0, rows.pop())  # the file of row 1 comes again in row 4
    break_row(tmp_path, rows[3], how)
    path = write_manifest(tmp_path, rows)
    with pytest.raises(
        InputError, match=rf"1 of 24 rows is bad: row 4 \(.*\): {reason}.*--skip-bad$"
    ) as caught:
        load_manifest(path, EMOTION_RECOGNITION)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    told: list[str] = []
    data = load_manifest(path, EMOTION_RECOGNITION, skip_bad=True, report=told.append)
    assert len(data.train) + len(data.test) == 23
    assert [line.removeprefix(f"{path}: left out ").split(" (")[0] for line in told] == [
        "row 4",
        "1 of 24 rows, 23 remain",
    ]


def test_many_bad_rows_are_counted_and_the_first_three_named(tmp_path: Path, rows: list[Row]) -> None:
    for number in (1, 5, 6, 20, 22):
        break_row(tmp_path, rows[number - 1], "missing file" if number % 2 else "empty label")
    with pytest.raises(
        InputError, match=r"5 of 24 rows are bad: row 1 .*row 5 .*row 6 .*; and 2 more; or leave"
    ):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


def test_bad_rows_are_logged_where_nobody_asks_for_them(
    tmp_path: Path, rows: list[Row], caplog: pytest.LogCaptureFixture
) -> None:
    break_row(tmp_path, rows[0], "missing file")
    with caplog.at_level(logging.WARNING, logger="foretune.tasks.manifest"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION, skip_bad=True)
    assert "left out row 1 (A/left-joy.wav): no such file" in caplog.text


def test_leaving_out_every_row_leaves_nothing(tmp_path: Path, rows: list[Row]) -> None:
    shutil.rmtree(tmp_path / "A")
    path = write_manifest(tmp_path, rows[:6])
    with pytest.raises(InputError, match=r"6 of 6 rows are bad: .*; and 3 more$"):
        load_manifest(path, EMOTION_RECOGNITION, skip_bad=True)


def test_a_link_inside_the_folder_is_fine(tmp_path: Path, rows: list[Row]) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / rows[0]["path"])
    rows[0]["path"] = "link.wav"
    data = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    assert len(data.train) + len(data.test) == 24


def test_a_transcript_without_letters_is_bad_for_speech_recognition(tmp_path: Path, rows: list[Row]) -> None:
    rows[0]["text"] = "12?"
    path = write_manifest(tmp_path, rows)
    with pytest.raises(InputError, match=r"row 1 \(.*\): text has no letters; give a transcript"):
        load_manifest(path, ASR)
    assert len(load_manifest(path, SPEAKER_IDENTIFICATION).test) > 0


def test_the_speaker_of_each_row_must_be_known_to_split_by_speaker(tmp_path: Path, rows: list[Row]) -> None:
    rows[2]["speaker"] = ""
    with pytest.raises(InputError, match=r"row 3 \(.*\): speaker is empty; fill it in"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    for row in rows:
        row["split"] = "test" if row["speaker"] == "D" else "train"
    assert len(load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION).test) == 6


@pytest.mark.parametrize(
    ("value", "reason"), [("tst", "unknown split tst; give train or test"), ("", "split is empty")]
)
def test_an_unknown_split_is_a_bad_row(tmp_path: Path, rows: list[Row], value: str, reason: str) -> None:
    for row in rows:
        row["split"] = "test" if row["speaker"] == "D" else "train"
    rows[7]["split"] = value
    with pytest.raises(InputError, match=rf"1 of 24 rows is bad: row 8 \(.*\): {reason}"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


# what makes the whole manifest unusable


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_missing_column_is_named_beside_those_that_are_there(
    tmp_path: Path, rows: list[Row], task: Task
) -> None:
    for row in rows:
        for column in task.columns:
            row.pop(column, None)
    wanted = " or ".join(task.columns)
    with pytest.raises(InputError, match=rf"manifest\.csv: missing column {wanted}; found: path, "):
        load_manifest(write_manifest(tmp_path, rows), task)


def test_a_missing_path_column(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["wav"] = row.pop("path")
    with pytest.raises(
        InputError, match="missing column path or file_name; found: text, speaker, emotion, wav"
    ):
        load_manifest(write_manifest(tmp_path, rows), ASR)


def test_a_column_without_values(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["emotion"] = ""
    with pytest.raises(InputError, match="column emotion or label has no values; fill it in"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


@pytest.mark.parametrize("with_split", [False, True])
def test_one_class_only(tmp_path: Path, rows: list[Row], with_split: bool) -> None:
    for row in rows:
        row["emotion"] = "joy"
        if with_split:
            row["split"] = "test" if row["speaker"] == "D" else "train"
    with pytest.raises(InputError, match="one class only, emotion is always joy; give rows of at least two"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


def test_one_class_only_in_training(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["split"] = "train" if row["emotion"] == "joy" else "test"
    with pytest.raises(InputError, match="one class only, emotion is always joy"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


@pytest.mark.parametrize(("only", "lacking"), [("train", "test"), ("test", "train")])
def test_one_part_only(tmp_path: Path, rows: list[Row], only: str, lacking: str) -> None:
    for row in rows:
        row["split"] = only
    with pytest.raises(InputError, match=f"split is {only} in every usable row; mark some {lacking}"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


def test_labels_that_training_does_not_have_are_unknown(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["split"] = "test" if row["speaker"] == "D" else "train"
    rows[-1]["emotion"], rows[-2]["emotion"] = "awe", "boredom"
    with pytest.raises(InputError, match="unknown label in the test part, awe, boredom, which training"):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


def test_a_speaker_on_both_sides_of_a_given_split_is_reported(tmp_path: Path, rows: list[Row]) -> None:
    for number, row in enumerate(rows):
        row["split"] = "test" if row["speaker"] == "D" or number < 2 else "train"
    told: list[str] = []
    data = load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION, report=told.append)
    assert len(data.test) == 8
    assert [line.split(": ", 1)[1] for line in told] == [
        "1 of 2 speaker values in the test part are in training too (A); results on it will flatter"
    ]


def test_a_recording_under_two_names_on_both_sides_is_a_leak(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["split"] = "test" if row["speaker"] == "D" else "train"
    copied = next(row for row in rows if row["speaker"] == "A")
    (tmp_path / "D" / "copy.wav").write_bytes((tmp_path / copied["path"]).read_bytes())
    rows.append(copied | {"path": "D/copy.wav", "split": "test"})
    message = r"manifest.csv: row 25, D/copy.wav: the same recording as row 1, A/left-joy.wav, which is in"
    with pytest.raises(InputError, match=message):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)
    rows[-1]["split"] = "train"  # twice in one part is no leak
    assert len(load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION).train) == 19


def test_one_speaker_cannot_be_split_from_himself(tmp_path: Path, rows: list[Row]) -> None:
    with pytest.raises(
        InputError, match="speaker is always A, so none can be kept for testing; add rows, or"
    ):
        load_manifest(write_manifest(tmp_path, rows[:6]), EMOTION_RECOGNITION)


def test_speakers_without_a_common_class_cannot_be_split(tmp_path: Path, rows: list[Row]) -> None:
    for row in rows:
        row["emotion"] = {"A": "joy", "B": "fear", "C": "awe", "D": "calm"}[row["speaker"]]
    with pytest.raises(
        InputError, match=r"manifest\.csv: every split would test a class that training lacks"
    ):
        load_manifest(write_manifest(tmp_path, rows), EMOTION_RECOGNITION)


# recordings without labels


def test_recordings_need_no_label_and_no_split(tmp_path: Path, rows: list[Row]) -> None:
    told: list[str] = []
    path = write_manifest(tmp_path, [{"path": row["path"], "split": ""} for row in rows[:3]])
    assert [u.id for u in load_recordings(path, report=told.append)] == [row["path"] for row in rows[:3]]
    assert not told


def test_bad_recordings_are_bad_rows_too(tmp_path: Path, rows: list[Row]) -> None:
    break_row(tmp_path, rows[1], "NaN")
    path = write_manifest(tmp_path, rows)
    with pytest.raises(InputError, match=r"1 of 24 rows is bad: row 2 \(.*\): holds NaN"):
        load_recordings(path)
    told: list[str] = []
    assert len(load_recordings(path, skip_bad=True, report=told.append)) == 23
    assert len(told) == 2


# real speech


@needs_speech
def test_nemo_tests_unseen_speakers_in_every_emotion() -> None:
    data = load_manifest(SPEECH / "nemo" / "manifest.csv", EMOTION_RECOGNITION)
    train, test = sides(data, "speaker")
    assert (len(train), len(test)) == (7, 2)
    assert not train & test
    assert len(data.train) + len(data.test) == 816
    assert set(Counter(u.emotion for u in data.test).values()) == {32}


@needs_speech
@pytest.mark.parametrize(("corpus", "speakers"), [("nemo", 9), ("speechocean", 40)])
def test_every_real_speaker_is_tested_on_unseen_sentences(corpus: str, speakers: int) -> None:
    data = load_manifest(SPEECH / corpus / "manifest.csv", SPEAKER_IDENTIFICATION)
    train, test = sides(data, "speaker")
    assert len(train) == speakers
    assert train == test
    assert not set.intersection(*sides(data, "text"))
    assert len(data.test) == pytest.approx(0.25 * (len(data.train) + len(data.test)), rel=0.05)
