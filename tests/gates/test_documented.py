"""The page on gates: its states, limits and options are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from foretune.gates import ALLOWABLE, DEFAULT_LIMITS, SHORTEST, Limits
from foretune.gates.limits import INTERVALS, MEASURES

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")


def first_cells(title):
    """Return the first cells of the table whose first column has a title, without backticks."""
    lines = PAGE.partition(f"| {title} |")[2].splitlines()[2:]
    rows = lines[: next(number for number, line in enumerate(lines) if not line.startswith("|"))]
    return [row.split("|")[1].strip().strip("`") for row in rows]


def test_states():
    assert first_cells("state") == list(ALLOWABLE)


def test_limits_and_measures():
    examples = first_cells("limit")
    assert len(Limits.parse(examples).limits) == len(examples)
    assert list(DEFAULT_LIMITS) == examples[:1]
    assert [
        name for name in (*MEASURES, *INTERVALS) if f"`{name}`" not in PAGE and name not in examples[4]
    ] == []
    assert f"{SHORTEST} s" in PAGE


def test_options(run, request):
    code, known, _ = run("compare", "--help")
    assert code == 0
    calls = re.findall(r"\$ foretune compare (.*)", PAGE)
    assert calls
    used = {option for call in calls for option in re.findall(r"--[a-z-]+", call)} | {
        "--allow",
        "--json",
        "--shortest",
    }
    assert [option for option in used if option not in known] == []
    for option in ("gate_against", "gate_limits", "gate_allow"):
        assert f"--{option.replace('_', '-')}" in PAGE
        assert hasattr(request.config.option, option)
