"""Limits: how much worse a run may be than an earlier one.

A limit is written `MEASURE=CHANGE` or `MEASURE@PATTERN=CHANGE`. The change is absolute (`-0.05`),
relative to the earlier value (`+50%`), the name of an interval of the earlier ρ whose lower end must be
reached (`interval`, `seed-interval`, `utterance-interval`), or `none` (no limit). The pattern chooses
cells by name, as `*.tsne_distance` does; of several limits that fit a cell the last counts.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from foretune.tasks.errors import InputError

Better = Literal["higher", "lower", "neither"]
MEASURES: dict[str, Better] = {
    "spearman": "higher",
    "kendall": "higher",
    "weighted_kendall": "higher",
    "pearson": "higher",
    "top_3_recall": "higher",
    "p_value": "lower",
    "regret": "lower",
    "regret_at_3": "lower",
    "score": "neither",
    "time": "lower",
}
"""What can be compared, and which is better; a score may not move in either direction."""

DEFAULT_LIMITS = ("spearman=-0.05",)
"""What counts where the user names no limit."""

SHORTEST = 0.1
"""Seconds; shorter times count as this, since what takes a moment may by chance take three."""

INTERVALS = ("interval", "seed-interval", "utterance-interval")
"""Of Spearman's ρ: over candidates, over seeds of fine-tuning, and over utterances that were scored on."""

ROUNDING = 1e-9
"""Share of a value by which a limit may be missed: 0.9 less 0.05 is not quite 0.85."""

_FORM = re.compile(r"(?P<measure>[^@=]+)(@(?P<pattern>[^=]+))?=(?P<change>.+)")
_CHANGE = re.compile(r"(?P<sign>[+-]?)(?P<amount>\d+\.?\d*|\.\d+)(?P<percent>%?)")


class Range(NamedTuple):
    """What a new value may be, both ends included, and the limit in words."""

    least: float
    most: float
    words: str

    def holds(self, value: float) -> bool:
        """Whether a value lies within, but for rounding."""
        return self.least - _rounding(self.least) <= value <= self.most + _rounding(self.most)

    def __str__(self) -> str:
        """Return the ends that there are, and the limit behind them."""
        least = "" if math.isinf(self.least) else f"≥ {self.least:.4g}"
        most = "" if math.isinf(self.most) else f"≤ {self.most:.4g}"
        return f"{' and '.join(filter(None, (least, most)))} ({self.words})"


def _rounding(end: float) -> float:
    return ROUNDING * abs(end) if math.isfinite(end) else 0.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How far one measure may change for the worse.

    Attributes:
        measure: a key of `MEASURES`.
        pattern: of the names of the cells it holds for.
        kind: what `amount` is, or one of `INTERVALS`, or `none`, which have no amount.
        amount: at least 0, in the measure's unit or as a share of the earlier value.
    """

    measure: str
    pattern: str
    kind: str
    amount: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read a limit as the user writes it.

        Raises:
            InputError: it is no limit, names no measure, or its sign is that of an improvement.
        """
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise InputError(f"limit {text!r}: write MEASURE=CHANGE, such as spearman=-0.05 or time=+50%")
        measure, pattern, change = form["measure"].strip(), form["pattern"] or "*", form["change"].strip()
        if measure not in MEASURES:
            raise InputError(f"limit {text!r}: no measure {measure!r}; there are {', '.join(MEASURES)}")
        if change in INTERVALS and measure != "spearman":
            raise InputError(f"limit {text!r}: only spearman has intervals; give a change such as +10%")
        if change == "none" or change in INTERVALS:
            return cls(measure, pattern, change)
        number = _CHANGE.fullmatch(change)
        if number is None:
            raise InputError(
                f"limit {text!r}: {change!r} is no change; give -0.05, +50%, {', '.join(INTERVALS)} or none"
            )
        _check_sign(text, MEASURES[measure], number["sign"], float(number["amount"]))
        if number["percent"]:
            return cls(measure, pattern, "relative", float(number["amount"]) / 100)
        return cls(measure, pattern, "absolute", float(number["amount"]))

    def covers(self, name: str) -> bool:
        """Whether the limit is for the cell of this name."""
        return fnmatch.fnmatchcase(name, self.pattern)

    def range(self, old: float, interval: tuple[float, float] | None = None) -> Range | None:
        """Return what the new value may be; None where the limit needs an interval that is not known.

        Args:
            old: the earlier value.
            interval: the ends of the one that the limit asks for.
        """
        if self.kind in INTERVALS:
            if interval is None:
                return None
            low, high, words = (*interval, self.kind)
        else:
            amount = self.amount * abs(old) if self.kind == "relative" else self.amount
            low, high = old - amount, old + amount
            shown = f"{100 * self.amount:g}%" if self.kind == "relative" else f"{self.amount:g}"
            words = {"higher": "-", "lower": "+", "neither": "±"}[MEASURES[self.measure]] + shown
        better = MEASURES[self.measure]
        return Range(
            -math.inf if better == "lower" else low,
            math.inf if better == "higher" else high,
            words,
        )

    def __str__(self) -> str:
        """Return it as the user writes it."""
        where = "" if self.pattern == "*" else f"@{self.pattern}"
        if self.kind == "none" or self.kind in INTERVALS:
            return f"{self.measure}{where}={self.kind}"
        sign = {"higher": "-", "lower": "+", "neither": ""}[MEASURES[self.measure]]
        amount = f"{100 * self.amount:g}%" if self.kind == "relative" else f"{self.amount:g}"
        return f"{self.measure}{where}={sign}{amount}"


def _check_sign(text: str, better: Better, sign: str, amount: float) -> None:
    wanted = {"higher": "-", "lower": "+", "neither": ""}[better]
    if sign == wanted or amount == 0 or (better == "neither" and sign == ""):
        return
    if better == "neither":
        raise InputError(f"limit {text!r}: it holds in both directions; give the change without a sign")
    says = "higher is better: say how far it may fall, as -0.05 or -10%"
    if better == "lower":
        says = "lower is better: say how far it may rise, as +0.05 or +50%"
    raise InputError(f"limit {text!r}: {says}")


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a comparison.

    Attributes:
        limits: in the order given; of those that fit a cell the last counts.
        shortest: seconds; times below count as this.
    """

    limits: Sequence[Limit]
    shortest: float = SHORTEST

    @classmethod
    def parse(cls, texts: Iterable[str], *, shortest: float = SHORTEST) -> Limits:
        """Read limits as the user writes them, several in a text with commas between them.

        Raises:
            InputError: one of them is no limit.
        """
        parts = [part for text in texts for part in text.split(",") if part.strip()]
        return cls([Limit.parse(part) for part in parts or DEFAULT_LIMITS], shortest)

    def of(self, measure: str, name: str) -> Limit | None:
        """Return the limit of a measure in the cell of a name; None where there is none."""
        fitting = [limit for limit in self.limits if limit.measure == measure and limit.covers(name)]
        return fitting[-1] if fitting and fitting[-1].kind != "none" else None

    def time(self) -> list[Limit]:
        """Return those on time."""
        return [limit for limit in self.limits if limit.measure == "time" and limit.kind != "none"]

    def __str__(self) -> str:
        """Return them as the user writes them."""
        return ", ".join(map(str, self.limits))
