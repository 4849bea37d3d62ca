"""The command: tables, files, one-line errors and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import made_up
import pytest

from foretune import cli
from foretune.terminal import write_json

COMMANDS = ["rank", "list", "tune", "pretrain", "report"]


@pytest.fixture
def manifest(tmp_path):
    return made_up.noise_manifest(tmp_path, files=12, of_speaker=6, test=2)


def ranked(manifest, *more):
    return ["rank", "--task", "emotion_recognition", "--data", manifest, "--model", "fbank", *more]


def test_rank_prints_a_table_and_what_it_was_made_from(run, manifest):
    code, out, err = run(*ranked(manifest))
    assert code == 0
    assert "emotion_recognition, best first" in out
    (row,) = [line for line in out.splitlines() if "fbank" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][:3] == ["1", "fbank", "0"]
    assert f"scored on 10 training utterances of {manifest} (2 kept for testing) in " in err


def test_rank_writes_the_same_as_json(run, manifest, tmp_path):
    target = tmp_path / "out.json"
    code, out, _ = run(*ranked(manifest, "--layers", "last", "--json", target))
    assert code == 0
    content = json.loads(target.read_text())
    assert set(content) == {"ranking", "provenance"}
    (row,) = content["ranking"]
    assert set(row) == {"rank", "model", "layer", "estimator", "score", "standard_error"}
    assert (row["rank"], row["model"], row["layer"], row["estimator"]) == (1, "fbank", 0, "logme")
    assert f"{row['score']:.4f}" in out
    assert content["provenance"]["data"] == str(manifest)
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


def test_bad_rows_are_an_error_until_they_are_skipped(run, manifest, tmp_path):
    (tmp_path / "3.wav").write_bytes(b"")
    target = tmp_path / "out.json"
    code, out, err = run(*ranked(manifest, "--json", target))
    assert (code, out) == (2, "")
    assert err.startswith("foretune: error: ")
    assert "row 4 (3.wav): the file is empty" in err
    assert not target.exists()
    code, _, err = run(*ranked(manifest, "--json", target, "--skip-bad"))
    assert code == 0
    assert "left out 1 of 12 rows" in err
    assert len(json.loads(target.read_text())["ranking"]) == 1


def test_list_models_tasks_and_estimators(run):
    expected = {
        "models": "fbank",
        "tasks": "emotion_recognition",
        "estimators": "logme",
    }
    for kind, name in expected.items():
        code, out, _ = run("list", kind)
        assert code == 0
        assert name in out


def test_report_needs_records(run, tmp_path):
    code, _, err = run("report", "--records", tmp_path / "none.jsonl", "--output", tmp_path / "R.md")
    assert code == 2
    assert "none.jsonl: no such file of records" in err
    assert not (tmp_path / "R.md").exists()


def test_tune_plans_and_runs_the_grid(run, monkeypatch, manifest, tmp_path):
    calls = {}

    def run_grid(runs, **settings):
        calls["runs"] = runs
        calls.update(settings)
        return []

    monkeypatch.setattr("foretune.tuning.run_grid", run_grid)
    records = tmp_path / "records.jsonl"
    code, _, _ = run(
        *("tune", "--task", "emotion_recognition", "--model", "fbank", "--layers", "0", "--seeds", "2"),
        *("--data", manifest, "--records", records, "--workers", "2"),
    )
    assert code == 0
    assert [(each.task, each.model, each.layer, each.seed) for each in calls["runs"]] == [
        ("emotion_recognition", "fbank", 0, 0),
        ("emotion_recognition", "fbank", 0, 1),
    ]
    assert (calls["records"], calls["workers"], calls["device"]) == (records, 2, "cpu")
    assert len(calls["data"]["emotion_recognition"].train) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["rank", "--task", "emotion", "--model", "fbank"],
            "unknown task emotion: did you mean emotion_recog",
        ),
        (["rank", "--task", "asr", "--model", "fbnk"], "model fbnk: unknown; did you mean fbank?"),
        (
            ["rank", "--task", "asr", "--model", "fbank", "--layers", "top"],
            "--layers top: give all, last, or layers",
        ),
        (
            ["rank", "--task", "asr", "--model", "fbank", "--estimator", "logm"],
            "no estimator is named 'logm'",
        ),
        (
            ["rank", "--task", "asr", "--model", "fbank", "--data", "nowhere.csv"],
            "nowhere.csv: no such manifest",
        ),
        (["rank", "--task", "asr", "--model", "./nowhere"], "model ./nowhere: no such folder"),
        (
            ["rank", "--task", "asr", "--model", "fbank", "--json", "no/folder/x.json"],
            "--json no/folder/x.json: there",
        ),
        (["rank", "--task", "asr", "--model", "fbank", "--json", "."], "--json .: is a folder; name a file"),
        (["tune", "--task", "all", "--model", "fbank", "--data", "x.csv"], "--data: one task at a time"),
        (["tune", "--task", "asr", "--model", "fbank", "--layers", "3"], "layer 3: fbank has layers 0 to 0"),
        (["pretrain", "nothing"], "nothing"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("foretune: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_an_estimator_that_lacks_its_source_speech(run, manifest):
    code, _, err = run(*ranked(manifest, "--estimator", "sliced_wasserstein"))
    assert code == 2
    assert "estimator sliced_wasserstein: needs speech from the candidates' pre-training" in err


def test_usage_errors_exit_with_2_too(run):
    code, _, err = run("rank", "--model", "fbank")
    assert code == 2
    assert "Missing option '--task'" in err


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a defect")

    monkeypatch.setattr("foretune.ranking.rank", broken)
    with pytest.raises(ValueError, match="a defect"):
        cli.main(["rank", "--task", "asr", "--model", "fbank"])


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"foretune {command} " in " ".join(out.split())


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom foretune import cli\n"
        "try: cli.main(['rank', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'sklearn'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("own", [None, "7"])
def test_threads_that_wait_soon_sleep_unless_the_user_says_otherwise(own):
    code = (
        "import os\nfrom foretune import cli\n"
        "try: cli.main(['rank', '--help'])\nexcept SystemExit: pass\n"
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if own:
        environment["GOMP_SPINCOUNT"] = own
    command = [sys.executable, "-P", "-c", code]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert said.stdout.splitlines()[-1] == (own or "1000")


def test_json_that_cannot_be_written_whole_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"score": float("nan")})
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]
