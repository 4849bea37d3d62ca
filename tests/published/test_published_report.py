"""The section of RESULTS.md on published results."""

from __future__ import annotations

import numpy as np
import pytest

from foretune.published import cells, judge, judge_cell, judge_paper
from foretune.records import PublishedRecord
from foretune.report.published import section


@pytest.fixture(scope="module")
def records() -> list[PublishedRecord]:
    boards = ("superb_base", "superb_both", "emobox", "emobox_superb", "xares_mlp")
    found = [
        judge_cell(cell.board, cell.task, name, scores)
        for cell in cells()
        if cell.board.name in boards and cell.task in {"PR", "ASR", "savee", "esc_50"}
        for name, scores in cell.scores.items()
    ]
    return [*judge_paper(), *found]


def test_without_records_there_is_no_section() -> None:
    assert section([]) == []


def test_the_paper_beside_exact_p_values(records: list[PublishedRecord]) -> None:
    text = "\n".join(section(records))
    row = next(line for line in text.splitlines() if "Conformer" in line and "logme" in line)

    cells_ = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells_[1:] == ["logme", "17", "0.87", "0.870", "0.868", "6e-06", "1.5e-05", "1.7e-05"]
    assert "2,188" in text
    assert "4,853" in text


def test_the_same_bytes_in_whatever_order_records_came(records: list[PublishedRecord]) -> None:
    shuffled = [records[i] for i in np.random.default_rng(0).permutation(len(records))]

    assert section(shuffled) == section(records)


def test_tables_hold_what_was_recorded(records: list[PublishedRecord]) -> None:
    text = "\n".join(section(records))
    base = next(r for r in records if (r.suite, r.task, r.estimator) == ("superb_base", "PR", "parameters"))

    assert f"{base.spearman:.2f} [{base.low:.2f}, {base.high:.2f}], p 0.13" in text
    assert "### SUPERB, the 11 models" in text
    assert f"| {base.regret:.2f} |" in " ".join(text.split())
    assert "With 4 models no p can be below 0.083" in text
    assert "| savee" in text


def test_scores_of_a_users_own_models_join_the_table(records: list[PublishedRecord]) -> None:
    mine = {"facebook/hubert-base-ls960": 0.1, "microsoft/wavlm-base": 0.4, "microsoft/wavlm-base-plus": 0.5}
    base = next(cell.board for cell in cells() if cell.board.name == "superb_base")
    text = "\n".join(section([*records, judge(base, "PR", "logme", mine)]))

    assert "logme (3 models)" in text
    row = next(line for line in text.splitlines() if line.startswith("| PR "))
    assert row.rstrip(" |").endswith("1.00, p 0.33")
    assert "### SUPERB, the 11 models" in text


def test_only_what_is_there_is_shown(records: list[PublishedRecord]) -> None:
    paper = [record for record in records if record.suite.startswith("chen2023")]

    assert "### SUPERB" not in "\n".join(section(paper))
    assert "### The paper's own numbers" not in "\n".join(section([r for r in records if r not in paper]))
