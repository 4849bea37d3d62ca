"""A run that was interrupted goes on from where it stood, and gives what it would have given."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys

import made_up
import pytest
import torch

from foretune import tensor_files
from foretune.records import read
from foretune.tasks import get_task
from foretune.tuning import Settings, checkpoint, fine_tune, finetune, plan, run_grid, worker
from foretune.tuning.checkpoint import Checkpoint, Spent

BRIEF = Settings(steps=6, head_steps=4, batch_size=8, head_batch_size=16)
CHOOSING = dataclasses.replace(
    BRIEF, learning_rates=(1e-4, 3e-3, 1e-2), validation=0.25, evaluations=3, patience=1
)
STOPPING = dataclasses.replace(BRIEF, validation=0.25, evaluations=6, patience=1, learning_rate=1e-5)


class Killed(BaseException):
    """Stands for a signal: no handler of errors sees it."""


@pytest.fixture
def at_once(monkeypatch):
    """Let what is kept be due after every update."""
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_LARGEST_SHARE", float("inf"))


class Updates:
    """Notes the updates that a run makes, and kills it at one."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.killed_at = killed_at
        self.seen: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        self.seen.append(done)
        if len(self.seen) == self.killed_at:
            raise Killed


def result(record):
    spent = {"wall_seconds", "cpu_seconds", "peak_memory_bytes", "provenance"}
    return record.model_dump(exclude=spent)


def interrupted(run, path, update):
    """Run, be killed at an update, and go on; return the record, and the updates before and after.

    Of the update at which it is killed nothing is kept.
    """
    first, second = Updates(update), Updates()
    with pytest.raises(Killed):
        run(checkpoint=path, progress=first)
    record = run(checkpoint=path, progress=second)
    assert not list(path.parent.iterdir())
    return record, first.seen[:-1], second.seen


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("settings", [BRIEF, CHOOSING, STOPPING], ids=["plain", "choosing", "stopping"])
@pytest.mark.parametrize(
    ("protocol", "layer"), [("layer", 1), ("full", 3), ("single-layer", 2), ("single-layer", 0), ("probe", 3)]
)
def test_the_result_is_that_of_a_run_in_one_go(make_toy, tones, tmp_path, *, settings, protocol, layer):
    emotion = get_task("emotion_recognition")

    def run(**more):
        return fine_tune(
            make_toy(), emotion, tones, layer=layer, protocol=protocol, settings=settings, **more
        )

    whole = Updates()
    expected = run(progress=whole)
    for update in range(1, len(whole.seen) + 1):
        record, before, after = interrupted(run, tmp_path / "run.safetensors", update)
        assert result(record) == result(expected), update
        assert before + after == whole.seen, update  # nothing is done twice but what was not kept


@pytest.mark.usefixtures("at_once")
def test_ctc_goes_on_too(make_toy, asr, spelled, tmp_path):
    def run(**more):
        return fine_tune(make_toy(), asr, spelled, layer=2, settings=CHOOSING, seed=5, **more)

    whole = Updates()
    expected = run(progress=whole)
    for update in (3, 7, 12):
        record, before, after = interrupted(run, tmp_path / "run.safetensors", update)
        assert result(record) == result(expected)
        assert before + after == whole.seen


@pytest.mark.usefixtures("at_once")
def test_a_learning_rate_that_failed_is_not_tried_again(make_toy, emotion, tones, tmp_path):
    settings = dataclasses.replace(CHOOSING, learning_rates=(1e30, 3e-3))

    def run(**more):
        return fine_tune(make_toy(), emotion, tones, layer=2, settings=settings, **more)

    whole = Updates()
    expected = run(progress=whole)
    assert "loss is nan" in expected.trials[0].error
    record, before, after = interrupted(run, tmp_path / "run.safetensors", len(whole.seen) - 1)
    assert result(record) == result(expected)
    assert before + after == whole.seen


@pytest.mark.usefixtures("at_once")
def test_interrupted_again_and_again_it_ends(make_toy, emotion, tones, tmp_path):
    def run(**more):
        return fine_tune(make_toy(), emotion, tones, layer=2, settings=CHOOSING, **more)

    path = tmp_path / "run.safetensors"
    seen, record = [], None
    while record is None:
        updates = Updates(2)  # each session keeps one update
        try:
            record = run(checkpoint=path, progress=updates)
        except Killed:
            seen += updates.seen[:-1]
    whole = Updates()
    assert result(record) == result(run(progress=whole))
    assert seen + updates.seen == whole.seen


