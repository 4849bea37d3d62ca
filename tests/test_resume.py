"""A run that is killed, again and again, gives the scores of one that is not, and does nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

KILLS = 2
PATIENCE = 120  # seconds until a run that makes no progress counts as stuck

# what is killed: it notes each batch that goes through the candidate, and each that has been kept
RUN = """
import importlib.util, json, sys, time
from pathlib import Path

import foretune.cache
from foretune.scoring import score_candidate
from foretune.tasks import get_task

def module(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found

tests, task, cache, log, output = sys.argv[1:]
log = Path(log).open("a", buffering=1)
foretune.cache.SAVING_SHARE = float("inf")  # after every batch

class Noting(module(tests + "/conftest.py").FrameStatistics):
    def batch(self, waveforms):
        time.sleep(0.08)
        print("heard", *sorted(len(waveform) for waveform in waveforms), file=log)
        return super().batch(waveforms)

write = foretune.cache.Folder.write
def write_and_note(self, name, value):
    write(self, name, value)
    print("kept", file=log)
foretune.cache.Folder.write = write_and_note

data = getattr(module(tests + "/test_cache.py"), {"asr": "asr_data"}.get(task, "emotion_data"))()
records = score_candidate(
    Noting(), get_task(task), data, ["logme", "h_score", "knn"], batch_seconds=0.3, cache=Path(cache)
)
Path(output).write_text(json.dumps([[each.layer, each.estimator, each.score] for each in records]))
"""


def start(task, folder, name):
    """Start a run; its log, its cache and its scores are named after it."""
    arguments = [task, folder / f"{name}-cache", folder / f"{name}.log", folder / f"{name}.json"]
    command = [sys.executable, "-P", "-c", RUN, str(Path(__file__).parent), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def lines(folder, name):
    path = folder / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors.decode()


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_a_run_goes_on_after_being_killed(task, tmp_path):
    rng = np.random.default_rng(len(task))
    undisturbed = start(task, tmp_path, "undisturbed")
    for _ in range(KILLS):
        before = len(lines(tmp_path, "killed"))
        process = start(task, tmp_path, "killed")
        deadline = time.monotonic() + PATIENCE
        while len(lines(tmp_path, "killed")) < before + 3 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(0.2 * rng.random())
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == -signal.SIGKILL, errors.decode()  # or it was over before
    finish(start(task, tmp_path, "killed"))
    finish(undisturbed)

    scores = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("undisturbed", "killed")]
    assert scores[0] == scores[1]  # to the last bit
    heard = [line for line in lines(tmp_path, "killed") if line != "kept"]
    batches = [line for line in lines(tmp_path, "undisturbed") if line != "kept"]
    assert list(dict.fromkeys(heard)) == batches  # every batch, in order
    # what was kept before a kill is not heard again: at most the batch at work is, once a kill
    assert len(heard) <= len(batches) + KILLS
    kept: list[str] = []
    at_work = ""
    for line in lines(tmp_path, "killed"):
        if line == "kept":
            kept.append(at_work)
        else:
            assert line not in kept
            at_work = line
