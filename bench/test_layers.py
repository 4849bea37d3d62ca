"""Do estimators rank the layers of a model as fine-tuning does?

What pytest-benchmark times is the estimator itself on every layer, from statistics and samples that one
forward pass left, since all estimators of a model share that pass. `score_seconds` is what a user of
this estimator alone would pay: reading the speech and the forward pass, plus the statistics and samples
that it needs, plus that time. `fine_tune_seconds` is the wall time of fine-tuning the model cut after
each layer with one seed (the mean over seeds), and `cost_ratio` the latter over the former.

Where layers were also fine-tuned each alone (`single-layer`), the same scores are judged by that too.
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
    outcomes = {each: task_study.layers(model, each) for each in task_study.layer_protocols(model)}
    most = max(map(len, outcomes.values()))
    if most < LEAST_CANDIDATES:
        pytest.skip(f"{model} has {most} layers, too few for a ranking")
    scores = benchmark.pedantic(task_study.features(model).score, args=(estimator,), rounds=1)

    scores = task_study.features(model).with_errors(scores)
    complaints = []
    agreements = []
    for protocol, found in outcomes.items():
        gate = gates.of(task_study.task.name, "layers", model, estimator, protocol)
        agreement = over_layers(task_study.task, scores, found, gate)
        agreements.append(agreement)
        if not agreement.passed:
            complaint = gate.complaint(agreement.spearman, agreement.p_value, agreement.error)
            complaints.append(f"{protocol}: {complaint}")
    task_study.study.append(*scores, *agreements)
    benchmark.extra_info.update(extra_info(agreements[0]))
    if complaints:
        pytest.fail("; ".join(complaints), pytrace=False)
    if agreements[0].status == "failed":
        pytest.xfail(f"no score: {agreements[0].error}")
