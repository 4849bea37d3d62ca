"""The pytest plugin: options of the study, and one fixture per task.

It loads in every pytest session of whoever has foretune installed, so it imports nothing heavy
(neither torch nor the tasks) until a fixture is asked for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

DEFAULT_RECORDS = Path("results/records/embedded.jsonl")
"""Where scores and agreements go, relative to pytest's root folder."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the study."""
    group = parser.getgroup("foretune", "transferability estimation of pre-trained speech models")
    group.addoption(
        "--suite",
        default="embedded",
        choices=["embedded"],
        help="the data that tasks are made from (default: embedded, synthetic speech made on the fly)",
    )
    group.addoption(
        "--models",
        default=None,
        metavar="NAME,...",
        help="only these candidates (default: all that the ground truth has)",
    )
    group.addoption(
        "--estimators",
        default=None,
        metavar="NAME,...",
        help="only these estimators (default: all)",
    )
    group.addoption(
        "--records",
        type=Path,
        default=None,
        metavar="PATH",
        help=f"where scores and agreements are recorded (default: {DEFAULT_RECORDS})",
    )
    group.addoption(
        "--ground-truth",
        type=Path,
        default=None,
        metavar="PATH",
        help="records of fine-tuning to judge by (default: those that ship with foretune)",
    )
    group.addoption(
        "--fine-tune",
        default="never",
        choices=["missing", "never"],
        help="whether to fine-tune now what the ground truth lacks (default: never)",
    )
