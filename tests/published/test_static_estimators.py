"""Static estimators on published results, intervals, user's scores, and the records of it all."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from foretune.agreement import UNTIED_TO, exact_p_value, spearman
from foretune.published import (
    LEAST_FOR_INTERVAL,
    STATIC,
    cells,
    interval,
    judge,
    judge_cell,
    judge_paper,
    of_models,
    single_tasks,
    static_scores,
)
from foretune.records import PublishedRecord, append, read
from foretune.tasks.errors import InputError
from foretune.tasks.published import Entry, Leaderboard, Metric, superb, xares


def board(*entries: Entry) -> Leaderboard:
    metrics = {
        "PR": Metric("PR", "PER", "%", "lower"),
        "ER": Metric("ER", "accuracy", "%", "higher"),
        "KS": Metric("KS", "accuracy", "%", "higher"),
    }
    return Leaderboard("small", "a small board", metrics, entries, "0" * 12)


SMALL = board(
    Entry("old", {"PR": 30.0, "ER": 50.0, "KS": 90.0}, parameters=1, hours=960, published="1904"),
    Entry(
        "new", {"PR": 5.0, "ER": 70.0, "KS": 80.0}, "me/new", parameters=90, hours=94_000, published="2110"
    ),
    Entry("middle", {"PR": 10.0, "ER": 60.0, "KS": 95.0}, parameters=300, hours=960, published="2006"),
)


class TestStaticScores:
    def test_by_hand(self) -> None:
        scores = static_scores(SMALL, "PR")

        assert list(scores) == list(STATIC)
        assert scores["parameters"] == [1, 90, 300]
        assert scores["pretraining_hours"] == [960, 94_000, 960]
        assert scores["publication"] == [1904, 2110, 2006]
        # ER ranks 1 3 2, KS ranks 2 1 3
        assert scores["other_tasks"] == [1.5, 2.0, 2.5]

    def test_the_task_itself_is_left_out(self) -> None:
        changed = board(*(Entry(e.model, {**e.values, "PR": 50.0 - e.values["PR"]}) for e in SMALL.entries))

        assert static_scores(changed, "PR")["other_tasks"] == static_scores(SMALL, "PR")["other_tasks"]
        assert static_scores(changed, "ER")["other_tasks"] != static_scores(SMALL, "ER")["other_tasks"]

    def test_what_is_not_known_of_all_models_is_no_estimator(self) -> None:
        nameless = Entry("nameless", {"PR": 1.0, "ER": 1.0, "KS": 1.0})
        scores = static_scores(board(*SMALL.entries, nameless), "ER")

        assert list(scores) == ["publication", "other_tasks"]
        assert scores["publication"][-1] == 0  # without a paper: oldest
        assert list(static_scores(board(nameless, nameless), "ER")) == ["other_tasks"]

    def test_single_tasks_are_turned(self) -> None:
        assert single_tasks(SMALL, "ER") == {"PR": [-30, -5, -10], "KS": [90, 80, 95]}

    def test_of_models_keeps_the_given_order(self) -> None:
        assert of_models(SMALL, "PR", ["new", "old"]) == [-5, -30]

    def test_unknown_task(self) -> None:
        with pytest.raises(InputError, match="small: no task SID"):
            static_scores(SMALL, "SID")


class TestJudge:
    def test_by_hand(self) -> None:
        record = judge_cell(SMALL, "PR", "parameters", [1, 90, 300])

        # goodness -30 -5 -10 has ranks 1 3 2, parameters 1 2 3: rho = 1 - 6·2/24
        assert record.spearman == pytest.approx(0.5)
        assert (record.p_value, record.exact, record.candidates) == (1.0, True, 3)
        assert record.regret == 5.0  # the largest has PER 10, the best 5
        assert record.regret_at_3 == 0.0
        assert record.regret_by_chance == pytest.approx(10.0)  # the mean PER is 15
        assert (record.low, record.high) == (None, None)
        assert (record.suite, record.metric, record.unit) == ("small", "PER", "%")

    def test_scores_of_a_users_own_models_by_name_or_hub_id(self) -> None:
        by_name = judge(SMALL, "ER", "mine", {"old": 0.1, "new": 0.9, "middle": 0.5})
        by_id = judge(SMALL, "ER", "mine", {"middle": 0.5, "me/new": 0.9, "old": 0.1})

        assert by_name.spearman == by_id.spearman == 1.0
        assert judge(SMALL, "ER", "mine", {"old": 0.1, "me/new": 0.9}).candidates == 2

    def test_hub_ids_of_superb(self) -> None:
        scores = {"facebook/hubert-base-ls960": 1.0, "microsoft/wavlm-large": 3.0, "HuBERT Large": 2.0}

        assert judge(superb(), "ER", "mine", scores).spearman == 1.0

    @pytest.mark.parametrize(
        ("scores", "message"),
        [
            ({"old": 1.0, "other": 2.0}, "small: no model other"),
            ({"new": 1.0, "me/new": 2.0}, "two scores of new"),
            ({"old": 1.0}, "at least two"),
            ({"old": 1.0, "new": math.nan}, "NaN"),
        ],
    )
    def test_refused(self, scores: dict[str, float], message: str) -> None:
        with pytest.raises(InputError, match=message):
            judge(SMALL, "ER", "mine", scores)

    def test_cells_are_complete(self) -> None:
        found = cells()

        assert len({(cell.board.name, cell.task) for cell in found}) == len(found) == 77
        for cell in found:
            assert all(len(scores) == len(cell.board.entries) for scores in cell.scores.values())

    def test_knn_of_xares_is_in_the_order_of_the_heads(self) -> None:
        cell = next(cell for cell in cells() if (cell.board.name, cell.task) == ("xares_mlp", "esc_50"))
        neighbours = {entry.model: entry.values["esc_50"] for entry in xares("knn").entries}

        assert list(cell.scores["knn"]) == [neighbours[model] for model in cell.board.models]

    def test_records_come_back(self, tmp_path: Path) -> None:
        record = judge_cell(SMALL, "PR", "parameters", [1, 90, 300])
        append(tmp_path / "records.jsonl", record)

        assert read(tmp_path / "records.jsonl") == [record]
        assert isinstance(record, PublishedRecord)
        assert record.key == ("small", "PR", "models", "all", "parameters", "metric")


class TestInterval:
    def test_it_is_that_of_a_naive_bootstrap(self) -> None:
        rng = np.random.default_rng(3)
        x = rng.normal(size=15)
        y = x + rng.normal(size=15)
        y[3] = y[4]  # a tie
        drawn = np.random.default_rng(0).integers(15, size=(1_000, 15))
        naive = [scipy.stats.spearmanr(x[row], y[row]).statistic for row in drawn[:1_000]]

        assert interval(x, y) == pytest.approx(np.quantile(naive, [0.025, 0.975]).tolist(), rel=1e-9)

    def test_a_perfect_ranking_stays_perfect(self) -> None:
        assert interval(range(12), range(12)) == pytest.approx((1.0, 1.0))

    def test_it_covers_no_correlation_of_unrelated_rankings(self) -> None:
        rng = np.random.default_rng(5)
        covered = 0
        for _ in range(100):
            low, high = interval(rng.normal(size=30), rng.normal(size=30))
            assert low is not None
            assert high is not None
            covered += low <= 0 <= high
        assert 85 <= covered <= 100

    def test_limits(self) -> None:
        few = range(LEAST_FOR_INTERVAL - 1)
        assert interval(few, few) == (None, None)
        assert interval([1.0] * 12, range(12)) == (None, None)
        # mostly ties: draws in which all are the same do not count
        low, high = interval([0.0] * 11 + [1.0], range(12))
        assert low is not None
        assert high == pytest.approx(1.0, abs=0.5)

    def test_seeds_and_levels(self) -> None:
        x, y = np.arange(20), np.arange(20)[::-1] + 8 * (np.arange(20) % 3)
        assert interval(x, y) == interval(x, y)
        assert interval(x, y) != interval(x, y, seed=1)
        wide, narrow = interval(x, y), interval(x, y, level=0.5)
        assert wide[0] is not None
        assert wide[1] is not None
        assert narrow[0] is not None
        assert narrow[1] is not None
        assert wide[0] < narrow[0] < narrow[1] < wide[1]


class TestExactPValue:
    @pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 9])
    def test_it_counts_all_permutations(self, n: int) -> None:
        rng = np.random.default_rng(n)
        for _ in range(8):
            x, y = rng.normal(size=n), rng.normal(size=n)
            assert exact_p_value(x, y) == pytest.approx(spearman(x, y).p_value, rel=1e-12)

    def test_by_hand(self) -> None:
        # Σd² of 1 2 3 4 and 2 1 4 3 is 4; of the 24 orders 1 has 0, 3 have 2, 1 has 4, and so mirrored
        squares = [
            sum((i - p) ** 2 for i, p in enumerate(order)) for order in itertools.permutations(range(4))
        ]
        assert sum(square <= 4 for square in squares) == 5
        assert exact_p_value([1, 2, 3, 4], [2, 1, 4, 3]) == 10 / 24

    def test_beyond_what_spearman_counts(self) -> None:
        n = UNTIED_TO
        assert exact_p_value(range(n), range(n)) == 2 / math.factorial(n)
        swapped = [1, 0, *range(2, n)]  # one of n - 1 exchanges of neighbours
        assert exact_p_value(range(n), swapped) == pytest.approx(2 * n / math.factorial(n), rel=1e-12)
        assert exact_p_value(range(n), [-value for value in swapped]) == exact_p_value(range(n), swapped)

    def test_it_agrees_with_random_permutations(self) -> None:
        rng = np.random.default_rng(1)
        x = rng.normal(size=15)
        y = x + rng.normal(size=15)
        drawn = spearman(x, y)
        assert exact_p_value(x, y) == pytest.approx(drawn.p_value, abs=5 * drawn.p_value_error + 1e-5)

    def test_no_correlation_at_all(self) -> None:
        assert (
            exact_p_value([1, 2, 3, 4, 5], [1, 4, 5, 2, 3])
            == spearman([1, 2, 3, 4, 5], [1, 4, 5, 2, 3]).p_value
        )
        assert exact_p_value([1, 2, 3, 4], [2, 4, 1, 3]) == 1.0  # ρ = 0

    @pytest.mark.parametrize(
        ("x", "y"), [([1, 1, 2], [1, 2, 3]), ([1, 2, 3], [2, 2, 1]), (range(19), range(19))]
    )
    def test_ties_and_too_many_are_refused(self, x: list[float], y: list[float]) -> None:
        with pytest.raises(InputError, match="up to 18 candidates without ties"):
            exact_p_value(x, y)


def test_the_paper_is_recomputed() -> None:
    found = {(record.suite, record.estimator, record.truth): record for record in judge_paper()}

    assert len(found) == 14
    logme = found["chen2023_hubert", "logme", "printed ranks"]
    assert round(logme.spearman, 3) == 0.944
    assert logme.setting == "layers"
    assert logme.model == "HuBERT Base"
    models = found["chen2023_models", "tsne_distance", "metric"]
    assert models.p_value == pytest.approx(1 / 60)  # 12 of 720 orders
    assert models.regret == pytest.approx(96.78 - 95.94)  # HuBERT is chosen, VGGish is best
