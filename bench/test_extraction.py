"""What a forward pass over speech costs: against what most scripts do, with scoring on top, and in memory.

By default tiny encoders on noise, which takes a moment; `--full` builds encoders of real size from their
configurations (random weights: speed does not depend on them) and plays them real speech of mixed lengths,
from a folder beside the repository (some minutes; skipped where there is none).

All sides of a comparison run in turn, in one process, and each counts by its fastest round; the ratios are in
`extra_info`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from foretune.extraction import extract, samples
from foretune.models.candidate import Candidate, Card
from foretune.models.convolutional import ConvolutionalCandidate
from foretune.models.whisper import WhisperCandidate
from foretune.scoring import Prepared, prepare
from foretune.tasks import get_task
from foretune.tasks.utterance import SAMPLE_RATE, Span, TaskData, Utterance

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

SPEECH = Path(__file__).parents[2] / "shared" / "speech"

PADDED = 8
"""Utterances in a batch of the scripts that pad, in the order of the files."""

SPEED_UP = 1.1
"""Least ratio of the faster other way's time to ours, of encoders of real size.

The aim was 1.5. On two hyper-threads of one core, half an hour of real speech through wav2vec2-base took 1.39
times as much processor time one utterance at a time, and 1.52 times as long beside other work; a minute of
speech without other work 1.20 to 1.28 times as long. One utterance at a time already computes there at half
the rate of a bare matrix product (128 of 260 GFLOPS of float32); 1.5 would take 0.74 of it.
"""

ENOUGH_SECONDS = 1_800
"""Of speech, to which the cost of scores is held, which does not depend on how much there is."""

MEMORY_GROWTH = 0.05
"""Most that the peak of memory grows from 10 minutes of speech to 10 hours."""


class Encoder(NamedTuple):
    """An architecture, and how much speech it is played with `--full`."""

    kind: str
    settings: dict[str, Any]
    seconds: float
    gated: bool = True


_TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 2,
}
_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}
_STABLE: dict[str, Any] = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
_WHISPER: dict[str, Any] = {
    "d_model": 512,
    "encoder_layers": 6,
    "encoder_attention_heads": 8,
    "encoder_ffn_dim": 2048,
    "decoder_layers": 1,
    "decoder_attention_heads": 8,
}
SMALL = {
    "wav2vec2-tiny": Encoder("wav2vec2", _TINY, 0),
    "wav2vec2-tiny-stable": Encoder("wav2vec2", _TINY | _STABLE, 0),
}
FULL = {
    "wav2vec2-base": Encoder("wav2vec2", {}, 1_800),
    "hubert-base": Encoder("hubert", {}, 60),
    "wav2vec2-large": Encoder("wav2vec2", _LARGE | _STABLE, 24),
    # every utterance is a window of 30 s to it, so that there is nothing to gain by batches
    "whisper-base": Encoder("whisper", _WHISPER, 24, gated=False),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the encoders."""
    full = metafunc.config.getoption("full")
    if "encoder" in metafunc.fixturenames:
        metafunc.parametrize("encoder", list(FULL if full else SMALL))


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the sizes are those that claims are made for."""
    return bool(request.config.getoption("full"))


def candidate_of(encoder: Encoder) -> Candidate:
    """Return an encoder with random weights."""
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = AutoModel.from_config(
            AutoConfig.for_model(encoder.kind, **encoder.settings)
        ).eval()
    if encoder.kind == "whisper":
        return WhisperCandidate(encoder.kind, module, Card(encoder.kind))
    return ConvolutionalCandidate(encoder.kind, module, Card(encoder.kind), normalise=True)


def speech(seconds: float) -> list[Utterance]:
    """Return real speech, files drawn at random, with labels for both kinds of tasks; noise for 0 s."""
    rng = np.random.default_rng(0)
    if seconds == 0:
        audios: list[Any] = [
            rng.integers(-9_000, 9_000, length).astype(np.int16)
            for length in rng.integers(SAMPLE_RATE, 3 * SAMPLE_RATE, 12)
        ]
    else:
        audios = [SPEECH / name for name in rng.permutation(sorted(map(str, SPEECH.rglob("*.flac"))))]
    chosen: list[Utterance] = []
    total = 0.0
    for number, audio in enumerate(audios):
        if 0 < seconds <= total:
            break
        length = samples(Utterance("", audio)) / SAMPLE_RATE
        total += length
        phones = tuple(
            Span(0.1 * k, 0.1 * (k + 1), str(label))
            for k, label in enumerate(rng.integers(40, size=int(10 * length)))
        )
        labels = {"emotion": str(number % 6), "speaker": str(number % 10), "text": "", "phones": phones}
        chosen.append(Utterance(f"u{number}", audio, **labels))  # type: ignore[arg-type]
    return chosen


def heard(name: str, full: bool) -> tuple[Encoder, Candidate, list[Utterance]]:
    """Return an encoder and what it is played, or skip where there is no speech."""
    if full and not SPEECH.is_dir():
        pytest.skip(f"no speech in {SPEECH}")
    encoder = (FULL if full else SMALL)[name]
    return encoder, candidate_of(encoder), speech(encoder.seconds)


class Cost(NamedTuple):
    """Seconds on the clock, and of all cores together."""

    wall: float
    cpu: float


def least(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, Cost]:
    """Return what each way costs in its best round, all ways in turn."""
    costs = dict.fromkeys(ways, Cost(float("inf"), float("inf")))
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            spent = Cost(time.perf_counter() - wall, time.process_time() - cpu)
            costs[name] = Cost(min(costs[name].wall, spent.wall), min(costs[name].cpu, spent.cpu))
    return costs


def usual_inputs(candidate: Candidate, utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Return what `transformers`' own feature extractors give for a batch."""
    from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor

    waveforms = [utterance.waveform() for utterance in utterances]
    if isinstance(candidate, WhisperCandidate):
        inputs = WhisperFeatureExtractor()(waveforms, sampling_rate=SAMPLE_RATE, return_tensors="pt")
    else:
        extractor = Wav2Vec2FeatureExtractor(return_attention_mask=len(waveforms) > 1)
        inputs = extractor(waveforms, sampling_rate=SAMPLE_RATE, padding=True, return_tensors="pt")
    return dict(inputs)


