"""What a comparison looks like: one table for the command and for pytest, and a summary line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from .comparison import Comparison, Finding

COLUMNS = ("cell", "state", "measure", "old", "new", "limit", "note")


def table(findings: Iterable[Finding]) -> str:
    """Return the findings as a plain table; those that differ in the layer alone share a row.

    Times that cannot be compared for the same reason share one, too.
    """
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for number, finding in enumerate(findings):
        groups.setdefault(_group(number, finding), []).append(finding)
    return tabulate([_row(group) for group in groups.values()], COLUMNS, disable_numparse=True)


def _group(number: int, finding: Finding) -> tuple[object, ...]:
    if finding.state == "untimed":
        return (finding.state, finding.note)
    if finding.layer is not None and not finding.measure:
        return (finding.state, finding.cell, finding.note)
    return (number,)


def _row(group: Sequence[Finding]) -> list[str]:
    first = group[0]
    cell, state = first.cell, first.state + (" (allowed)" if first.allowed else "")
    layers = [str(finding.layer) for finding in group if finding.layer is not None]
    if layers:
        cell += f", layer{'s' if len(layers) > 1 else ''} {', '.join(layers)}"
    elif len(group) > 1:
        return [f"{len(group)} cells", state, first.measure, "", "", "", first.note]
    return [
        cell,
        state,
        first.measure,
        _shown(first.old),
        _shown(first.new),
        first.limit,
        first.note,
    ]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def summary(comparison: Comparison) -> str:
    """Return what came of it in one line."""
    offending = comparison.offending
    states = Counter(finding.state for finding in offending)
    parts = [f"{number} {state}" for state, number in states.items()]
    allowed = len(comparison.findings) - len(offending)
    verdict = "passed" if comparison.passed else f"FAILED: {', '.join(parts) or 'nothing was compared'}"
    counted = f"{comparison.values} values of {comparison.cells} cells compared"
    more = f", {allowed} findings allowed" if allowed else ""
    if comparison.unscored:
        more += f", {comparison.unscored} cells without a value in both runs"
    return f"gate {verdict} ({counted}{more})"
