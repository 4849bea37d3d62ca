"""The workflow of GitHub Actions: what it calls exists, takes these options, and is pinned."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "benchmark-gate.yml"


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(steps, name):
    """Return the words behind a command, of each line that calls it."""
    lines = "\n".join(step.get("run", "") for step in steps).replace("\\\n", " ").splitlines()
    return [words[1:] for words in map(shlex.split, lines) if words and words[0] == name]


def options(words):
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def test_it_runs_on_pull_requests_and_may_only_read(workflow):
    assert "pull_request" in workflow[True]  # YAML 1.1 takes `on` for a truth value
    assert workflow["permissions"] == {"contents": "read"}


def test_actions_are_pinned_to_a_major_version(steps):
    used = [step["uses"] for step in steps if "uses" in step]
    assert {name.partition("@")[0] for name in used} == {
        "actions/checkout",
        "actions/setup-python",
        "actions/upload-artifact",
    }
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


def test_every_step_is_shell_and_takes_nothing_of_a_pull_request_as_code(steps):
    for step in steps:
        if "run" in step:
            subprocess.run([shutil.which("bash"), "-n", "-c", step["run"]], check=True)
            assert "${{" not in step["run"]  # such text would run; it comes through the environment


def test_pytest_takes_these_options(steps, pytester):
    (words,) = commands(steps, "pytest")
    assert words[0] == "bench/"
    assert {"--gate-against", "--gate-limits", "--gate-allow"} <= options(words)
    known = pytester.runpytest_inprocess("--help").stdout.str()
    assert [option for option in options(words) if not re.search(rf"{option}\b", known)] == []


def test_the_limits_are_limits(steps):
    from foretune.gates import Limits

    (words,) = commands(steps, "pytest")
    (limits,) = [word.partition("=")[2] for word in words if word.startswith("--gate-limits")]
    assert [limit.measure for limit in Limits.parse([limits]).limits] == ["spearman", "spearman"]


def test_the_command_takes_these_options(steps, run):
    found = commands(steps, "foretune")
    assert [words[0] for words in found] == ["report"]
    for name, *words in found:
        code, known, _ = run(name, "--help")
        assert code == 0
        assert [option for option in options(words) if option not in known] == []


def test_the_extras_and_files_that_it_needs_exist(steps):
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (install,) = commands(steps, "python")
    assert install == ["-m", "pip", "install", "--constraint", "constraints.txt", ".[embedded,bench]"]
    assert re.search(r"^embedded = \[", project, re.MULTILINE)
    assert re.search(r"^bench = \[", project, re.MULTILINE)
    assert (ROOT / "constraints.txt").is_file()
    assert (ROOT / "results" / "records" / "embedded.jsonl").is_file()
