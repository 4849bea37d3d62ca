"""Do the paper's estimators rank layers as in the paper, where its first two experiments are rebuilt?

Layers of an English Conformer RNN-T, each adapted alone to seven other languages, together and one by one;
and layers of HuBERT, each adapted alone to phoneme recognition (see `foretune.experiments`). RESULTS.md
sets ρ beside the paper's. Scores that `test_layers.py` has made are not made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.experiments import ESTIMATORS, REBUILT
from foretune.judging import extra_info, over_layers

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.gates import Gates
    from foretune.study import Study

EXPERIMENT = {
    task: experiment
    for experiment in REBUILT.values()
    if experiment.setting == "layers"
    for task in experiment.tasks
}


@pytest.mark.parametrize("task_name", EXPERIMENT)
@pytest.mark.parametrize("ranker", ESTIMATORS)
def test_paper_layers(
    foretune_study: Study, task_name: str, ranker: str, gates: Gates, benchmark: BenchmarkFixture
) -> None:
    if ranker not in foretune_study.estimator_names():
        pytest.skip(f"{ranker} was not asked for")
    task_study = foretune_study.tasks(task_name)
    model, protocol = EXPERIMENT[task_name].model, EXPERIMENT[task_name].protocol
    if model not in task_study.ground_truth_by(protocol).models():
        pytest.skip(f"no layer of {model} was fine-tuned for {task_name} by the protocol {protocol}")
    outcomes = task_study.layers(model, protocol)
    scores = benchmark.pedantic(task_study.features(model).scores, args=(ranker,), rounds=1)

    gate = gates.of(task_name, "layers", model, ranker, protocol)
    agreement = over_layers(task_study.task, scores, outcomes, gate)
    for record in (*scores, agreement):
        foretune_study.append(record)
    benchmark.extra_info.update(extra_info(agreement))
    if not agreement.passed:
        pytest.fail(gate.complaint(agreement.spearman, agreement.p_value, agreement.error), pytrace=False)
