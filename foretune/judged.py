"""Which cells the tests of a session judge, and what became of these tests.

Light: the pytest plugin imports it in every session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Judged = tuple[str, str, str, str]
"""What a test judges: task, setting, model, estimator; the model is `all` for models."""


def judged_by(parameters: Mapping[str, object]) -> Judged | None:
    """Return the cell that a test with these parameters judges; None where it judges none.

    A test of the study has the parameters `task_name` and `estimator`, and `model` where it ranks the
    layers of one.
    """
    task, estimator = parameters.get("task_name"), parameters.get("estimator")
    if not isinstance(task, str) or not isinstance(estimator, str):
        return None
    if "model" in parameters:
        return (task, "layers", str(parameters["model"]), estimator)
    return (task, "models", "all", estimator)


@dataclass
class Seen:
    """What became of the tests that judge cells; of plain values, which processes can send each other.

    Attributes:
        collected: those that there is a test of.
        deselected: those whose test was deselected.
        reasons: why a test gave no result: skipped, or failed before it had one.
    """

    collected: set[Judged] = field(default_factory=set)
    deselected: set[Judged] = field(default_factory=set)
    reasons: dict[Judged, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as `add` takes it."""
        return asdict(self)

    def add(self, others: Mapping[str, Any]) -> None:
        """Take in what another process saw."""
        self.collected |= others["collected"]
        self.deselected |= others["deselected"]
        self.reasons |= others["reasons"]

    def why(self, judged: Judged) -> str:
        """Return why a test gave no result; empty where nothing is known of it."""
        if judged in self.deselected:
            return "deselected"
        return self.reasons.get(judged, "")
