"""Why an estimator agrees with fine-tuning as well, or as little, as it does: a paragraph of figures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy.stats

from foretune.agreement import spearman
from foretune.records import AgreementRecord
from foretune.seeds import pooled

from . import tables
from .settings import metric_name

MISPLACED = 3
"""Candidates named at most."""
ERRORS = 2.0
"""Standard errors of the difference of two means over seeds, beyond which these differ surely."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """How a setting's pairs of candidates are ordered; one with equal scores or results is half right.

    Attributes:
        sure: pairs whose results differ by more than `ERRORS` standard errors.
        sure_right: how many of these the scores order as fine-tuning does.
        near: all others: the seeds may confuse them.
        near_right: likewise.
    """

    sure: int
    sure_right: float
    near: int
    near_right: float

    @property
    def wrong(self) -> float:
        """Return how many pairs are in the wrong order."""
        return self.sure + self.near - self.sure_right - self.near_right


def pairs(cell: AgreementRecord) -> Pairs | None:
    """Count the pairs of a setting's candidates that scores order as fine-tuning does.

    The standard error of a difference is that of means over either candidate's seeds, whose deviation is
    pooled over candidates: that of one alone, from three seeds, says too little.

    Args:
        cell: with a score of each candidate.

    Returns:
        None where no candidate has more than one seed.
    """
    numbers = cell.seed_numbers
    deviation = pooled(cell.deviations, numbers)
    if deviation is None:
        return None
    scores, goodness = _scores(cell), cell.goodness
    sure, near = list[float](), list[float]()
    for i, j in itertools.combinations(range(len(scores)), 2):
        apart = (scores[i] - scores[j]) * (goodness[i] - goodness[j])
        right = 0.5 if apart == 0 else float(apart > 0)
        limit = ERRORS * deviation * math.sqrt(1 / numbers[i] + 1 / numbers[j])
        (sure if abs(goodness[i] - goodness[j]) > limit else near).append(right)
    return Pairs(len(sure), math.fsum(sure), len(near), math.fsum(near))


def explain(cell: AgreementRecord, cut: AgreementRecord | None = None) -> str:
    """Return a paragraph on what keeps an estimator from a perfect ranking; empty where it gave none.

    Args:
        cell: the estimator's agreement in a setting.
        cut: its agreement where the same layers were not trained alone, but the encoder cut after each.
    """
    if cell.status == "failed" or cell.spearman is None:
        return ""
    sentences = [f"**{cell.estimator}** agrees by ρ = {tables.number(cell.spearman)}{_noise(cell)}."]
    counted = pairs(cell)
    if counted is not None:
        sentences += _of_pairs(cell, counted)
    sentences += _misplaced(cell)
    if cut is not None and cut.spearman is not None:
        sentences += _against_cut(cell, cut)
    return " ".join(sentences)


def _noise(cell: AgreementRecord) -> str:
    """Return what the seeds, and the speech that was scored, leave open."""
    text = ""
    if cell.ceiling is not None:
        text = f", where the seeds leave {tables.number(cell.ceiling)} to an estimator that knows the truth"
    if cell.utterance_low is not None and cell.utterance_high is not None:
        ends = f"{tables.number(cell.utterance_low)} to {tables.number(cell.utterance_high)}"
        text += f"; scores of endless speech would agree by {ends}"
    return text


def _of_pairs(cell: AgreementRecord, counted: Pairs) -> list[str]:
    first = (
        f"Of {counted.sure + counted.near} pairs of {cell.setting}, {counted.sure} differ in "
        f"{metric_name(cell.metric)} by more than the seeds can confuse ({ERRORS:g} standard errors of the "
        "difference)"
    )
    if counted.sure:
        first += f": it orders {_share(counted.sure_right, counted.sure)} of these rightly"
    if counted.near:
        verb = ", and" if counted.sure else "; it orders"
        first += f"{verb} {_share(counted.near_right, counted.near)} of the {counted.near} too near to tell"
    if not counted.wrong:
        return [f"{first}."]
    surely = counted.sure - counted.sure_right
    halves = "" if counted.wrong.is_integer() else " (ties count half)"
    second = f"Of {counted.wrong:g} pairs in the wrong order{halves}, {surely:g} differ surely: "
    second += "the scores err there."
    if surely < counted.wrong:
        second += f" Whether they err on the other {counted.wrong - surely:g}, only more seeds can tell."
    return [f"{first}.", second]


def _misplaced(cell: AgreementRecord) -> list[str]:
    """Return which candidates' ranks, 1 for the best, differ most."""
    given = scipy.stats.rankdata([-each for each in _scores(cell)])
    true = scipy.stats.rankdata([-each for each in cell.goodness])
    order = sorted(range(len(true)), key=lambda i: (-abs(given[i] - true[i]), i))
    named = [
        f"{'layer ' * (cell.setting == 'layers')}{cell.names[i]} ({given[i]:g} instead of {true[i]:g})"
        for i in order[:MISPLACED]
        if given[i] != true[i]
    ]
    return [f"Ranked furthest from where fine-tuning puts them: {', '.join(named)}."] if named else []


def _against_cut(cell: AgreementRecord, cut: AgreementRecord) -> list[str]:
    own = dict(zip(cell.names, cell.goodness, strict=True))
    other = dict(zip(cut.names, cut.goodness, strict=True))
    common = [name for name in own if name in other]
    if len(common) < 3:
        return []
    alike = spearman([own[name] for name in common], [other[name] for name in common]).rho
    return [
        "With the encoder cut after each layer and trained up to there, the same scores agree by "
        f"ρ = {tables.number(cut.spearman)}; the two ways to fine-tune agree with each other by "
        f"{tables.number(alike)}."
    ]


def _share(part: float, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def _scores(cell: AgreementRecord) -> Sequence[float]:
    return [each for each in cell.scores if each is not None]