def test_a_run_of_seconds_keeps_nothing(toy, emotion, tones, tmp_path):
    path = tmp_path / "kept" / "run.safetensors"
    with pytest.raises(Killed):
        fine_tune(toy, emotion, tones, layer=2, settings=BRIEF, checkpoint=path, progress=Updates(9))
    assert not path.parent.exists()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "change",
    [{"commit": "f" * 40}, {"packages": {"torch": "1.0"}}, {"processor": "another"}, {"threads": 99}],
)
def test_what_another_version_or_machine_kept_is_not_gone_on_from(
    toy, emotion, tones, tmp_path, monkeypatch, *, change
):
    def run(**more):
        return fine_tune(toy, emotion, tones, layer=2, settings=BRIEF, checkpoint=path, **more)

    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        run(progress=Updates(8))
    real = finetune.provenance
    monkeypatch.setattr(finetune, "provenance", lambda device: real(device).model_copy(update=change))
    anew = Updates()
    run(progress=anew)
    assert anew.seen == list(range(1, 11))


@pytest.mark.usefixtures("at_once")
def test_what_cannot_be_read_is_not_gone_on_from(toy, emotion, tones, tmp_path):
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"torn")
    anew = Updates()
    fine_tune(toy, emotion, tones, layer=2, settings=BRIEF, checkpoint=path, progress=anew)
    assert anew.seen == list(range(1, 11))


def test_the_next_file_waits_as_long_as_a_twentieth_of_the_time_asks(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: clock[0])

    def slowly(tensors, path, metadata):
        clock[0] += 9.0
        path.touch()

    monkeypatch.setattr(tensor_files, "save_file", slowly)
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([parameter])
    kept = Checkpoint(tmp_path / "run", made_up.tuning().provenance, Spent(torch.device("cpu")))
    for now, due in ((59.0, False), (60.0, True)):
        clock[0] = now
        assert kept.due() is due
    kept.write(checkpoint.Standing(), [parameter], optimizer)  # ends at 69, and 9 s are 5 % of 180
    for now, due in ((248.0, False), (249.0, True)):
        clock[0] = now
        assert kept.due() is due


def test_what_was_spent_before_counts(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(checkpoint.time, "process_time", lambda: 2 * clock[0])
    monkeypatch.setattr(checkpoint, "peak_memory", lambda _: 7)
    spent = Spent(torch.device("cpu"))
    clock[0] = 103.0
    assert spent.so_far() == (3.0, 6.0, 7)
    spent.add(10.0, 30.0, 5)
    assert spent.so_far() == (13.0, 36.0, 7)
    spent.add(1.0, 1.0, 90)
    assert spent.so_far() == (14.0, 37.0, 90)


COMMAND = """
import sys
from foretune.cli import main
from foretune.tuning import checkpoint, worker

checkpoint.EVERY_SECONDS, checkpoint._LARGEST_SHARE = 0.0, float("inf")  # after every update
real = worker.fine_tune

def noting(*args, progress, **more):
    def note(done, total):
        print("update", done, flush=True)
        progress(done, total)

    return real(*args, progress=note, **more)

worker.fine_tune = noting
sys.exit(main())
"""
KILLED_AT = (40, 260)
"""Updates: one of the head alone, one of all that trains."""


def test_a_command_that_is_killed_goes_on(manifest, tmp_path):
    def command(records):
        arguments = ("tune", "--task", "emotion_recognition", "--data", manifest, "--model", "fbank")
        more = ("--seeds", "1", "--steps", "90", "--records", tmp_path / records)
        return [sys.executable, "-P", "-c", COMMAND, *map(str, (*arguments, *more))]

    seen = []
    for update in KILLED_AT:
        with subprocess.Popen(
            command("killed.jsonl"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            for line in process.stdout:
                if line.startswith("update "):
                    seen.append(int(line.split()[1]))
                    if seen[-1] == update:
                        process.send_signal(signal.SIGKILL)
                        break
        assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.jsonl").exists()
    last = subprocess.run(command("killed.jsonl"), capture_output=True, text=True, check=True)
    rest = [int(line.split()[1]) for line in last.stdout.splitlines() if line.startswith("update ")]
    subprocess.run(command("whole.jsonl"), capture_output=True, check=True)
    (record,), (expected,) = read(tmp_path / "killed.jsonl"), read(tmp_path / "whole.jsonl")
    assert result(record) == result(expected)
    assert rest[0] >= KILLED_AT[-1]  # the signal comes in its time
    assert sorted({*seen, *rest}) == list(range(1, 291))
    assert not list(tmp_path.glob("*.checkpoints"))


def test_a_failed_run_leaves_nothing(load, tones, tmp_path, monkeypatch):
    def failing(*_, checkpoint, **__):
        checkpoint.parent.mkdir()
        checkpoint.touch()
        checkpoint.with_suffix(".unfinished").touch()  # as where the disk is full
        raise FloatingPointError("the loss is nan")

    monkeypatch.setattr(worker, "fine_tune", failing)
    runs = plan(["emotion_recognition"], ["toy"], layers=[2], seeds=1)
    (record,) = run_grid(
        runs, records=tmp_path / "records.jsonl", data={"emotion_recognition": tones}, progress=False
    )
    assert record.status == "failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records.jsonl", "records.jsonl.lock"]
