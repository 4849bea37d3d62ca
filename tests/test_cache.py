"""The cache: what was gathered is found again, for nothing but the same pass, and damage is noticed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import foretune.cache
from foretune import cli
from foretune.cache import BusyError, Folder, canonical, content_hash
from foretune.scoring import score_candidate
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span, TaskData, Utterance

EMOTION, ASR = get_task("emotion_recognition"), get_task("asr")
FRAME = 160 / 16_000  # seconds


def speech(number, frames):
    rng = np.random.default_rng(number)
    level = 1_000 * (1 + number % 3)
    return (level * rng.standard_normal(frames * 160 + 37) + 100 * (number % 3)).astype(np.int16)


def emotion_data():
    train = [
        Utterance(
            f"u{number}", speech(number, 5 + number), emotion="abc"[number % 3], speaker=f"s{number % 4}"
        )
        for number in range(20)
    ]
    return TaskData("emotion_recognition", "local", "f" * 12, train, [])


def asr_data():
    train = []
    for number in range(20):
        frames = 12 + number
        phones = tuple(
            Span(3 * k * FRAME, (3 * k + 2) * FRAME, "xyz"[(k + number) % 3]) for k in range(frames // 3)
        )
        train.append(Utterance(f"u{number}", speech(number, frames), text="x", phones=phones))
    return TaskData("asr", "local", "f" * 12, train, [])


CASES = pytest.mark.parametrize(
    ("task", "data"), [(EMOTION, emotion_data()), (ASR, asr_data())], ids=["utterances", "frames"]
)
NAMES = ["logme", "h_score", "knn"]  # of moments, and of samples


def scored(candidate, task, data, names=NAMES, **settings):
    """Return the scores, and how many utterances went through the candidate for them."""
    records = score_candidate(candidate, task, data, names, batch_seconds=0.5, **settings)
    scores = {(each.layer, each.estimator): each.score for each in records}
    assert None not in scores.values()
    return scores, candidate.seen


# --- a pass, again


@CASES
def test_what_was_gathered_is_not_gathered_again(frame_statistics, tmp_path, task, data):
    expected, _ = scored(frame_statistics(), task, data)
    first, seen = scored(frame_statistics(), task, data, cache=tmp_path)
    again, unseen = scored(frame_statistics(), task, data, cache=tmp_path)
    assert (seen, unseen) == (20, 0)
    assert again == first == expected  # to the last bit


def test_pooled_features_serve_any_estimator_and_seed(frame_statistics, tmp_path):
    data = emotion_data()
    scored(frame_statistics(), EMOTION, data, ["logme"], cache=tmp_path)
    expected, _ = scored(frame_statistics(), EMOTION, data, ["gbc", "knn"], seed=3)
    found, seen = scored(frame_statistics(), EMOTION, data, ["gbc", "knn"], seed=3, cache=tmp_path)
    assert (found, seen) == (expected, 0)


def test_frames_that_other_estimators_need_are_gathered_anew(frame_statistics, tmp_path):
    data = asr_data()
    scored(frame_statistics(), ASR, data, ["logme"], cache=tmp_path)
    expected, _ = scored(frame_statistics(), ASR, data, ["knn"])
    found, seen = scored(frame_statistics(), ASR, data, ["knn"], cache=tmp_path)
    assert (found, seen) == (expected, 20)


def relabelled(data, **changes):
    train = [dataclasses.replace(data.train[0], **changes), *data.train[1:]]
    return dataclasses.replace(data, train=train)  # with the revision that it had


@pytest.mark.parametrize(
    "change",
    [
        {"emotion": "b"},
        {"speaker": "s9"},
        {"id": "v0"},
        {"audio": speech(0, 5) + np.int16(1)},
        {"audio": speech(0, 6)},
    ],
    ids=["label", "group", "id", "samples", "length"],
)
def test_changed_data_are_gathered_anew(frame_statistics, tmp_path, change):
    data = emotion_data()
    scored(frame_statistics(), EMOTION, data, cache=tmp_path)
    _, seen = scored(frame_statistics(), EMOTION, relabelled(data, **change), cache=tmp_path)
    assert seen == 20


def test_changed_phones_are_gathered_anew(frame_statistics, tmp_path):
    data = asr_data()
    scored(frame_statistics(), ASR, data, cache=tmp_path)
    moved = (Span(0.0, 0.021, "x"), *data.train[0].phones[1:])
    _, seen = scored(frame_statistics(), ASR, relabelled(data, phones=moved), cache=tmp_path)
    assert seen == 20


def test_another_model_is_listened_to(frame_statistics, tmp_path):
    data = emotion_data()
    scored(frame_statistics(), EMOTION, data, cache=tmp_path)
    tuned = frame_statistics()
    tuned.revision = "1" * 12
    assert scored(tuned, EMOTION, data, cache=tmp_path)[1] == 20
    assert scored(frame_statistics("other"), EMOTION, data, cache=tmp_path)[1] == 20
    assert scored(frame_statistics(), EMOTION, data, cache=tmp_path, dtype="bfloat16")[1] > 0


def test_the_command_keeps_what_it_gathers(tmp_path, capsys, monkeypatch):
    for name, value in cli.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)  # so that main's own setting does not stay
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", speech(number, 40), 16_000)
    rows = [f"{n}.wav,s{n % 2},{'ab'[n % 2]},{'test' if n > 3 else 'train'}" for n in range(6)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,speaker,emotion,split", *rows]))

    def rank(*more):
        output = tmp_path / "out.json"
        command = ["rank", "--task", "emotion_recognition", "--data", tmp_path / "manifest.csv"]
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(each) for each in [*command, "--model", "fbank", "--json", output, *more]])
        assert exit_.value.code in (0, None)
        return json.loads(output.read_text()), capsys.readouterr().err

    expected, _ = rank()
    first, _ = rank("--cache", tmp_path / "cache")
    again, _ = rank("--cache", tmp_path / "cache")
    assert first["ranking"] == again["ranking"] == expected["ranking"]
    # the seconds of the forward pass are those of the pass that was made
    assert first["provenance"]["forward_seconds"] == again["provenance"]["forward_seconds"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    half, errors = rank("--cache", tmp_path / "cache", "--dtype", "bfloat16")
    assert (expected["provenance"]["dtype"], half["provenance"]["dtype"]) == ("float32", "bfloat16")
    assert "fbank: bfloat16 differs by" in errors
    assert len(list((tmp_path / "cache").iterdir())) == 2


# --- interrupted, damaged, in use


@CASES
def test_an_error_loses_no_finished_batch(frame_statistics, tmp_path, task, data):
    expected, _ = scored(frame_statistics(), task, data)

    class Failing(frame_statistics):
        def batch(self, waveforms):
            if self.seen >= 9:
                raise InputError("lost patience")
            return super().batch(waveforms)

    failing = Failing()
    with pytest.raises(InputError, match="lost patience"):
        scored(failing, task, data, cache=tmp_path)
    found, seen = scored(frame_statistics(), task, data, cache=tmp_path)
    assert found == expected
    assert failing.seen + seen == 20


@CASES
@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text"])
def test_a_damaged_file_is_noticed_and_made_again(frame_statistics, tmp_path, task, data, damage):
    expected, _ = scored(frame_statistics(), task, data, cache=tmp_path)
    path = sorted(tmp_path.glob("*/*.gathered"))[0]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 1
    path.write_bytes(
        {"cut": content[: len(content) // 2], "emptied": b"", "text": b"{}"}.get(damage, content)
    )
    remarks = []
    found, seen = scored(frame_statistics(), task, data, cache=tmp_path, report=remarks.append)
    assert found == expected
    assert seen > 0
    assert remarks == [f"{path}: damaged; it is made again"]
    assert scored(frame_statistics(), task, data, cache=tmp_path) == (expected, 0)


def test_what_came_after_a_damaged_file_is_made_again_too(frame_statistics, tmp_path, monkeypatch):
    data = emotion_data()
    monkeypatch.setattr(foretune.cache, "SAVING_SHARE", float("inf"))  # a file for every batch
    expected, _ = scored(frame_statistics(), EMOTION, data, cache=tmp_path)
    first, *others = sorted(tmp_path.glob("*/*.gathered"))
    assert len(others) > 2
    first.write_bytes(b"")
    monkeypatch.setattr(foretune.cache, "SAVING_SHARE", 1e-12)  # one at the first, one at the end
    assert scored(frame_statistics(), EMOTION, data, cache=tmp_path) == (expected, 20)
    assert len(list(tmp_path.glob("*/*.gathered"))) == 2
    assert scored(frame_statistics(), EMOTION, data, cache=tmp_path) == (expected, 0)


def test_no_damage_goes_unnoticed(tmp_path):
    value = {"a": np.arange(5.0), "b": ["ü", 3], "c": np.zeros((2, 0), np.float32)}
    folder = Folder(tmp_path, {})
    folder.write("part", value)
    path = folder.path / "part.gathered"
    content = path.read_bytes()
    assert repr(folder.read("part")) == repr(value)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        assert folder.read("part") is None
        assert not path.exists()
        path.write_bytes(content[:place])
        assert folder.read("part") is None
    folder.close()


def test_another_process_in_the_same_folder_is_left_alone(frame_statistics, tmp_path):
    data = emotion_data()
    expected, _ = scored(frame_statistics(), EMOTION, data, cache=tmp_path)
    (entry,) = tmp_path.iterdir()
    key = json.loads((entry / "key.json").read_text())
    holder = Folder(tmp_path, key)
    assert holder.path == entry
    remarks = []
    found, seen = scored(frame_statistics(), EMOTION, data, cache=tmp_path, report=remarks.append)
    assert (found, seen) == (expected, 20)
    (remark,) = remarks
    assert "in use by another process" in remark
    holder.close()


def test_a_folder_has_one_owner(tmp_path):
    one = Folder(tmp_path, {"a": 1})
    with pytest.raises(BusyError, match="in use by another process"):
        Folder(tmp_path, {"a": 1})
    Folder(tmp_path, {"a": 2}).close()
    one.close()
    Folder(tmp_path, {"a": 1}).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cache .*file: .*; name a folder that can be written to"):
        Folder(tmp_path / "file", {})


# --- files and keys


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    folder = Folder(tmp_path, {})
    folder.write("part", [np.arange(3)])
    with pytest.raises(TypeError, match="a set cannot be dumped"):
        folder.write("part", {1})
    np.testing.assert_array_equal(folder.read("part")[0], np.arange(3))
    assert folder.read("other") is None
    assert sorted(path.name for path in folder.path.iterdir()) == ["key.json", "lock", "part.gathered"]
    folder.close()


def test_equal_values_have_one_canonical_form():
    span = Span(0.0, 0.5, "a")
    assert canonical({"b": (1, 2.5), "a": [span]}) == canonical({"a": (span,), "b": [1, 2.5]})
    assert canonical(np.arange(3)) == canonical(np.arange(6)[::2] // 2)
    assert canonical(np.arange(3)) != canonical(np.arange(3.0))
    assert canonical(np.zeros((2, 3))) != canonical(np.zeros((3, 2)))
    assert canonical({1: "a"}) != canonical({"1": "a"})
    assert canonical(Path("a/b")) == "a/b"
    with pytest.raises(TypeError, match="a object has no canonical form"):
        canonical([object()])


def test_the_hash_is_of_what_a_file_holds_not_of_where_it_lies(tmp_path):
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(1_600)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, sound, 16_000)
    one, other = (content_hash([Utterance("u", tmp_path / name)]) for name in ("a.wav", "b.wav"))
    assert one == other
    soundfile.write(tmp_path / "b.wav", sound[::-1], 16_000)
    assert content_hash([Utterance("u", tmp_path / "b.wav")]) != one
    with pytest.raises(InputError, match=r"gone\.wav: No such file"):
        content_hash([Utterance("u", tmp_path / "gone.wav")])


def test_the_hash_depends_on_the_order():
    utterances = [Utterance("a", speech(1, 5)), Utterance("b", speech(2, 5))]
    assert content_hash(utterances) != content_hash(utterances[::-1])
