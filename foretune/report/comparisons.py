"""Which estimators rank better than LogME, and than the best baseline: in a setting and across settings."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from foretune.agreement import compare, holm, sign_flip
from foretune.records import AgreementRecord
from foretune.setting import Setting

from . import tables
from .settings import BASELINES, default_cells, setting_of

LOGME = "logme"
"""The estimator that others are compared with."""


class Standing(NamedTuple):
    """How an estimator does against a rival.

    Attributes:
        difference: its ρ less the rival's; over several settings the mean.
        p_value: of the paired test, two-sided.
        adjusted: the same by Holm's method for all the estimators that are compared with this rival.
        settings: how many the comparison is over.
    """

    difference: float
    p_value: float
    adjusted: float
    settings: int = 1


def logme(cells: Sequence[AgreementRecord]) -> AgreementRecord | None:
    """Return LogME's cell of a setting; None where there is none, or it failed."""
    return next((cell for cell in _judged(cells) if cell.estimator == LOGME), None)


def best_baseline(cells: Sequence[AgreementRecord]) -> AgreementRecord | None:
    """Return the cell of the baseline with the highest ρ in a setting; None where there is none.

    It is chosen after the fact, so that to beat it is harder than to beat any one of them.
    """
    found = [cell for cell in _judged(cells) if cell.estimator in BASELINES]
    return min(found, key=lambda cell: (-(cell.spearman or 0.0), cell.estimator), default=None)


def within(cells: Sequence[AgreementRecord], rival: AgreementRecord | None) -> dict[str, Standing]:
    """Compare the estimators of one setting with a rival, on the same candidates.

    Args:
        cells: of one setting, one an estimator.
        rival: one of them; None compares nothing.

    Returns:
        By estimator, without the rival and without those that gave no scores.
    """
    if rival is None:
        return {}
    found = {
        cell.estimator: _compared(_scores(cell), _scores(rival), tuple(rival.goodness))
        for cell in _judged(cells)
        if cell.estimator != rival.estimator and cell.names == rival.names
    }
    adjusted = holm({name: each.p_value for name, each in found.items()})
    return {name: Standing(*each, adjusted[name]) for name, each in found.items()}


def across(
    settings: Iterable[Sequence[AgreementRecord]],
    rival: Callable[[Sequence[AgreementRecord]], AgreementRecord | None],
) -> dict[str, Standing]:
    """Compare estimators with a rival over all settings, each of which counts once.

    Args:
        settings: the cells of each.
        rival: chooses it in each setting.

    Returns:
        By estimator; its settings are those where both have a ρ.
    """
    differences: dict[str, list[float]] = {}
    for cells in settings:
        other = rival(cells)
        if other is None or other.spearman is None:
            continue
        for cell in _judged(cells):
            if cell.spearman is not None and cell.estimator != other.estimator:
                differences.setdefault(cell.estimator, []).append(cell.spearman - other.spearman)
    found = {name: sign_flip(each) for name, each in differences.items()}
    adjusted = holm({name: each.p_value for name, each in found.items()})
    return {
        name: Standing(math.fsum(each) / len(each), found[name].p_value, adjusted[name], len(each))
        for name, each in differences.items()
    }


def by_setting(cells: Iterable[AgreementRecord]) -> list[list[AgreementRecord]]:
    """Return the cells of each setting, in their order; by the default policy."""
    found: dict[Setting, list[AgreementRecord]] = {}
    for cell in default_cells(cells):
        found.setdefault(setting_of(cell), []).append(cell)
    return [found[key] for key in sorted(found)]


def table(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str | None:
    """Return how each estimator does against LogME and the best baseline over all settings of a suite.

    None where there are fewer than two settings, or nothing to compare.
    """
    settings = by_setting(cells)
    against = {"LogME": across(settings, logme), "best baseline": across(settings, best_baseline)}
    if len(settings) < 2 or not any(against.values()):
        return None
    headers = ["estimator"]
    for rival in against:
        headers += [f"less {rival}", "p", "Holm", "settings"]
    rows = [
        [tables.label(estimator), *(part for found in against.values() for part in _shown(found, estimator))]
        for estimator in order
        if any(estimator in found for found in against.values())
    ]
    return tables.markdown(headers, rows)


def _shown(found: Mapping[str, Standing], estimator: str) -> list[str]:
    standing = found.get(estimator)
    if standing is None:
        return [tables.number(None)] * 4
    return [
        tables.signed(standing.difference),
        tables.significant(standing.p_value),
        tables.significant(standing.adjusted),
        str(standing.settings),
    ]


def _judged(cells: Iterable[AgreementRecord]) -> list[AgreementRecord]:
    return [cell for cell in cells if cell.status == "done"]


def _scores(cell: AgreementRecord) -> tuple[float, ...]:
    return tuple(score for score in cell.scores if score is not None)


# the same comparison stands in several tables
_compared = functools.lru_cache(maxsize=16_384)(compare)
