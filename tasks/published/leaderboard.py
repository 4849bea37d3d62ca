"""Models × tasks, as a benchmark published them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .rows import Row, read_rows, revision

_HOURS = re.compile(r"(\d+(?:\.\d+)?) ?(k?) ?hr\b")
_ARXIV = re.compile(r"(\d\d)(0[1-9]|1[0-2])\.\d{4,5}")


@dataclass(frozen=True, slots=True)
class Metric:
    """How a task was measured.

    Attributes:
        task: the column of the task, such as `PR` (SUPERB's code) or a corpus.
        name: of the metric.
        unit: of its values, such as `%`; empty for a plain number.
        direction: whether `higher` or `lower` values are better.
        low: the least value that can be.
        high: the largest.
    """

    task: str
    name: str
    unit: str
    direction: Literal["higher", "lower"]
    low: float = 0.0
    high: float = 100.0

    def goodness(self, value: float) -> float:
        """Turn a value so that higher is better (errors are negated)."""
        return value if self.direction == "higher" else -value


@dataclass(frozen=True, slots=True)
class Entry:
    """A model and its results.

    Attributes:
        model: as the benchmark calls it.
        values: by task, in the metric's unit and direction.
        hub_id: the same checkpoint on the Hugging Face hub; empty where there is none, or none is known.
        parameters: in millions; None where the source does not say.
        pretraining: the speech that it was pre-trained on, in the source's words; empty where unknown.
        hours: of that speech; None where unknown.
        published: year and month of the paper's first version on arXiv, such as `2006`
            for June 2020 (the first four digits of its number); empty where there is no such paper.
        source: where the values come from.
        note: what to know about them.
    """

    model: str
    values: Mapping[str, float]
    hub_id: str = ""
    parameters: float | None = None
    pretraining: str = ""
    hours: float | None = None
    published: str = ""
    source: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A benchmark's results: every model has a value on every task.

    Attributes:
        name: short, such as `superb`.
        title: in words.
        metrics: by task, in the benchmark's order.
        entries: the models, in the file's order.
        revision: 12 hexadecimal digits that change with the file.
    """

    name: str
    title: str
    metrics: Mapping[str, Metric]
    entries: Sequence[Entry]
    revision: str

    @property
    def models(self) -> list[str]:
        """Return the models' names."""
        return [entry.model for entry in self.entries]

    def metric(self, task: str) -> Metric:
        """Return how a task was measured.

        Raises:
            InputError: the benchmark has no such task.
        """
        if task not in self.metrics:
            raise InputError(f"{self.name}: no task {task}; there are {', '.join(self.metrics)}")
        return self.metrics[task]

    def goodness(self, task: str) -> list[float]:
        """Return a task's values, one a model, turned so that higher is better.

        Raises:
            InputError: the benchmark has no such task.
        """
        metric = self.metric(task)
        return [metric.goodness(entry.values[task]) for entry in self.entries]

    def where(self, name: str, title: str, chosen: Callable[[Entry], bool]) -> Leaderboard:
        """Return the board of those models only for which `chosen` is true."""
        kept = [entry for entry in self.entries if chosen(entry)]
        return replace(self, name=name, title=title, entries=kept)


def load(
    path: Path, name: str, title: str, columns: Mapping[str, Metric], facts: Sequence[str] = ()
) -> Leaderboard:
    """Read a leaderboard.

    Args:
        path: a CSV file of the columns model, hub_id, `facts`, those of the metrics, source, `facts`'
            own sources, note.
        name: of the board.
        title: of the board.
        columns: the metric of each column of values.
        facts: which of parameters_millions, pretraining and arxiv the file has.

    Raises:
        InputError: the file is damaged; the message names it and the row.
    """
    sources = ["arxiv_source"] if "arxiv" in facts else []
    header = ["model", "hub_id", *facts, *columns, "source", *sources, "note"]
    entries = [_entry(row, columns, facts) for row in read_rows(path, header, key=["model"])]
    metrics = {metric.task: metric for metric in columns.values()}
    return Leaderboard(name, title, metrics, entries, revision(path))


def _entry(row: Row, columns: Mapping[str, Metric], facts: Sequence[str]) -> Entry:
    pretraining = row.text("pretraining") if "pretraining" in facts else ""
    arxiv = row.cells.get("arxiv", "")
    dated = _ARXIV.fullmatch(arxiv)
    if arxiv and not dated:
        raise InputError(f"{row.path}: row {row.number}: arxiv is {arxiv}, must be such as 2006.11477")
    if arxiv:
        row.text("arxiv_source")
    try:
        hours = pretraining_hours(pretraining) if pretraining else None
    except InputError as error:
        raise InputError(f"{row.path}: row {row.number}: {error}") from None
    return Entry(
        model=row.text("model"),
        values={
            metric.task: row.number_in(column, metric.low, metric.high) for column, metric in columns.items()
        },
        hub_id=row.cells["hub_id"],
        parameters=row.number_in("parameters_millions", 0, 1e6) if "parameters_millions" in facts else None,
        pretraining=pretraining,
        hours=hours,
        published=arxiv[:4],
        source=row.text("source"),
        note=row.cells["note"],
    )


def pretraining_hours(pretraining: str) -> float:
    """Return how many hours of speech a model was pre-trained on.

    Several corpora are added up; `-` means none. The speech that a distilled model's teacher heard is
    not counted, only that of the distillation: tables give no hours for teachers.

    Raises:
        InputError: no number of hours is in the text.

    >>> pretraining_hours("LS 960 hr, SpokenCOCO 947 hr"), pretraining_hours("Mix 94k hr")
    (1907.0, 94000.0)
    """
    if pretraining == "-":
        return 0.0
    found = _HOURS.findall(pretraining)
    if not found:
        raise InputError(f"pre-training data {pretraining}: no hours; write such as LS 960 hr, or - for none")
    return sum(float(amount) * (1000 if thousands else 1) for amount, thousands in found)