def usual_way(candidate: Candidate, utterances: Sequence[Utterance], batch: int) -> None:
    """Run the module as scripts do: batches of so many files in their order, all hidden states asked for."""
    module: Any = candidate.module
    with torch.no_grad():
        for start in range(0, len(utterances), batch):
            inputs = usual_inputs(candidate, utterances[start : start + batch])
            module(**inputs, output_hidden_states=True)


def run_through(candidate: Candidate, utterances: Sequence[Utterance]) -> None:
    """Run the module our way, and drop what it gives."""
    for _ in extract(candidate, utterances):
        pass


def test_speed(encoder: str, full: bool, benchmark: BenchmarkFixture) -> None:
    """A plain loop, padded batches, and ours, side by side."""
    built, candidate, utterances = heard(encoder, full)
    ways: dict[str, Callable[[], object]] = {
        "loop": lambda: usual_way(candidate, utterances, 1),
        "padded": lambda: usual_way(candidate, utterances, PADDED),
        "ours": lambda: run_through(candidate, utterances),
    }
    # what a short test leaves to chance, a long one averages
    rounds = 3 if full and built.seconds < ENOUGH_SECONDS else 1
    costs = benchmark.pedantic(least, args=(ways, rounds), rounds=1)
    length = sum(samples(utterance) for utterance in utterances) / SAMPLE_RATE
    speed_up = min(costs["loop"].wall, costs["padded"].wall) / costs["ours"].wall
    benchmark.extra_info.update(
        {
            "seconds_of_speech": length,
            "utterances": len(utterances),
            "threads": torch.get_num_threads(),
            "load": os.getloadavg()[0],
            "speed_up": speed_up,
            "cpu_speed_up": min(costs["loop"].cpu, costs["padded"].cpu) / costs["ours"].cpu,
            **{f"{name}_times_real_time": length / cost.wall for name, cost in costs.items()},
        }
    )
    if full and built.gated:
        assert speed_up >= SPEED_UP


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_overhead(task: str, full: bool, benchmark: BenchmarkFixture) -> None:
    """Scoring all layers by LogME and H-score, as a share of the forward pass alone."""
    name = "hubert-base" if full else "wav2vec2-tiny"
    _, candidate, utterances = heard(name, full)
    data = TaskData(task, "local", "0" * 12, utterances, [])
    estimators = ["logme", "h_score"]

    def gather() -> Prepared:
        return prepare(candidate, get_task(task), data, estimators)

    def score() -> None:
        prepared = gather()
        for layer in range(candidate.num_layers + 1):
            for estimator in estimators:
                prepared.score(layer, estimator)

    ways: dict[str, Callable[[], object]] = {
        "forward": lambda: run_through(candidate, utterances),
        "gather": gather,
        "score": score,
    }
    costs = benchmark.pedantic(least, args=(ways, 3 if full else 1), rounds=1)
    length = sum(samples(utterance) for utterance in utterances) / SAMPLE_RATE
    forward, gathering, all_of_it = costs["forward"], costs["gather"], costs["score"]
    share = {
        f"gathering_{kind}": getattr(gathering, kind) / getattr(forward, kind) - 1 for kind in Cost._fields
    }
    # scores take the same time however much speech there is
    scoring = {
        f"scoring_{kind}": (getattr(all_of_it, kind) - getattr(gathering, kind))
        / (getattr(forward, kind) * ENOUGH_SECONDS / length)
        for kind in Cost._fields
    }
    benchmark.extra_info.update({"seconds_of_speech": length, "load": os.getloadavg()[0], **share, **scoring})


_MEASURED = """
import json, resource, runpy, sys
bench, seconds, task = sys.argv[1:]
names = runpy.run_path(bench)
candidate = names["candidate_of"](names["SMALL"]["wav2vec2-tiny"])
found = names["speech"](600)
repeated = names["repeated"](found, float(seconds))
data = names["TaskData"](task, "local", "0" * 12, repeated, [])
names["prepare"](candidate, names["get_task"](task), data, ["logme", "h_score", "knn"])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def repeated(utterances: Sequence[Utterance], seconds: float) -> list[Utterance]:
    """Return utterances again and again, each time under other names, until they last so long."""
    once = sum(samples(utterance) for utterance in utterances) / SAMPLE_RATE
    return [
        Utterance(f"{each.id}-{time}", each.audio, "", each.speaker, each.emotion, phones=each.phones)
        for time in range(round(seconds / once))
        for each in utterances
    ]


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_memory(task: str, full: bool, benchmark: BenchmarkFixture) -> None:
    """The peak of resident memory on 10 minutes of speech and on 10 hours, each in a process of its own."""
    if not full or not SPEECH.is_dir():
        pytest.skip("takes minutes; asked for by --full")

    def peak(seconds: float) -> int:
        command = [sys.executable, "-P", "-c", _MEASURED, __file__, str(seconds), task]
        environment = os.environ | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}  # as the command sets it
        run = subprocess.run(command, check=True, capture_output=True, env=environment)
        return int(json.loads(run.stdout))

    short = peak(600)
    long = benchmark.pedantic(peak, args=(36_000,), rounds=1)
    benchmark.extra_info.update({"kilobytes": [short, long], "growth": long / short - 1})
    assert long / short - 1 < MEMORY_GROWTH
