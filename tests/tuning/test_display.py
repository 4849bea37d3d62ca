"""What a grid shows in a terminal while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from foretune.tuning import display
from foretune.tuning.planning import Run

FIRST = Run("asr", "folder/toy", "layer", 3, 0)
SECOND = Run("asr", "small", "layer", 0, 1)


@pytest.fixture
def terminal(monkeypatch):
    """Let the display think that it is in a terminal."""
    monkeypatch.setattr(display, "Console", lambda **_: Console(file=io.StringIO(), force_terminal=True))


def lines(shown):
    """Return the lines that stand there now."""
    paper = Console(file=io.StringIO(), width=120)
    paper.print(shown.bar.get_renderable())
    return paper.file.getvalue().splitlines()


@pytest.mark.usefixtures("terminal")
def test_updates_of_each_worker_have_a_line():
    with display.display(4, wanted=True) as shown:
        shown.settled([])
        (whole,) = lines(shown)
        assert "fine-tuning" in whole
        assert "0/4" in whole
        shown.updates(0, FIRST, 3, 10)
        shown.updates(1, SECOND, 7, 20)
        _, first, second = lines(shown)
        assert first.startswith("  toy layer 3 seed 0")
        assert " 3/10 " in first
        assert second.startswith("  small layer 0 seed 1")
        assert " 7/20 " in second
        shown.updates(0, SECOND, 1, 20)  # its next run
        _, first, _ = lines(shown)
        assert first.startswith("  small layer 0 seed 1")
        assert " 1/20 " in first
    assert [task.description for task in shown.bar.tasks] == ["fine-tuning"]


def test_outside_of_a_terminal_updates_are_no_lines(capsys):
    with display.display(4, wanted=True) as shown:
        shown.updates(0, FIRST, 3, 10)
    assert "toy" not in capsys.readouterr().err
