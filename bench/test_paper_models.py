"""Do the paper's estimators rank models as in the paper, where its third experiment is rebuilt?

Whole models fine-tuned to keyword spotting (see `foretune.experiments`). RESULTS.md sets ρ beside the
paper's, and the time of each estimator beside that of fine-tuning. Scores that `test_models.py` has made are
not made again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.experiments import ESTIMATORS, REBUILT
from foretune.ground_truth import LEAST_CANDIDATES
from foretune.judging import extra_info, over_models

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.records import ScoreRecord
    from foretune.study import Study

EXPERIMENT = REBUILT["models"]


@pytest.mark.parametrize("task_name", EXPERIMENT.tasks)
@pytest.mark.parametrize("ranker", ESTIMATORS)
def test_paper_models(
    foretune_study: Study, task_name: str, ranker: str, benchmark: BenchmarkFixture
) -> None:
    if ranker not in foretune_study.estimator_names():
        pytest.skip(f"{ranker} was not asked for")
    task_study = foretune_study.tasks(task_name)
    if len(task_study.ground_truth_by(EXPERIMENT.protocol).models()) < LEAST_CANDIDATES:
        pytest.skip(f"too few models were fine-tuned for {task_name}")
    outcomes = task_study.models(EXPERIMENT.protocol)
    features = {model: task_study.features(model) for model in outcomes}

    def score_last_layers() -> dict[str, list[ScoreRecord]]:
        return {model: found.scores(ranker, found.layers[-1:]) for model, found in features.items()}

    scores = benchmark.pedantic(score_last_layers, rounds=1)
    agreement = over_models(task_study.task, scores, outcomes)
    benchmark.extra_info.update(extra_info(agreement))
    assert agreement.status == "done", agreement.error
