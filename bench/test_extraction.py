"""What a forward pass over speech costs: against what most scripts do, with scoring on top, and in memory.

By default tiny encoders on noise, which takes a moment; `--full` builds encoders of real size from their
configurations (random weights: speed does not depend on them) and plays them real speech of mixed lengths,
from a folder beside the repository (some minutes; skipped where there is none). With `--full --device cuda`
they run on a GPU, in float32 and under bfloat16 autocast, in a minute: on ten minutes of speech, of large
encoders on four, or on noise of the same lengths where there is no speech, which costs the same. There, too,
is told which part of the rate of a bare matrix product each way reaches.

All sides of a comparison run in turn, in one process, and each counts by its fastest round; the ratios are in
`extra_info`.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from foretune.extraction import default_batch_seconds, extract, samples
from foretune.flops import counter
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


LENGTHS = (
    0.9,
    1.2,
    1.4,
    1.5,
    1.6,
    1.7,
    1.7,
    1.8,
    1.8,
    1.9,
    2.0,
    2.0,
    2.1,
    2.3,
    2.5,
    2.8,
    3.2,
    3.5,
    3.8,
    4.5,
    7.5,
)
"""Seconds of the utterances in half an hour of that real speech: their quantiles, in steps of a twentieth."""

PRODUCT = 8192
"""Rows and columns of the matrices whose product is the measure of a GPU's rate."""

ENOUGH_TO_TIME = 2.0
"""Seconds on a GPU after which no further round of a comparison is begun."""


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
    "wav2vec2-large": Encoder("wav2vec2", _LARGE | _STABLE, 24),
    # every utterance is a window of 30 s to it, so that there is nothing to gain by batches
    "whisper-base": Encoder("whisper", _WHISPER, 24, gated=False),
    "hubert-base": Encoder("hubert", {}, 60),  # last: what scores add is measured of it, too
}
ACCELERATED_SECONDS = {"wav2vec2-base": 600, "hubert-base": 600, "wav2vec2-large": 240, "whisper-base": 240}
"""What a GPU is played."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the encoders."""
    full = metafunc.config.getoption("full")
    if "encoder" in metafunc.fixturenames:
        metafunc.parametrize("encoder", list(FULL if full else SMALL))
    if "dtype" in metafunc.fixturenames:
        # half precision is no gain on most CPUs: there the small encoders show that it runs
        slow = full and metafunc.config.getoption("device") == "cpu"
        metafunc.parametrize("dtype", ["float32"] if slow else ["float32", "bfloat16"])


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where the encoders run."""
    name = request.config.getoption("device")
    if str(name).startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA")
    return torch.device(name)


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the sizes are those that claims are made for."""
    return bool(request.config.getoption("full"))


def candidate_of(encoder: Encoder, device: str = "cpu") -> Candidate:
    """Return an encoder with random weights on a device."""
    from transformers import AutoConfig, AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = AutoModel.from_config(
            AutoConfig.for_model(encoder.kind, **encoder.settings)
        ).eval()
    candidate: Candidate
    if encoder.kind == "whisper":
        candidate = WhisperCandidate(encoder.kind, module, Card(encoder.kind))
    else:
        candidate = ConvolutionalCandidate(encoder.kind, module, Card(encoder.kind), normalise=True)
    candidate.module.to(device)  # what it has to find out by trying, it has found out on the CPU
    return candidate


@functools.lru_cache(maxsize=1)
def kept(name: str, device: str) -> Candidate:
    """Return an encoder of real size, which takes seconds to make; the last one is kept."""
    return candidate_of(FULL[name], device)


def noise_like_speech(seconds: float) -> list[Any]:
    """Return waveforms of noise, as long as utterances of real speech, that last so long together."""
    rng = np.random.default_rng(0)
    audios: list[Any] = []
    total = 0.0
    while total < seconds:
        length = np.interp(rng.uniform(0, len(LENGTHS) - 1), np.arange(len(LENGTHS)), LENGTHS)
        audios.append(rng.integers(-9_000, 9_000, int(length * SAMPLE_RATE)).astype(np.int16))
        total += length
    return audios


def speech(seconds: float) -> list[Utterance]:
    """Return speech with labels for both kinds of tasks.

    Real speech, files drawn at random; where there is none, noise of such lengths; for 0 s, a little noise.
    """
    rng = np.random.default_rng(0)
    if seconds == 0:
        audios: list[Any] = [
            rng.integers(-9_000, 9_000, length).astype(np.int16)
            for length in rng.integers(SAMPLE_RATE, 3 * SAMPLE_RATE, 12)
        ]
    elif not SPEECH.is_dir():
        audios = noise_like_speech(seconds)
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


