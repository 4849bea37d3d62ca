"""Do the paper's correlations follow from its own numbers?

Chen et al., 2023 (arXiv:2306.01015) print ranks by fine-tuning and by each estimator, candidate by
candidate. Spearman's ρ of these is computed again, against the printed ranks and against the metric
itself: the Conformer's table gives layers 4 and 6 each other's rank, so the two differ there, and the
paper's own ρ, of two decimals, is that of the metric. Beside the paper's asymptotic p-values stand
exact ones. Nothing here is timed, and no weights are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from foretune.published import judge_paper
from foretune.tasks.published import chen2023

if TYPE_CHECKING:
    from foretune.records import PublishedRecord
    from foretune.study import Study

Recomputed = dict[tuple[str, str, str], "PublishedRecord"]

SPEARMAN = {
    ("conformer", "logme"): (0.870, 0.868),
    ("conformer", "sliced_wasserstein"): (0.809, 0.814),
    ("conformer", "tsne_distance"): (0.696, 0.694),
    ("hubert", "logme"): (0.944, 0.944),
    ("models", "logme"): (1.0, 1.0),
    ("models", "sliced_wasserstein"): (1.0, 1.0),
    ("models", "tsne_distance"): (0.943, 0.943),
}
"""By the printed ranks, and by the metric."""

COST_RATIO = {"logme": 2188, "sliced_wasserstein": 4853, "tsne_distance": 1882}
"""0.61 day of fine-tuning over 24.09, 10.86 and 28.01 s."""


@pytest.fixture(scope="module")
def recomputed(foretune_study: Study) -> Recomputed:
    """The paper's cells, computed again and recorded."""
    records = judge_paper()
    for record in records:
        foretune_study.append(record)
    return {
        (record.suite.removeprefix("chen2023_"), record.estimator, record.truth): record for record in records
    }


@pytest.mark.parametrize(("experiment", "ranker"), SPEARMAN)
def test_paper(recomputed: Recomputed, experiment: str, ranker: str) -> None:
    by_ranks, by_metric = (recomputed[experiment, ranker, truth] for truth in ("printed ranks", "metric"))

    found = (round(by_ranks.spearman, 3), round(by_metric.spearman, 3))
    assert found == SPEARMAN[experiment, ranker]
    assert by_ranks.exact
    assert by_metric.exact
    if by_metric.printed_spearman is not None:  # so the two ranks are a slip of the table alone
        assert round(by_metric.spearman, 2) == by_metric.printed_spearman
    if by_metric.printed_p_value is not None:  # the asymptotic p-values are too small, every one
        assert by_metric.p_value > by_metric.printed_p_value


@pytest.mark.parametrize("ranker", COST_RATIO)
def test_paper_cost(ranker: str) -> None:
    models = next(experiment for experiment in chen2023() if experiment.name == "models")
    ratio = models.claims[ranker].cost_ratio

    assert ratio is not None
    assert round(ratio) == COST_RATIO[ranker]
