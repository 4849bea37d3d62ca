"""The three experiments of Chen et al., 2023, arXiv:2306.01015, candidate by candidate, from their poster.

Estimators' scores were not published, only the ranks that they give, and the rank by fine-tuning beside
the metric itself. In the Conformer's table these contradict each other: layers 4 and 6 have each
other's rank. So there are two ground truths, and two correlations: by the printed ranks, as the paper
computed, and by the metric.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .leaderboard import Metric
from .rows import Row, read_rows, revision

SECONDS_A_DAY = 86_400
ESTIMATORS = ("logme", "sliced_wasserstein", "tsne_distance")

_FOLDER = Path(__file__).parent
_METRICS = {
    "conformer": Metric("ASR", "WER", "%", "lower"),
    "hubert": Metric("PR", "PER", "%", "lower"),
    "models": Metric("KS", "accuracy", "%", "higher"),
}
_TITLES = {
    "conformer": "layers of an English Conformer RNN-T, speech recognition in seven other languages",
    "hubert": "layers of HuBERT Base, phoneme recognition",
    "models": "models, keyword spotting",
}
_MODELS = {"conformer": "Conformer RNN-T", "hubert": "HuBERT Base", "models": "all"}
_SETTINGS: dict[str, Literal["layers", "models"]] = {
    "conformer": "layers",
    "hubert": "layers",
    "models": "models",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What the paper says of an estimator in an experiment.

    Attributes:
        spearman: as printed, two decimals; None where it is not.
        p_value: as printed (of the asymptotic t distribution); None where it is not.
        score_seconds: what scoring cost; None where it is not said.
        fine_tune_seconds: what fine-tuning cost; None where it is not said.
    """

    spearman: float | None
    p_value: float | None
    score_seconds: float | None
    fine_tune_seconds: float | None

    @property
    def cost_ratio(self) -> float | None:
        """Return how many times cheaper scoring was than fine-tuning; None where a cost is unknown."""
        if self.score_seconds is None or self.fine_tune_seconds is None:
            return None
        return self.fine_tune_seconds / self.score_seconds


@dataclass(frozen=True, slots=True)
class Experiment:
    """One table of the paper.

    Attributes:
        name: `conformer`, `hubert` or `models`.
        title: in words.
        setting: whether the candidates are the layers of a model, or models.
        model: whose layers; `all` for models.
        metric: of fine-tuning.
        names: the candidates: layers counted from 1, or models.
        values: of the metric, one a candidate.
        printed_ranks: by fine-tuning, one a candidate, 1 is best.
        ranks: by estimator, one a candidate, 1 is best.
        claims: by estimator.
        revision: 12 hexadecimal digits that change with the files.
    """

    name: str
    title: str
    setting: Literal["layers", "models"]
    model: str
    metric: Metric
    names: Sequence[str]
    values: Sequence[float]
    printed_ranks: Sequence[int]
    ranks: Mapping[str, Sequence[int]]
    claims: Mapping[str, Claim]
    revision: str


def chen2023(folder: Path = _FOLDER) -> list[Experiment]:
    """Load the experiments, in the paper's order.

    Args:
        folder: with chen2023.csv and chen2023_claims.csv.

    Raises:
        InputError: a file is damaged; the message names it and the row.
    """
    path, claims_path = folder / "chen2023.csv", folder / "chen2023_claims.csv"
    columns = ["experiment", "candidate", "value", "fine_tuning_rank"]
    columns += [f"{name}_rank" for name in ESTIMATORS] + ["source", "note"]
    rows = read_rows(path, columns, key=["experiment", "candidate"])
    columns = [
        "experiment",
        "estimator",
        "spearman",
        "p_value",
        "score_seconds",
        "fine_tuning_days",
        "source",
    ]
    claims = read_rows(claims_path, columns, key=["experiment", "estimator"])
    for row in (*rows, *claims):
        row.text("source")
        if row.cells["experiment"] not in _METRICS:
            raise InputError(
                f"{row.path}: row {row.number}: unknown experiment {row.cells['experiment']}; "
                f"there are {', '.join(_METRICS)}"
            )
    digest = revision(path, claims_path)
    return [
        _experiment(
            name,
            [row for row in rows if row.cells["experiment"] == name],
            [row for row in claims if row.cells["experiment"] == name],
            digest,
        )
        for name in _METRICS
    ]


def _experiment(name: str, rows: Sequence[Row], claims: Sequence[Row], digest: str) -> Experiment:
    metric = _METRICS[name]
    judged = {row.text("estimator"): _claim(row) for row in claims}
    return Experiment(
        name=name,
        title=_TITLES[name],
        setting=_SETTINGS[name],
        model=_MODELS[name],
        metric=metric,
        names=[row.text("candidate") for row in rows],
        values=[row.number_in("value", metric.low, metric.high) for row in rows],
        printed_ranks=_ranks(rows, "fine_tuning_rank"),
        ranks={estimator: _ranks(rows, f"{estimator}_rank") for estimator in judged},
        claims=judged,
        revision=digest,
    )


def _claim(row: Row) -> Claim:
    if row.text("estimator") not in ESTIMATORS:
        raise InputError(f"{row.path}: row {row.number}: unknown estimator {row.cells['estimator']}")

    def optional(column: str, low: float, high: float) -> float | None:
        return row.number_in(column, low, high) if row.cells[column] else None

    days = optional("fine_tuning_days", 1e-3, 1e6)
    return Claim(
        spearman=optional("spearman", -1, 1),
        p_value=optional("p_value", 0, 1),
        score_seconds=optional("score_seconds", 1e-3, 1e9),
        fine_tune_seconds=None if days is None else days * SECONDS_A_DAY,
    )


def _ranks(rows: Sequence[Row], column: str) -> list[int]:
    """Return a column of ranks, which must be a permutation of 1 to the number of rows."""
    seen: dict[int, int] = {}
    for row in rows:
        value = row.number_in(column, 1, len(rows))
        rank = int(value)
        if rank != value or rank in seen:
            what = f"is in row {seen[rank]} too" if rank in seen else "is no whole number"
            raise InputError(f"{row.path}: row {row.number}: {column} {row.cells[column]} {what}")
        seen[rank] = row.number
    return list(seen)
