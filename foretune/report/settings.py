"""The settings in which estimators were judged, which cells stand for each, and which estimators lead."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from foretune.judging import DEFAULT_POLICY, default_policy
from foretune.records import AgreementRecord
from foretune.setting import KINDS, Setting

BASELINES = frozenset({"random", "parameters", "depth", "dimension", "feature_norm", "other_tasks"})
"""Rows to beat: they look at no labels of the task."""
RIVALS = ("held_out_evidence", "logme", "sliced_wasserstein")
"""Estimators that figures always show where they were judged: ours, and those of Chen et al., 2023."""
SHOWN = 4


def setting_of(cell: AgreementRecord) -> Setting:
    """Return the setting that a cell is of."""
    return Setting(cell.suite, cell.task, cell.setting, cell.model, cell.protocol)


def kind_of(cell: AgreementRecord) -> str:
    """Return what kind of setting a cell is of, one of `KINDS`."""
    return KINDS.get((cell.setting, cell.protocol), f"{cell.setting}, {cell.protocol}")


def default_cells(cells: Iterable[AgreementRecord]) -> list[AgreementRecord]:
    """Return one cell of each estimator a setting, so that each counts once; models by default policy."""
    found: dict[tuple[Setting, str], AgreementRecord] = {}
    for cell in cells:
        policies = _policies(cell.protocol) if cell.setting == "models" else ("each",)
        if cell.layer_policy not in policies:
            continue
        key = (setting_of(cell), cell.estimator)
        other = found.get(key)
        if other is None or policies.index(cell.layer_policy) <= policies.index(other.layer_policy):
            found[key] = cell
    return list(found.values())


def _policies(protocol: str) -> tuple[str, ...]:
    """Return the layer policies that models may be judged by, the first that there is.

    Estimators that need samples score the last layer only.
    """
    return tuple(dict.fromkeys((default_policy(protocol), DEFAULT_POLICY)))


Judged = Mapping[Setting, Mapping[str, AgreementRecord]]
"""Setting -> estimator -> agreement."""


def judged(cells: Iterable[AgreementRecord]) -> dict[Setting, dict[str, AgreementRecord]]:
    """Return the agreements by setting, models scored by the default layer policy; sorted, embedded first."""
    found: dict[Setting, dict[str, AgreementRecord]] = {}
    for cell in sorted(default_cells(cells), key=lambda cell: cell.key):
        found.setdefault(setting_of(cell), {})[cell.estimator] = cell
    return {key: found[key] for key in sorted(found, key=lambda key: (key.suite != "embedded", key))}


def widely_judged(settings: Judged) -> dict[Setting, Mapping[str, AgreementRecord]]:
    """Leave out settings in which less than half of the estimators were judged, so that means compare."""
    most = max((len(cells) for cells in settings.values()), default=0)
    return {setting: cells for setting, cells in settings.items() if 2 * len(cells) >= most}


def mean_agreement(settings: Judged) -> dict[str, float]:
    """Return the estimators' mean ρ over settings, best first; those without any ρ are left out."""
    found: dict[str, list[float]] = {}
    for cells in settings.values():
        for name, cell in cells.items():
            if cell.spearman is not None:
                found.setdefault(name, []).append(cell.spearman)
    means = {name: math.fsum(values) / len(values) for name, values in found.items()}
    return {name: means[name] for name in sorted(means, key=lambda name: (-means[name], name))}


def leading(settings: Judged) -> list[str]:
    """Return up to four estimators to show side by side.

    They are ours, LogME, the sliced Wasserstein distance and the best baseline, where these gave scores,
    and then whichever agree best.
    """
    present = Counter(
        name for cells in settings.values() for name, cell in cells.items() if cell.status == "done"
    )
    means = mean_agreement(widely_judged(settings))
    baselines = [name for name in means if name in BASELINES]
    wanted = [*RIVALS, *baselines[:1], *(name for name in means if name not in BASELINES), *baselines[1:]]
    return [name for name in dict.fromkeys(wanted) if present[name]][:SHOWN]


def median_seconds(cells: Sequence[AgreementRecord]) -> float:
    """Return what the scores of a setting's candidates cost, the median over settings, in seconds."""
    return statistics.median(cell.score_seconds for cell in cells)


def metric_name(metric: str) -> str:
    """Return a metric as an axis names it.

    >>> metric_name("wer"), metric_name("unweighted_accuracy")
    ('WER', 'unweighted accuracy')
    """
    return metric.upper() if len(metric) <= 3 else metric.replace("_", " ")


def outcome(cell: AgreementRecord, index: int) -> str:
    """Return what fine-tuning a candidate gave: the metric, its mean and standard deviation over seeds."""
    deviation = cell.deviations[index]
    spread = "" if deviation is None else f" ± {deviation:.3f}"
    return f"{metric_name(cell.metric)} {cell.values[index]:.3f}{spread}"
