"""Do estimators rank models as fine-tuning does?

A model's score is that of its last layer, as the ground truth fine-tunes whole encoders with a head on
the last layer. Two other policies, the best layer and the mean over layers, are recorded beside it,
but neither timed nor gated, and only of estimators that need no samples: those that do take longer, and
on all layers would double the time of the study.

Where models were also probed (frozen, a learned sum of all layers under a head), the same scores are
judged by that too. There the best layer is the default, since the sum can be any one of them; estimators
that need samples are judged by the last layer there as well.

What pytest-benchmark times is the estimator itself on the last layer of every model. `score_seconds`,
`fine_tune_seconds` and `cost_ratio` are as in `test_layers.py`, summed over the models; the statistics
counted are those of all layers of a model, so the last layer's true cost is a little lower.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from foretune.estimators import get_estimator
from foretune.gates import NO_GATE
from foretune.ground_truth import LEAST_CANDIDATES
from foretune.judging import POLICIES, Policy, default_policy, extra_info, over_models

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.gates import Gates
    from foretune.records import ScoreRecord
    from foretune.study import TaskStudy


def test_models(task_study: TaskStudy, estimator: str, gates: Gates, benchmark: BenchmarkFixture) -> None:
    by_each = {each: task_study.models(each) for each in task_study.model_protocols()}
    outcomes = {each: found for each, found in by_each.items() if len(found) >= LEAST_CANDIDATES}
    if not outcomes:
        pytest.skip(f"{max(map(len, by_each.values()))} models, too few for a ranking")
    features = {model: task_study.features(model) for model in sorted(set().union(*outcomes.values()))}

    def score_last_layers() -> dict[str, list[ScoreRecord]]:
        return {model: found.score(estimator, found.layers[-1:]) for model, found in features.items()}

    last = benchmark.pedantic(score_last_layers, rounds=1)
    last = {model: found.with_errors(last[model]) for model, found in features.items()}
    from_samples = not get_estimator(estimator).needs.isdisjoint({"samples", "source"})
    every = last if from_samples else {model: found.scores(estimator) for model, found in features.items()}
    policies: tuple[Policy, ...] = ("last",) if from_samples else POLICIES

    complaints = []
    agreements = []
    for protocol, found in outcomes.items():
        gated = "last" if from_samples else default_policy(protocol)
        gate = gates.of(task_study.task.name, "models", "all", estimator, protocol)
        for policy in policies:
            scores = last if policy == "last" else every
            applied = gate if policy == gated else NO_GATE
            agreement = over_models(task_study.task, scores, found, policy, applied)
            agreements.append(agreement)
            if not agreement.passed:
                complaint = gate.complaint(agreement.spearman, agreement.p_value, agreement.error)
                complaints.append(f"{protocol}: {complaint}")
    task_study.study.append(*itertools.chain(*every.values()), *agreements)
    benchmark.extra_info.update(extra_info(agreements[0]))
    if complaints:
        pytest.fail("; ".join(complaints), pytrace=False)
    if agreements[0].status == "failed":
        pytest.xfail(f"no score: {agreements[0].error}")
