"""Everything about one family of tasks, on a page of its own: all estimators, statistics and candidates."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from foretune.judging import completed
from foretune.records import AgreementRecord

from . import comparisons, setting, suite, tables
from .settings import setting_of

MARK = "*Written by `foretune report` from records; do not edit.*"
"""Which pages are ours, so that those of tasks that are gone can be removed."""

_TEXT = (
    "Each setting with every estimator. How to read the tables, and what the numbers are worth, says "
    "[{name}]({results})."
)


def render(agreements: Sequence[AgreementRecord], results: str) -> dict[str, str]:
    """Return the pages by family of tasks.

    Args:
        agreements: one a cell; of any suites.
        results: where the Markdown file is that says how to read them, as seen from a page.
    """
    agreements = sorted(map(completed, agreements), key=lambda cell: cell.key)
    families = sorted({_family(cell) for cell in agreements})
    return {
        family: _page(family, [cell for cell in agreements if _family(cell) == family], results)
        for family in families
    }


def links(families: Sequence[str], folder: Path, output: Path) -> dict[str, str]:
    """Return where the pages are, as seen from the Markdown file."""
    seen = Path(os.path.relpath(folder, output.parent)).as_posix()
    return {family: quote(f"{seen}/{_file(family)}") for family in families}


def write(pages: Mapping[str, str], folder: Path) -> None:
    """Write the pages, and remove those that an earlier report wrote and this one has not.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for family, text in pages.items():
        temporary = folder / f"{_file(family)}.{os.getpid()}.tmp"
        temporary.write_text(text, encoding="utf-8", newline="\n")
        temporary.replace(folder / _file(family))
    written = {_file(family) for family in pages}
    for path in folder.glob("*.md"):
        if path.name not in written and MARK in path.read_text(encoding="utf-8"):
            path.unlink()


def _file(family: str) -> str:
    """Return the name of a page's file: a task from somebody's records may be called anything."""
    return re.sub(r"[^\w-]+", "_", family).strip("_") + ".md"


def _family(cell: AgreementRecord) -> str:
    return cell.task.partition(":")[0]


def _page(family: str, agreements: Sequence[AgreementRecord], results: str) -> str:
    back = _TEXT.format(name=results.rpartition("/")[2], results=quote(results))
    parts = [f"# {suite.task_title(family)}", MARK, back]
    suites = sorted({cell.suite for cell in agreements}, key=lambda name: (name != "embedded", name))
    for name in suites:
        of_suite = [cell for cell in agreements if cell.suite == name]
        order = tables.estimator_order(of_suite)
        parts.append(f"## {name}")
        for cells in comparisons.by_setting(of_suite):
            parts += _setting(cells, order)
            policies = [cell for cell in of_suite if setting_of(cell) == setting_of(cells[0])]
            if cells[0].setting == "models" and len(policies) > len(cells):
                parts += ["ρ by how a model's score is made from those of its layers:"]
                parts += [setting.policies(policies, order)]
    return "\n\n".join(parts) + "\n"


def _setting(cells: Sequence[AgreementRecord], order: Sequence[str]) -> list[str]:
    truth = cells[0]
    parts = [suite.heading(truth).replace("####", "###", 1), suite.facts(truth)]
    parts.append(setting.estimators(cells, order))
    notes = [f"- {cell.estimator}: no score: {cell.error}" for cell in cells if cell.status == "failed"]
    notes += [f"- {cell.estimator}: {cell.reason}" for cell in cells if cell.reason]
    if notes:
        parts.append("\n".join(sorted(notes)))
    parts += ["What else the scores tell, and what choosing by them loses and costs:"]
    parts += [setting.measures(cells, order)]
    parts.append("Fine-tuning, and the rank that each estimator gives (1 is best):")
    parts.append(setting.ranking(cells, order))
    return parts
