"""Grids: planned once, resumed, shared, and never stopped by a run that fails."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter

import pytest
import torch

from foretune.records import append, read
from foretune.tasks import InputError, get_task
from foretune.tuning import (
    DEFAULTS,
    Run,
    Settings,
    fine_tune,
    grid,
    plan,
    planning,
    run_grid,
    settings,
    worker,
)

BRIEF = Settings(steps=1, head_steps=1, batch_size=4, head_batch_size=4)


@pytest.fixture
def tuned(monkeypatch):
    """Make runs brief, and list them; those in `tuned.failing` fail."""

    class Tuned(list):
        def __init__(self):
            super().__init__()
            self.failing = set()

    runs = Tuned()

    def brief(candidate, task, data, *, layer, seed, **others):
        runs.append((task.name, candidate.name, layer, seed))
        if runs[-1] in runs.failing:
            raise FloatingPointError("the loss is nan")
        return fine_tune(candidate, task, data, layer=layer, seed=seed, **others)

    monkeypatch.setattr(worker, "fine_tune", brief)
    monkeypatch.setattr(settings, "DEFAULTS", {"utterance": BRIEF, "sequence": BRIEF})
    monkeypatch.setattr(settings, "BY_TASK", {})
    return runs


def test_the_plan_is_seed_by_seed(load):
    assert plan(["asr", "emotion_recognition"], ["small"], layers="all", seeds=2) == [
        Run(task, "small", "layer", layer, seed)
        for seed in (0, 1)
        for task in ("asr", "emotion_recognition")
        for layer in (0, 1)
    ]


def test_layers_of_the_plan(load):
    assert [run.layer for run in plan(["asr"], ["toy"], layers="all", seeds=1)] == [0, 1, 2, 3]
    assert [run.layer for run in plan(["asr"], ["toy", "small"], layers="last", seeds=1)] == [3, 1]
    assert [run.layer for run in plan(["asr"], ["toy"], layers=[2, 0, 2], seeds=1)] == [2, 0]


def test_full_is_planned_as_the_top_layer(load):
    full = plan(["asr"], ["toy"], protocol="full", layers=[1], seeds=2)
    assert full == [run for run in plan(["asr"], ["toy"], seeds=2) if run.layer == 3]


def test_what_is_not_there_cannot_be_planned(load):
    with pytest.raises(InputError, match="layer 2: small has layers 0 to 1"):
        plan(["asr"], ["small"], layers=[2])
    with pytest.raises(InputError, match="model absent: unknown"):
        plan(["asr"], ["absent"])
    with pytest.raises(InputError, match="unknown task asl"):
        plan(["asl"], ["toy"])


def test_every_run_is_done_once_and_recorded(load, tuned, sets, tmp_path):
    runs = plan(["asr", "emotion_recognition"], ["toy", "small"], layers="last", seeds=2)
    path = tmp_path / "new" / "records.jsonl"
    returned = run_grid([*runs, *runs], records=path, data=sets, progress=False)
    expected = [(run.task, run.model, run.layer, run.seed) for run in runs]
    assert tuned == expected
    assert [(record.task, record.model, record.layer, record.seed) for record in returned] == expected
    assert read(path) == returned
    assert all(record.status == "done" for record in returned)
    assert load["toy"] <= 1 + 1  # by the plan, and by the grid
    assert not (tmp_path / "new" / "records.jsonl.claims").exists()


def test_a_grid_goes_on_where_it_was_stopped(load, tuned, sets, tmp_path):
    runs = plan(["emotion_recognition"], ["toy"], seeds=1)
    path = tmp_path / "records.jsonl"
    first = run_grid(runs[:2], records=path, data=sets, progress=False)
    with path.open("a") as file:
        file.write('{"kind": "tuning", "task": "emo')  # killed while it wrote
    (tmp_path / "records.jsonl.claims").mkdir()
    (tmp_path / "records.jsonl.claims" / "stale").touch()
    tuned.clear()
    records = run_grid(runs, records=path, data=sets, progress=False)
    assert [layer for _, _, layer, _ in tuned] == [2, 3]
    assert records[:2] == first
    assert len(records) == 4
    tuned.clear()
    assert run_grid(runs, records=path, data=sets, progress=False) == records
    assert not tuned


def test_other_data_or_other_weights_are_another_run(load, tuned, sets, tmp_path, monkeypatch):
    runs = plan(["emotion_recognition"], ["small"], layers="last", seeds=1)
    path = tmp_path / "records.jsonl"
    (record,) = run_grid(runs, records=path, data=sets, progress=False)
    for change in ({"data_revision": "f" * 12}, {"model_revision": "f" * 12}):
        path.unlink()
        append(path, record.model_copy(update=change))
        tuned.clear()
        assert run_grid(runs, records=path, data=sets, progress=False)[0].key == record.key
        assert len(tuned) == 1


def test_a_record_of_full_serves_for_the_top_layer(load, tuned, sets, tmp_path):
    candidate = worker.load_candidate("small")
    emotion = get_task("emotion_recognition")
    whole = fine_tune(
        candidate, emotion, sets["emotion_recognition"], layer=1, protocol="full", settings=BRIEF
    )
    path = tmp_path / "records.jsonl"
    append(path, whole)
    runs = plan(["emotion_recognition"], ["small"], layers="last", seeds=1)
    assert run_grid(runs, records=path, data=sets, progress=False) == [whole]
    assert not tuned


def test_a_failing_run_is_recorded_and_the_rest_goes_on(load, tuned, sets, tmp_path):
    runs = plan(["emotion_recognition"], ["toy"], layers=[0, 1, 2], seeds=1)
    tuned.failing.add(("emotion_recognition", "toy", 1, 0))
    path = tmp_path / "records.jsonl"
    records = run_grid(runs, records=path, data=sets, progress=False)
    assert [record.status for record in records] == ["done", "failed", "done"]
    assert records[1].error == "FloatingPointError: the loss is nan"
    assert records[1].value is None
    tuned.clear()
    assert run_grid(runs, records=path, data=sets, progress=False) == records
    assert not tuned


def test_failed_runs_are_retried_once_on_request(load, tuned, sets, tmp_path):
    runs = plan(["emotion_recognition"], ["toy"], layers=[0, 1], seeds=1)
    tuned.failing.add(("emotion_recognition", "toy", 1, 0))
    path = tmp_path / "records.jsonl"
    run_grid(runs, records=path, data=sets, progress=False)
    tuned.clear()
    again = run_grid(runs, records=path, data=sets, retry_failed=True, progress=False)
    assert [layer for _, _, layer, _ in tuned] == [1]
    assert again[1].status == "failed"
    tuned.failing.clear()
    assert run_grid(runs, records=path, data=sets, retry_failed=True, progress=False)[1].status == "done"


def test_a_candidate_that_cannot_be_loaded_is_a_failed_run(load, tuned, sets, tmp_path):
    runs = [Run("asr", "absent", "layer", 0, 0), Run("asr", "small", "layer", 0, 0)]
    absent, small = run_grid(runs, records=tmp_path / "records.jsonl", data=sets, progress=False)
    assert (absent.status, absent.error) == ("failed", "InputError: model absent: unknown")
    assert small.status == "done"


@pytest.mark.parametrize("protocol", ["layer", "full", "single-layer", "probe"])
def test_what_is_too_large_for_the_learning_rate_by_default_is_said(load, monkeypatch, protocol):
    said = []
    plan(["asr", "emotion_recognition"], ["toy", "small"], protocol=protocol, report=said.append)
    assert said == []
    size = {"toy": 16 * 12 + 12 + 3 * (12 * 12 + 12) + 32 * 320 + 7}
    size["small"] = size["toy"] - 2 * (12 * 12 + 12)
    monkeypatch.setattr(planning, "LARGE", size["small"])  # which is not above it
    plan(["asr", "emotion_recognition"], ["toy", "small"], protocol=protocol, report=said.append)
    assert len(said) == (protocol != "probe")  # whose head alone trains, at a rate of its own
    assert all(text.startswith("toy: 0 million parameters") for text in said)


def test_outside_of_a_terminal_each_new_run_is_a_line(load, tuned, sets, tmp_path, capsys):
    runs = plan(["emotion_recognition"], ["toy"], layers=[0, 1, 2], seeds=1)
    tuned.failing.add(("emotion_recognition", "toy", 2, 0))
    path = tmp_path / "records.jsonl"
    run_grid(runs[:1], records=path, data=sets, progress=False)
    assert capsys.readouterr() == ("", "")
    run_grid(runs, records=path, data=sets)
    lines = capsys.readouterr().err.splitlines()
    assert not any("layer 0" in line for line in lines)
    assert lines[0].startswith("2/3  emotion_recognition toy layer 1 seed 0: unweighted_accuracy ")
    assert lines[1].startswith(
        "3/3  emotion_recognition toy layer 2 seed 0: failed: FloatingPointError: the loss is nan"
    )
    assert "3/3" in lines[-1]


def test_a_claimed_run_is_left_alone_until_its_process_is_dead(load, tuned, sets, tmp_path):
    (run,) = plan(["emotion_recognition"], ["small"], layers=[0], seeds=1)
    path = tmp_path / "records.jsonl"
    mine = worker.Worker(path, sets, "cpu")
    program = (  # claims the run as a worker does, then waits to be killed
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('claimed', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-P", "-c", program, str(worker.claim(path, mine.key(run)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "claimed\n"
        assert not mine.attempt(run, None)
        assert not tuned
        other.kill()
    assert mine.attempt(run, None)
    assert len(tuned) == 1


@pytest.mark.parametrize(("device", "workers"), [("cpu", 2), ("cpu,cpu", 1)])
def test_worker_processes_share_a_grid(tones, tmp_path, device, workers):
    from transformers import HubertConfig, HubertModel

    config = HubertConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4, 4),
        conv_kernel=(40, 16),
        conv_stride=(40, 16),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        HubertModel(config).save_pretrained(tmp_path / "tiny")
    runs = plan(["emotion_recognition"], [str(tmp_path / "tiny")], layers=[0, 2], seeds=2)
    path = tmp_path / "records.jsonl"
    small = dataclasses.replace(tones, train=tones.train[:12], test=tones.test[:6])
    records = run_grid(
        runs,
        records=path,
        data={"emotion_recognition": small},
        device=device,
        workers=workers,
        progress=False,
    )
    assert [record.error for record in records] == [""] * 4
    assert Counter(record.key for record in read(path)) == Counter(record.key for record in records)
    assert [(record.layer, record.seed) for record in records] == [(run.layer, run.seed) for run in runs]
    assert {record.provenance.threads for record in records} == {1}
    assert {record.steps for record in records} == {DEFAULTS["utterance"].steps}


def test_runs_left_undone_by_dead_workers_are_an_error(load, sets, tmp_path, monkeypatch):
    # the spawned processes know nothing of the toy; a worker that cannot even start stands for a killed one
    monkeypatch.setattr(grid, "work_alone", "no function")
    runs = plan(["emotion_recognition"], ["small"], layers=[0], seeds=1)
    with pytest.raises(RuntimeError, match="1 runs are undone"):
        run_grid(runs, records=tmp_path / "records.jsonl", data=sets, workers=2, progress=False)
