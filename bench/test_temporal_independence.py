"""How far does the temporal independence hypothesis bend the ranking of layers?

Frames of an utterance are taken as independent samples given their labels. They are not: neighbours share
speaker, room and sounds. Here the layers of a model are scored for speech recognition by frames, by every
so many frames, and by one sample for each label of each utterance (the mean of its frames, so that an
utterance cannot vote more than once for a label); the orders are compared with each other and with
fine-tuning. With `--full` also by sliced Wasserstein, on pooled frames and time step by time step, as the
paper defines it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats

from foretune.agreement import spearman
from foretune.alignment import Labelling
from foretune.estimators import Samples
from foretune.estimators.sliced_wasserstein import sliced_wasserstein, sliced_wasserstein_by_time
from foretune.extraction import extract
from foretune.models import load_candidate
from foretune.scoring import score_candidate
from foretune.tasks import get_task

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.study import Study

TASK = "asr"
WAYS = {
    "every frame": Labelling(),
    "every 2nd frame": Labelling(frame_stride=2),
    "every 4th frame": Labelling(frame_stride=4),
    "every 8th frame": Labelling(frame_stride=8),
    "means of utterances": Labelling(unit="utterance"),
}
QUICK = ("every frame", "every 8th frame", "means of utterances")
ESTIMATORS = ("logme", "held_out_evidence", "h_score")
UTTERANCES = 80
"""Of source and target each, whose frames sliced Wasserstein compares."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the ways; the first is what the others are compared with."""
    full = metafunc.config.getoption("full")
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", list(WAYS if full else QUICK))
    if "layered" in metafunc.fixturenames:
        metafunc.parametrize("layered", ["ctc", "hubert"] if full else ["ctc"])


@functools.cache
def scores(model: str, way: str) -> dict[str, tuple[float, ...]]:
    """Return the scores of all layers by estimator."""
    task = get_task(TASK)
    records = score_candidate(load_candidate(model), task, task.embedded(), ESTIMATORS, labelling=WAYS[way])
    return {name: tuple(float(r.score or 0.0) for r in records if r.estimator == name) for name in ESTIMATORS}


def test_frames(layered: str, way: str, foretune_study: Study, benchmark: BenchmarkFixture) -> None:
    """Layers by frames, by fewer frames, and by means over utterances."""
    outcomes = foretune_study.tasks(TASK).layers(layered)
    truth = [-outcomes[layer].value for layer in sorted(outcomes)]  # an error rate
    found = benchmark.pedantic(scores, args=(layered, way), rounds=1)
    frames = scores(layered, "every frame")
    for name in ESTIMATORS:
        assert np.isfinite(found[name]).all()
        held = spearman(found[name], truth)
        benchmark.extra_info[name] = {
            "spearman_with_frames": float(scipy.stats.spearmanr(found[name], frames[name]).statistic),
            "spearman": held.rho,
            "p_value": held.p_value,
        }
    benchmark.extra_info |= {"model": layered, "way": way}


def test_time_steps(layered: str, foretune_study: Study, benchmark: BenchmarkFixture, full: bool) -> None:
    """Layers by sliced Wasserstein, frames pooled and time step by time step."""
    if not full:
        pytest.skip("asked for by --full")
    data, candidate = get_task(TASK).embedded(), load_candidate(layered)
    outcomes = foretune_study.tasks(TASK).layers(layered)
    truth = [-outcomes[layer].value for layer in sorted(outcomes)]  # an error rate

    def frames(utterances: object) -> list[list[np.ndarray]]:
        """Return the frames of each utterance, (T, D), of each layer."""
        found: list[list[np.ndarray]] = [[] for _ in candidate.dimensions]
        for batch in extract(candidate, utterances):  # type: ignore[arg-type]
            for layer, states in enumerate(batch.states.layers):
                pairs = zip(states.numpy(), batch.states.lengths.tolist(), strict=True)
                found[layer] += [one[:length] for one, length in pairs]
        return found

    def compare() -> tuple[list[float], list[float]]:
        source, target = frames(data.source[:UTTERANCES]), frames(data.train[:UTTERANCES])
        pairs = list(zip(source, target, strict=True))
        pooled = [
            sliced_wasserstein(Samples.of(np.concatenate(x)), Samples.of(np.concatenate(y))) for x, y in pairs
        ]
        return pooled, [sliced_wasserstein_by_time(x, y) for x, y in pairs]

    pooled, by_time = benchmark.pedantic(compare, rounds=1)
    between = float(scipy.stats.spearmanr(pooled, by_time).statistic)
    benchmark.extra_info |= {
        "model": layered,
        "spearman_between": between,
        "pooled": spearman(pooled, truth).rho,
        "by_time": spearman(by_time, truth).rho,
    }


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the sizes are asked for that take minutes."""
    return bool(request.config.getoption("full"))
