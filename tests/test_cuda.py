"""On a GPU: what ships gives the features, the scores and the fine-tuning that it gives on a CPU.

Each test runs on the CPU too, where it compares the CPU with itself: that shows that the test is right.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch

from foretune.extraction import extract
from foretune.extraction.precision import relative_difference
from foretune.models import load_candidate, names
from foretune.scoring import score_candidate
from foretune.tasks import get_task
from foretune.tasks.utterance import Span, TaskData, Utterance
from foretune.tuning import Settings, checkpoint, fine_tune

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
FAMILIES = ["fbank", "mfcc", *(name for name in names() if name.endswith("-untrained"))]
FEATURES = 2e-2
"""Relative difference of features between devices: cuDNN's convolutions round to TensorFloat-32."""
SCORES = 5e-2
"""Of LogME, in nats, between devices."""
BRIEF = Settings(steps=2, head_steps=2, batch_size=4, head_batch_size=4)


def speech(number: int, seconds: float) -> np.ndarray:
    """Return a tone in noise."""
    rng = np.random.default_rng(number)
    time = np.arange(int(16_000 * seconds)) / 16_000
    tone = np.sin(2 * np.pi * (300 + 500 * (number % 3)) * time)
    return (4_000 * (tone + 0.3 * rng.standard_normal(len(time)))).astype(np.int16)


def corpus(task: str) -> TaskData:
    utterances = []
    for number in range(15):
        seconds = 0.6 + 0.05 * (number % 5)
        spans = tuple(
            Span(*bounds, "abc"[int(10 * bounds[0]) % 3]) for bounds in pairwise((0.0, 0.1, 0.2, 0.3))
        )
        utterances.append(
            Utterance(
                f"u{number}",
                speech(number, seconds),
                text="ab ca",
                speaker=f"s{number % 5}",
                emotion="abc"[number % 3],
                phones=spans,
            )
        )
    return TaskData(task, "local", "0" * 12, utterances[:12], utterances[12:])


def features(name: str, device: str, data: TaskData, **settings):
    candidate = load_candidate(name, device=device)
    return [
        (batch.indices, [layer.cpu().float() for layer in batch.states.layers], batch.states.lengths)
        for batch in extract(candidate, data.train, batch_seconds=2.5, **settings)
    ]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("device", DEVICES)
def test_features_are_those_of_a_cpu(name, device):
    data = corpus("asr")
    pairs = zip(features(name, device, data), features(name, "cpu", data), strict=True)
    for (indices, layers, lengths), (expected_indices, expected, expected_lengths) in pairs:
        assert indices == expected_indices
        assert lengths.device.type == "cpu"
        assert lengths.tolist() == expected_lengths.tolist()
        for one, other in zip(layers, expected, strict=True):
            assert relative_difference(one, other, lengths) < FEATURES


@pytest.mark.parametrize("device", DEVICES)
def test_half_precision_is_near_float32_there(device):
    remarks = []
    features("hubert-untrained", device, corpus("asr"), dtype="bfloat16", report=remarks.append)
    (remark,) = remarks
    assert "bfloat16 differs by" in remark


@pytest.mark.parametrize("task", ["asr", "emotion_recognition"])
@pytest.mark.parametrize("device", DEVICES)
def test_scores_are_those_of_a_cpu(task, device):
    def scores(where):
        candidate = load_candidate("hubert-untrained", device=where)
        data = dataclasses.replace(corpus(task), source=corpus(task).test)
        estimators = ["logme", "h_score", "gbc", "knn", "sliced_wasserstein"]
        return score_candidate(
            candidate, get_task(task), data, estimators, standard_errors=True, batch_seconds=2.5
        )

    for one, other in zip(scores(device), scores("cpu"), strict=True):
        assert one.error == other.error
        if one.estimator == "logme":
            assert one.score == pytest.approx(other.score, abs=SCORES)


@pytest.mark.parametrize("protocol", ["layer", "single-layer", "probe"])
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("hubert-untrained", "asr"),
        ("whisper-untrained", "emotion_recognition"),
        ("apc-untrained", "emotion_recognition"),  # recurrent
        ("conformer-untrained", "asr"),
        ("wavlm-untrained", "emotion_recognition"),
    ],
)
@pytest.mark.parametrize("device", DEVICES)
def test_fine_tuning_runs_there(name, task, protocol, device):
    candidate = load_candidate(name, device=device)
    layer = candidate.num_layers if protocol == "probe" else 1
    record = fine_tune(
        candidate, get_task(task), corpus(task), layer=layer, protocol=protocol, settings=BRIEF
    )
    assert record.status == "done"
    assert record.flops > 0
    assert candidate.device.type == device


@pytest.mark.parametrize("device", DEVICES)
def test_one_process_tunes_on_both_devices(device):
    for where in ("cpu", device, "cpu"):
        candidate = load_candidate("fbank", device=where)
        record = fine_tune(
            candidate, get_task("emotion_recognition"), corpus("emotion_recognition"), layer=0, settings=BRIEF
        )
        assert record.status == "done"


@pytest.mark.parametrize(
    ("name", "task"), [("hubert-untrained", "asr"), ("apc-untrained", "emotion_recognition")]
)
@pytest.mark.parametrize("device", DEVICES)
def test_training_in_half_precision_leaves_weights_in_single(name, task, device):
    candidate = load_candidate(name, device=device)
    dtypes = {}

    def note(done, total):
        dtypes[done] = {parameter.dtype for parameter in candidate.module.parameters()}

    record = fine_tune(
        candidate,
        get_task(task),
        corpus(task),
        layer=1,
        settings=dataclasses.replace(BRIEF, precision="bfloat16"),
        progress=note,
    )
    assert record.status == "done"
    assert record.settings["precision"] == "bfloat16"
    assert dtypes == {update: {torch.float32} for update in (1, 2, 3, 4)}


class Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.parametrize("protocol", ["layer", "single-layer", "probe"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_that_was_interrupted_goes_on_there(protocol, device, tmp_path, monkeypatch):
    candidate = load_candidate("hubert-untrained", device=device)
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_LARGEST_SHARE", float("inf"))
    seen = []

    def run(killed_at):
        def note(done, total):
            seen.append(done)
            if done == killed_at:
                raise Killed

        return fine_tune(
            candidate,
            get_task("emotion_recognition"),
            corpus("emotion_recognition"),
            layer=candidate.num_layers if protocol == "probe" else 1,
            protocol=protocol,
            settings=dataclasses.replace(BRIEF, learning_rates=(1e-3, 3e-3), validation=0.25),
            progress=note,
            checkpoint=tmp_path / "run.safetensors",
        )

    for update in (2, 3, 5):
        with pytest.raises(Killed):
            run(update)
    record = run(None)
    assert record.status == "done"
    assert len(record.trials) == 2
    assert seen[:6] == [1, 2, 2, 3, 3, 4]  # what was killed at an update does it again, and nothing else
    assert sorted(seen[6:]) == seen[6:]
    assert not list(tmp_path.iterdir())
