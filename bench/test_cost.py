"""What does scoring a candidate cost, and what does really fine-tuning it cost, on the same machine?

One candidate and two tasks, scored and fine-tuned with one seed side by side in one process, so that wall
and CPU seconds may be divided. Both are recorded, and RESULTS.md sets them side by side; the run takes no
part in the ground truth, which has its own. What pytest-benchmark times is scoring: reading speech, the
forward pass, and the estimators on the last layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.models import load_candidate
from foretune.records import provenance
from foretune.report.costs import one_pass, spent
from foretune.scoring import score_candidate
from foretune.tuning import fine_tune

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from foretune.study import Study

CANDIDATE = "speaker"
TASKS = ("speaker_identification", "keyword_spotting")
ESTIMATORS = ("logme", "held_out_evidence", "sliced_wasserstein")


@pytest.mark.parametrize("task_name", TASKS)
def test_cost(foretune_study: Study, task_name: str, benchmark: BenchmarkFixture) -> None:
    if provenance().place is None:
        pytest.skip("too little is known of this machine to compare seconds")
    task_study = foretune_study.tasks(task_name)
    task, data = task_study.task, task_study.data
    candidate = load_candidate(CANDIDATE, device=foretune_study.options.device)
    scores = benchmark.pedantic(
        score_candidate, args=(candidate, task, data, ESTIMATORS), kwargs={"layers": "last"}, rounds=1
    )
    run = fine_tune(candidate, task, data, layer=candidate.num_layers, protocol="full", seed=0)
    for record in (*scores, run):
        foretune_study.append(record)
    assert run.status == "done", run.error
    for score in scores:
        assert score.score is not None, score.error
        for what in ("wall", "cpu", "flops"):
            ratio = spent(run).over(one_pass([score]), what)
            assert ratio is not None, f"{score.estimator}: no ratio of {what}"
            benchmark.extra_info[f"{score.estimator} {what}"] = ratio
