"""Do estimators rank the layers of a model as fine-tuning does?

What pytest-benchmark times is the estimator itself on every layer, from statistics and samples that one
forward pass left, since all estimators of a model share that pass. `score_seconds` is what a user of
this estimator alone would pay: reading the speech and the forward pass, plus the statistics and samples
that it needs, plus that time. `fine_tune_seconds` is the wall time of fine-tuning the model cut after
each layer with one seed (the mean over seeds), and `cost_ratio` the latter over the former.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.ground_truth import LEAST_CANDIDATES
from foretune.judging import extra_info, over_layers

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.gates import Gates
    from foretune.study import TaskStudy


def test_layers(
    task_study: TaskStudy, model: str, estimator: str, gates: Gates, benchmark: BenchmarkFixture
) -> None:
    outcomes = task_study.layers(model)
    if len(outcomes) < LEAST_CANDIDATES:
        pytest.skip(f"{model} has {len(outcomes)} layers, too few for a ranking")
    features = task_study.features(model)
    scores = benchmark.pedantic(features.score, args=(estimator,), rounds=1)

    gate = gates.of(task_study.task.name, "layers", model, estimator)
    agreement = over_layers(task_study.task, scores, outcomes, gate)
    for record in (*scores, agreement):
        task_study.study.append(record)
    benchmark.extra_info.update(extra_info(agreement))
    if not agreement.passed:
        pytest.fail(gate.complaint(agreement.spearman, agreement.p_value, agreement.error), pytrace=False)
    if agreement.status == "failed":
        pytest.xfail(f"no score: {agreement.error}")
