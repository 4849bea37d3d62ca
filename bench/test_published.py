"""How well can published results of real models be told without any weights?

The models of SUPERB (public and hidden set), EmoBox and X-ARES are ranked by what tables say of them: size,
hours of pre-training, age, results on other tasks, on other speech, or without training. These are
the bar: an estimator that looks at features has to do better. Nothing here is timed, no weights are read.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from foretune.published import STATIC, Cell, cells, judge_cell

if TYPE_CHECKING:
    from foretune.records import PublishedRecord
    from foretune.study import Study

CELLS = {(cell.board.name, cell.task): cell for cell in cells()}
SUPERB_TASKS = [task for name, task in CELLS if name == "superb"]


@functools.cache
def _judged(name: str, task: str) -> dict[str, PublishedRecord]:
    cell: Cell = CELLS[name, task]
    return {ranker: judge_cell(cell.board, task, ranker, scores) for ranker, scores in cell.scores.items()}


@pytest.mark.parametrize(("board", "task"), CELLS)
def test_published(board: str, task: str, foretune_study: Study) -> None:
    for record in _judged(board, task).values():
        foretune_study.append(record)
        if record.low is not None and record.high is not None:
            assert record.low <= record.spearman <= record.high
        assert 0 <= record.regret_at_3 <= record.regret


@pytest.mark.parametrize("task", SUPERB_TASKS)
def test_published_bar(task: str) -> None:
    """Results on the other tasks rank models better than their size, speech or age do, on every task."""
    found = _judged("superb", task)

    assert found["other_tasks"].spearman == max(found[ranker].spearman for ranker in STATIC)
    assert found["other_tasks"].spearman > 0.7
    assert found["other_tasks"].p_value < 1e-3


@pytest.mark.parametrize("task", SUPERB_TASKS)
def test_published_size(task: str) -> None:
    """Size ranks the models of the whole board, and says nothing of those of one size."""
    assert _judged("superb", task)["parameters"].p_value < 0.05
    assert _judged("superb_base", task)["parameters"].p_value > 0.05
