"""A newcomer adds a candidate with one file or one argument, by the very commands of the README."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import made_up
import numpy as np
import pytest
import soundfile
import torch

from foretune import records
from foretune.ranking import load_data
from foretune.records import AgreementRecord
from foretune.suites import Suite
from foretune.tasks import get_task
from foretune.tasks.corpora import read_name
from foretune.tuning import DEFAULTS, Settings, plan, run_grid

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
RATE = 16_000
MODELS = ["my_model.py", "./my-encoder", "fbank", "mfcc"]
NO_NETWORK = """
import socket

def refuse(*address):
    raise AssertionError(f"asked the network for {address}")

socket.socket.connect = socket.getaddrinfo = refuse
"""


def section() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## Add your own candidate\n(.*?)^## ", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def commands() -> list[list[str]]:
    """Return the commands of the README's section as words."""
    blocks = re.findall(r"```console\n(.*?)```", section(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def write_manifest(folder: Path) -> None:
    """Tones of three emotions in noise, by four speakers, two of them for testing."""
    rng = np.random.default_rng(0)
    lines = ["path,speaker,emotion,split"]
    for number in range(24):
        emotion, speaker = number % 3, number % 4
        time = np.arange(6_000 + 40 * number) / RATE
        wave = 0.1 * np.sin(2 * np.pi * (300 + 500 * emotion) * time) + 0.05 * rng.standard_normal(time.size)
        soundfile.write(folder / f"{number}.wav", wave, RATE)
        side = "test" if speaker == 3 else "train"
        lines.append(f"{number}.wav,speaker{speaker},{['anger', 'neutral', 'sadness'][emotion]},{side}")
    (folder / "manifest.csv").write_text("\n".join(lines), encoding="utf-8")


def write_encoder(folder: Path) -> None:
    from transformers import HubertConfig, HubertModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        HubertModel(HubertConfig(**made_up.TINY)).save_pretrained(folder)


@pytest.fixture
def place(pytester, monkeypatch):
    """A folder with what the README speaks of: the file, the folder, and speech of the newcomer's own."""
    (code,) = re.findall(r"```python\n(.*?)```", section(), flags=re.DOTALL)
    (pytester.path / "my_model.py").write_text(code, encoding="utf-8")
    write_encoder(pytester.path / "my-encoder")
    write_manifest(pytester.path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    return pytester.path


def test_check_and_rank_as_the_readme_says(place):
    foretune = str(Path(sys.executable).with_name("foretune"))

    def run(*words: str) -> str:
        done = subprocess.run([foretune, *words], cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    check, rank = (words[1:] for words in commands() if words[1] in ("check", "rank"))
    for words in (check, ["check", "./my-encoder"]):
        out = run(*words)
        assert words[-1] in out
        assert "NO" not in out.split()
    run(*rank, "--json", "ranking.json")
    rows = json.loads((place / "ranking.json").read_text())["ranking"]
    layers = {(row["model"], row["layer"]) for row in rows}
    assert layers == {
        *(("my_model.py", layer) for layer in range(5)),
        *(("./my-encoder", layer) for layer in range(3)),
        ("fbank", 0),
    }


def test_the_hubs_encoders_as_the_readme_says(run):
    listing, study = (words for words in commands() if "hub" in words)
    code, out, _ = run(*listing[1:])
    assert code == 0
    assert "microsoft/wavlm-base " in out
    assert "openai/whisper" not in out
    named = study[study.index("--models") + 1].split(",")
    found = Suite.choose("hub").candidates(named)
    assert found is not None
    assert [name.partition("@")[0] for name in found] == [
        "ntu-spml/distilhubert",
        "facebook/hubert-base-ls960",
        "microsoft/wavlm-base",
        "facebook/wav2vec2-base",
    ]
    task, _, corpus = study[study.index("--data") + 1].partition("=")
    place = read_name(corpus)
    assert place is not None
    assert task in place.corpus.tasks


def test_the_study_judges_them_as_the_readme_says(place, pytester, monkeypatch):
    tune, study = (words for words in commands() if words[1] == "tune" or "local" in words)
    assert [tune[index + 1] for index, word in enumerate(tune) if word == "--model"] == MODELS
    monkeypatch.setitem(DEFAULTS, "utterance", Settings(steps=1, head_steps=5))
    truth = Path("results/records/tuning.jsonl")  # where `foretune tune` writes, and the study looks
    truth.parent.mkdir(parents=True)
    task = get_task("emotion_recognition")
    data = {task.name: load_data(task, "manifest.csv")}
    made = run_grid(plan([task.name], MODELS, seeds=1), records=truth, data=data, progress=False)
    assert {record.status for record in made} == {"done"}

    shutil.copytree(ROOT / "bench", place / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\nfilterwarnings = error\n")
    (place / "conftest.py").write_text(NO_NETWORK, encoding="utf-8")
    assert study[0] == "pytest"
    result = pytester.runpytest_subprocess(*study[1:], "--estimators", "logme,depth", "--benchmark-save=own")
    # two estimators: on the models, on the layers of the file's encoder and of the folder's
    result.assert_outcomes(passed=6)
    cells = {
        (cell.setting, cell.model, cell.estimator, cell.layer_policy): cell
        for cell in records.read(place / "results" / "records" / "local.jsonl")
        if isinstance(cell, AgreementRecord)
    }
    assert {cell.suite for cell in cells.values()} == {"local"}
    whole = cells["models", "all", "logme", "last"]
    assert sorted(whole.names) == sorted(MODELS)
    tops = {record.model: record.value for record in made}  # the last layer of each comes last
    assert dict(zip(whole.names, whole.values, strict=True)) == tops
    own = cells["layers", "my_model.py", "logme", "each"]
    assert own.names == ["0", "1", "2", "3", "4"]
    assert cells["layers", "./my-encoder", "depth", "each"].names == ["0", "1", "2"]
    assert list((place / ".benchmarks").glob("*/*_own.json"))