def heard(name: str, full: bool, device: torch.device) -> tuple[Encoder, Candidate, list[Utterance]]:
    """Return an encoder and what it is played; on a CPU, skip where there is no speech."""
    if not full:
        return SMALL[name], candidate_of(SMALL[name], str(device)), speech(0)
    if device.type == "cpu":
        if not SPEECH.is_dir():
            pytest.skip(f"no speech in {SPEECH}")
        return FULL[name], candidate_of(FULL[name]), speech(FULL[name].seconds)
    return FULL[name], kept(name, str(device)), speech(ACCELERATED_SECONDS[name])


def synchronise(device: torch.device) -> None:
    """Wait for what a device is at work on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def precision(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    """Return the context that scripts compute in."""
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, dtype=getattr(torch, dtype))


class Cost(NamedTuple):
    """Seconds on the clock, and of all cores together."""

    wall: float
    cpu: float


def least(
    ways: dict[str, Callable[[], object]], rounds: int, device: torch.device, enough: float = float("inf")
) -> dict[str, Cost]:
    """Return what each way costs in its best round, all in turn; none is begun after `enough` seconds."""
    costs = dict.fromkeys(ways, Cost(float("inf"), float("inf")))
    start = time.perf_counter()
    for number in range(rounds):
        if number > 0 and time.perf_counter() - start > enough:
            break
        for name, way in ways.items():
            synchronise(device)
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            synchronise(device)
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


def usual_way(
    candidate: Candidate, utterances: Sequence[Utterance], batch: int, dtype: str = "float32"
) -> None:
    """Run the module as scripts do: batches of so many files in their order, all hidden states asked for."""
    module: Any = candidate.module
    with torch.no_grad(), precision(candidate.device, dtype):
        for start in range(0, len(utterances), batch):
            inputs = usual_inputs(candidate, utterances[start : start + batch])
            on_device = {key: value.to(candidate.device) for key, value in inputs.items()}
            module(**on_device, output_hidden_states=True)


def run_through(candidate: Candidate, utterances: Sequence[Utterance], dtype: str = "float32") -> None:
    """Run the module our way, and drop what it gives."""
    for _ in extract(candidate, utterances, dtype=dtype):
        pass


def peak_rate(device: torch.device, dtype: str, size: int) -> float:
    """Return the operations a second of a bare matrix product, at its best of ten."""
    one, other = (torch.rand(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    return 2 * size**3 / least({"product": lambda: one @ other}, 10, device)["product"].wall


def useful_operations(candidate: Candidate, utterances: Sequence[Utterance]) -> float:
    """Return the operations of one forward pass over speech, padded only as the encoder asks for.

    Counted of two lengths of noise; between and beyond them as the length and its square. Whatever a way
    computes on top of that counts as time lost.
    """
    module: Any = candidate.module

    def counted(seconds: float) -> float:
        noise = np.random.default_rng(0).integers(-9_000, 9_000, int(seconds * SAMPLE_RATE)).astype(np.int16)
        inputs = usual_inputs(candidate, [Utterance("noise", noise)])
        on_device = {key: value.to(candidate.device) for key, value in inputs.items()}
        with torch.no_grad():
            with counter() as seen:
                module(**on_device)
            return float(seen.get_total_flops())

    short, long = 2.0, 8.0
    lengths = [samples(utterance) / SAMPLE_RATE for utterance in utterances]
    of_short, of_long = counted(short), counted(long)
    if isinstance(candidate, WhisperCandidate):  # always half a minute
        return of_short * len(lengths)
    by_square = (of_long / long - of_short / short) / (long - short)
    by_length = of_short / short - by_square * short
    return sum(by_length * length + by_square * length**2 for length in lengths)


def described(utterances: Sequence[Utterance]) -> str:
    """Return what an encoder is played, in words."""
    length = sum(samples(utterance) for utterance in utterances) / SAMPLE_RATE
    of_files = not isinstance(utterances[0].audio, np.ndarray)
    return (
        f"{length:.0f} s of {'real speech' if of_files else 'seeded noise'} in {len(utterances)} utterances"
    )


def named(device: torch.device) -> str:
    """Return what a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def test_speed(  # noqa: PLR0917 (fixtures)
    encoder: str,
    dtype: str,
    full: bool,
    device: torch.device,
    tell: Callable[[str], None],
    benchmark: BenchmarkFixture,
) -> None:
    """A plain loop, padded batches, and ours, side by side."""
    built, candidate, utterances = heard(encoder, full, device)
    accelerated = device.type != "cpu"

    def ways_through(heard: Sequence[Utterance]) -> dict[str, Callable[[], object]]:
        return {
            "loop": lambda: usual_way(candidate, heard, 1, dtype),
            "padded": lambda: usual_way(candidate, heard, PADDED, dtype),
            "ours": lambda: run_through(candidate, heard, dtype),
        }

    if accelerated:  # kernels are loaded, and chosen, when they are first called
        for way in ways_through(utterances[: 4 * PADDED]).values():
            way()
        synchronise(device)
    # what a short test leaves to chance, a long one averages
    rounds = 3 if accelerated or (full and built.seconds < ENOUGH_SECONDS) else 1
    enough = ENOUGH_TO_TIME if accelerated else float("inf")
    costs = benchmark.pedantic(least, args=(ways_through(utterances), rounds, device, enough), rounds=1)
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
            "played": described(utterances),
            "device": named(device),
            "dtype": dtype,
            "batch_seconds": default_batch_seconds(candidate),
            **{f"{name}_seconds": cost.wall for name, cost in costs.items()},
            **{f"{name}_times_real_time": length / cost.wall for name, cost in costs.items()},
        }
    )
    line = f"{encoder} {dtype}, {described(utterances)}, {named(device)}: "
    line += ", ".join(f"{name} {cost.wall:.3f} s" for name, cost in costs.items())
    tell(f"{line}; ours is {speed_up:.2f} times as fast as the faster other way")
    if accelerated or not full:  # half a minute of one core for a share that is known there
        peak = peak_rate(device, dtype, PRODUCT if accelerated else 256)
        operations = useful_operations(candidate, utterances)
        shares = {f"{name}_share_of_peak": operations / cost.wall / peak for name, cost in costs.items()}
        benchmark.extra_info.update({"peak_flops": peak, "useful_flops": operations, **shares})
        line = ", ".join(f"{name} {shares[f'{name}_share_of_peak']:.1%}" for name in costs)
        tell(f"{encoder} {dtype}: of {peak / 1e12:.3g} TFLOPS of a matrix product, {line}")
    if full and built.gated and dtype == "float32":
        assert speed_up >= SPEED_UP


