"""Do estimators rank models as fine-tuning does?

A model's score is that of its last layer, as the ground truth fine-tunes whole encoders with a head on
the last layer. Two other policies, the best layer and the mean over layers, are recorded beside it,
but neither timed nor gated, and only of estimators that need no samples: those that do take seconds a
layer, and would double the time of the study.

What pytest-benchmark times is the estimator itself on the last layer of every model. `score_seconds`,
`fine_tune_seconds` and `cost_ratio` are as in `test_layers.py`, summed over the models; the statistics
counted are those of all layers of a model, so the last layer's true cost is a little lower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.estimators import get_estimator
from foretune.ground_truth import LEAST_CANDIDATES
from foretune.judging import DEFAULT_POLICY, POLICIES, extra_info, over_models

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.gates import Gates
    from foretune.records import ScoreRecord
    from foretune.study import TaskStudy


def test_models(task_study: TaskStudy, estimator: str, gates: Gates, benchmark: BenchmarkFixture) -> None:
    outcomes = task_study.models()
    if len(outcomes) < LEAST_CANDIDATES:
        pytest.skip(f"{len(outcomes)} models, too few for a ranking")
    features = {model: task_study.features(model) for model in outcomes}

    def score_last_layers() -> dict[str, list[ScoreRecord]]:
        return {model: found.score(estimator, found.layers[-1:]) for model, found in features.items()}

    last = benchmark.pedantic(score_last_layers, rounds=1)
    gate = gates.of(task_study.task.name, "models", "all", estimator)
    agreement = over_models(task_study.task, last, outcomes, DEFAULT_POLICY, gate)
    benchmark.extra_info.update(extra_info(agreement))

    from_samples = not get_estimator(estimator).needs.isdisjoint({"samples", "source"})
    every = last if from_samples else {model: found.scores(estimator) for model, found in features.items()}
    for records in every.values():
        for record in records:
            task_study.study.append(record)
    task_study.study.append(agreement)
    for policy in POLICIES:
        if policy != DEFAULT_POLICY and not from_samples:
            task_study.study.append(over_models(task_study.task, every, outcomes, policy))
    if not agreement.passed:
        pytest.fail(gate.complaint(agreement.spearman, agreement.p_value, agreement.error), pytrace=False)
    if agreement.status == "failed":
        pytest.xfail(f"no score: {agreement.error}")
