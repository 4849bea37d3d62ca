"""The tables of RESULTS.md, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence

from foretune.agreement import mean_interval
from foretune.records import AgreementRecord
from foretune.setting import KINDS

from .settings import BASELINES, default_cells, kind_of, setting_of

SIGNIFICANT = 0.05
STRICT = 0.01
"""In the summary, which counts many tests."""
NONE = "–"
"""What is shown where there is nothing."""
_SAME = 1e-9
"""ρ that differ by less are the same."""

Ratio = Callable[[AgreementRecord], float | None]


def markdown(headers: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """Return a Markdown table: the first columns to the left, numbers to the right.

    Not padded to columns, which would double the size of RESULTS.md.
    """
    align = [":--"] * text_columns + ["--:"] * (len(headers) - text_columns)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headers, align, *rows))


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with so many decimals, without a negative zero."""
    if value is None:
        return NONE
    shown = f"{value:.{digits}f}"
    return shown.lstrip("-") if float(shown) == 0 else shown


def significant(value: float | None, digits: int = 2) -> str:
    """Return a number with so many significant digits, for p-values, seconds and ratios."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    scientific = f"{value:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])  # of the rounded number
    return f"{value:.{max(0, digits - 1 - exponent)}f}" if -4 <= exponent < 6 else scientific


def least_to_most(numbers: Sequence[int]) -> str:
    """Return the range of some numbers.

    >>> least_to_most([3, 3]), least_to_most([5, 3, 4])
    ('3', '3 to 5')
    """
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def signed(value: float | None, digits: int = 2) -> str:
    """Return a number with its sign, none where it is 0 so rounded."""
    shown = number(value, digits)
    return shown if value is None or shown.startswith("-") or float(shown) == 0 else f"+{shown}"


def estimator_order(agreements: Sequence[AgreementRecord]) -> list[str]:
    """Return the estimators by mean ρ over the default cells, best first, names break ties."""
    means = {
        name: _mean([cell.spearman for cell in default_cells(agreements) if cell.estimator == name])
        for name in {cell.estimator for cell in agreements}
    }
    return sorted(means, key=lambda name: (descending(means[name]), name))


def summary(agreements: Sequence[AgreementRecord], ratio: Ratio) -> str:
    """Return estimators × tasks: the mean ρ over a task's settings with its interval, and what it costs.

    Args:
        agreements: of one suite.
        ratio: what fine-tuning a cell's candidates costs over what scoring them does; None where not known.
    """
    cells = default_cells(agreements)
    tasks = sorted({cell.task for cell in cells})
    headers = ["estimator", *tasks, "mean ρ", f"p < {STRICT}", "regret", "cost ratio"]
    rows = []
    for estimator in estimator_order(agreements):
        own = [cell for cell in cells if cell.estimator == estimator]
        row = [label(estimator)]
        row += [mean_with_interval([cell for cell in own if cell.task == task]) for task in tasks]
        row += [mean_with_interval(own), agreeing(own), regret(own), significant(median_ratio(own, ratio))]
        rows.append(row)
    return markdown(headers, rows)


def by_kind(agreements: Sequence[AgreementRecord]) -> str:
    """Return estimators × kinds of settings: the mean ρ over those of a kind, with its interval."""
    cells = default_cells(agreements)
    kinds = [kind for kind in KINDS.values() if any(kind_of(cell) == kind for cell in cells)]
    counts = {kind: len({setting_of(cell) for cell in cells if kind_of(cell) == kind}) for kind in kinds}
    rows = [
        [
            label(estimator),
            *(
                mean_with_interval(
                    [cell for cell in cells if cell.estimator == estimator and kind_of(cell) == kind]
                )
                for kind in kinds
            ),
        ]
        for estimator in estimator_order(agreements)
    ]
    return markdown(["estimator", *(f"{kind} ({counts[kind]})" for kind in kinds)], rows)


def agreeing(cells: Sequence[AgreementRecord]) -> str:
    """Return in how many of some settings an estimator agrees with fine-tuning beyond chance."""
    return f"{sum(map(_agrees, cells))} of {len(cells)}"


def regret(cells: Sequence[AgreementRecord]) -> str:
    """Return what choosing by an estimator loses, as a share of what there is to lose: mean over settings."""
    lost = _mean([share_lost(cell) for cell in cells])
    return NONE if lost is None else f"{100 * lost:.0f} %"


def median_ratio(cells: Sequence[AgreementRecord], ratio: Ratio) -> float | None:
    """Return the median of a cost ratio over settings; None where there is none."""
    known = [each for each in map(ratio, cells) if each is not None]
    return statistics.median(known) if known else None


def mean_with_interval(cells: Sequence[AgreementRecord]) -> str:
    """Return the mean ρ of some cells, with its 95 % interval where each of them has one."""
    judged = [cell for cell in cells if cell.spearman is not None]
    mean = _mean([cell.spearman for cell in judged])
    if not judged or any(cell.low is None for cell in judged):
        return number(mean)
    rho = [cell.spearman or 0.0 for cell in judged]
    return f"{number(mean)} {interval(*mean_interval(rho, [cell.candidates for cell in judged]))}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval in brackets."""
    return NONE if low is None or high is None else f"[{number(low)}, {number(high)}]"


def share_lost(cell: AgreementRecord) -> float | None:
    """Return the regret as a share of the distance from the worst candidate to the best; None without one."""
    spread = max(cell.values) - min(cell.values)
    return None if cell.regret is None or spread == 0 else cell.regret / spread


def comparison(agreements: Sequence[AgreementRecord], estimator: str, rivals: Sequence[str]) -> str | None:
    """Return, setting by setting, the ρ of an estimator and of its rivals, and how often it agrees better.

    None where no setting has a ρ of it and of a rival.
    """
    found = {(setting_of(cell), cell.estimator): cell.spearman for cell in default_cells(agreements)}
    settings = sorted({setting for setting, _ in found})
    sentences, present = [], []
    for rival in rivals:
        pairs = [(found.get((setting, estimator)), found.get((setting, rival))) for setting in settings]
        differences = [own - other for own, other in pairs if own is not None and other is not None]
        if not differences:
            continue
        better = sum(each > _SAME for each in differences)
        worse = sum(each < -_SAME for each in differences)
        equal = len(differences) - better - worse
        present.append(rival)
        sentences.append(
            f"**{estimator} against {rival}**: better in {better} of {len(differences)} settings, equal in "
            f"{equal}, worse in {worse}."
        )
    if not present:
        return None
    shown = [estimator, *present]
    rows = [
        [f"{setting.task}, {setting.title}", *(number(found.get((setting, name))) for name in shown)]
        for setting in settings
        if any(found.get((setting, name)) is not None for name in shown)
    ]
    return "\n\n".join([" ".join(sentences), markdown(["setting", *shown], rows)])


def _agrees(cell: AgreementRecord) -> bool:
    """Whether the estimator agrees (and does not disagree) significantly."""
    return (
        cell.p_value is not None and cell.spearman is not None and cell.p_value < STRICT and cell.spearman > 0
    )


def label(estimator: str) -> str:
    """Return an estimator's name, in italics where it is a baseline."""
    return f"*{estimator}*" if estimator in BASELINES else estimator


def descending(value: float | None) -> float:
    """Return what sorts the highest value first, and what there is not last."""
    return math.inf if value is None else -value


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