@pytest.mark.parametrize("task", ["emotion_recognition", "asr"])
def test_overhead(  # noqa: PLR0917 (fixtures)
    task: str,
    dtype: str,
    full: bool,
    device: torch.device,
    tell: Callable[[str], None],
    benchmark: BenchmarkFixture,
) -> None:
    """Scoring all layers by LogME and H-score, as a share of the forward pass alone."""
    name = "hubert-base" if full else "wav2vec2-tiny"
    _, candidate, utterances = heard(name, full, device)
    data = TaskData(task, "local", "0" * 12, utterances, [])
    estimators = ["logme", "h_score"]

    def gather() -> Prepared:
        return prepare(candidate, get_task(task), data, estimators, dtype=dtype)

    def score() -> None:
        prepared = gather()
        for layer in range(candidate.num_layers + 1):
            for estimator in estimators:
                prepared.score(layer, estimator)

    ways: dict[str, Callable[[], object]] = {
        "forward": lambda: run_through(candidate, utterances, dtype),
        "gather": gather,
        "score": score,
    }
    accelerated = device.type != "cpu"
    if accelerated:
        gather()
        scoring_last = {"score": ways.pop("score")}  # it takes longer than both, on the CPU
        costs = benchmark.pedantic(least, args=(ways, 4, device, ENOUGH_TO_TIME), rounds=1)
        # and just as long whatever the precision
        costs |= least(scoring_last, 1, device) if dtype == "float32" else {"score": costs["gather"]}
    else:
        costs = benchmark.pedantic(least, args=(ways, 3 if full else 1, device), rounds=1)
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
    benchmark.extra_info.update(
        {
            "seconds_of_speech": length,
            "load": os.getloadavg()[0],
            "played": described(utterances),
            "device": named(device),
            "dtype": dtype,
            **{f"{way}_seconds": cost.wall for way, cost in costs.items()},
            **share,
            **scoring,
        }
    )
    scored = (
        f"of {ENOUGH_SECONDS} s {scoring['scoring_wall']:+.1%}"
        if costs["score"] is not gathering
        else "(not timed)"
    )
    tell(
        f"{name} {dtype}, {task}, {described(utterances)}, {named(device)}: forward {forward.wall:.3f} s, "
        f"statistics of all layers {share['gathering_wall']:+.1%}, scores {scored} on top"
    )


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
def test_memory(task: str, full: bool, device: torch.device, benchmark: BenchmarkFixture) -> None:
    """The peak of resident memory on 10 minutes of speech and on 10 hours, each in a process of its own."""
    if not full or not SPEECH.is_dir() or device.type != "cpu":
        pytest.skip("takes minutes; asked for by --full, of the host's memory, with real speech")

    def peak(seconds: float) -> int:
        command = [sys.executable, "-P", "-c", _MEASURED, __file__, str(seconds), task]
        environment = os.environ | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"}  # as the command sets it
        run = subprocess.run(command, check=True, capture_output=True, env=environment)
        return int(json.loads(run.stdout))

    short = peak(600)
    long = benchmark.pedantic(peak, args=(36_000,), rounds=1)
    benchmark.extra_info.update({"kilobytes": [short, long], "growth": long / short - 1})
    assert long / short - 1 < MEMORY_GROWTH
