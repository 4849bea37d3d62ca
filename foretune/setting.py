"""Settings: candidates that are ranked for a task, fine-tuned in one way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from foretune.models import is_twin
from foretune.records.tuning import Protocol as TuningProtocol
from foretune.records.tuning import RunProtocol, planned

KINDS = {
    ("layers", "layer"): "layers",
    ("layers", "single-layer"): "layers, each alone",
    ("models", "layer"): "models, full",
    ("models", "probe"): "models, probed",
}
"""What is ranked, and how it was fine-tuned: settings of different kinds are never mixed."""


@dataclass(frozen=True, order=True, slots=True)
class Setting:
    """Candidates ranked for a task, as an agreement names them.

    Attributes:
        suite: of the speech.
        task: with its part after a colon, if it has any.
        kind: `layers` or `models`.
        model: whose layers; `all` for models.
        protocol: how the candidates were fine-tuned.
    """

    suite: str
    task: str
    kind: str
    model: str
    protocol: RunProtocol

    @property
    def family(self) -> str:
        """Return the task without its part.

        >>> Setting("embedded", "multilingual_asr:de", "layers", "conformer", "layer").family
        'multilingual_asr'
        """
        return self.task.partition(":")[0]

    @property
    def title(self) -> str:
        """Return what is ranked and how it was fine-tuned, without the task.

        >>> Setting("embedded", "asr", "layers", "conformer", "single-layer").title
        'layers of conformer, each alone'
        >>> Setting("embedded", "asr", "models", "all", "layer").title
        'models, full'
        """
        kind = KINDS.get((self.kind, self.protocol), f"{self.kind}, {self.protocol}")
        return kind if self.kind == "models" else kind.replace("layers", f"layers of {self.model}", 1)

    @property
    def label(self) -> str:
        """Return the same with the part of the task, if there is one, for a figure of one family of tasks.

        >>> Setting("embedded", "multilingual_asr:de", "layers", "conformer", "layer").label
        'de: layers of conformer'
        """
        part = self.task.partition(":")[2]
        return f"{part}{': ' if part else ''}{self.title}"


class Tuned(Protocol):
    """A fine-tuning run, done or planned."""

    @property
    def task(self) -> str:
        """Return what it is for."""

    @property
    def model(self) -> str:
        """Return the candidate's name."""

    @property
    def protocol(self) -> TuningProtocol:
        """Return how it was fine-tuned."""

    @property
    def layer(self) -> int:
        """Return where it was cut, or the layer that trained."""


AnyRun = TypeVar("AnyRun", bound=Tuned)


def by_setting(runs: Iterable[AnyRun], suite: str) -> dict[Setting, list[AnyRun]]:
    """Return the runs of each setting; the whole encoder counts among its layers and among models.

    Untrained twins are not among models: they show what pre-training gave, but nobody chooses one, and with a
    twin of each encoder the ranking would ask which of them are trained.

    Args:
        runs: of one suite. The highest layer of a model that a task has runs of counts as the whole.
        suite: its name.
    """
    given = list(runs)
    tops: dict[tuple[str, str], int] = {}
    for run in given:
        tops[run.task, run.model] = max(run.layer, tops.get((run.task, run.model), 0))
    found: dict[Setting, list[AnyRun]] = {}
    for run in given:
        protocol = planned(run.protocol)
        whole = protocol != "single-layer" and run.layer == tops[run.task, run.model]
        if whole and not is_twin(run.model):
            found.setdefault(Setting(suite, run.task, "models", "all", protocol), []).append(run)
        if protocol != "probe":
            found.setdefault(Setting(suite, run.task, "layers", run.model, protocol), []).append(run)
    return found
