"""RESULTS.md as a whole: what was measured, on what, the answers, each setting in short, and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foretune.judging import completed
from foretune.records import AgreementRecord, PublishedRecord, ScoreRecord, TuningRecord

from . import cost_section, experiments, ground_truth, published, suite, tables
from .costs import Costs
from .pages import MARK

_INTRODUCTION = (
    "Transferability estimators score pre-trained speech models, and the layers of each, for a task "
    "*before* fine-tuning. Here their rankings are compared with those of real fine-tuning."
)


def render(
    agreements: Sequence[AgreementRecord],
    runs: Sequence[TuningRecord],
    tabulated: Sequence[PublishedRecord] = (),
    figures: Mapping[tuple[str, str], Sequence[str]] | None = None,
    *,
    scores: Sequence[ScoreRecord] = (),
    timed: Sequence[TuningRecord] = (),
    pages: Mapping[str, str] | None = None,
) -> str:
    """Return RESULTS.md.

    Args:
        agreements: one a cell; of any suites.
        runs: the fine-tuning behind them; runs of other data than that of the agreements are not counted.
        tabulated: what was found in published results of real models.
        figures: what shows them, by suite and family of tasks (`figures.links`); none by default.
        scores: behind the agreements, which say what these cost.
        timed: runs that were made beside scores, on the same machine.
        pages: where everything of a family of tasks stands (`pages.links`); nowhere by default.
    """
    shown = dict(figures or {})
    agreements = sorted(map(completed, agreements), key=lambda cell: cell.key)  # whoever wrote first
    costs = Costs(scores, runs, timed)
    parts = ["# Results", MARK, _INTRODUCTION]
    suites = sorted({cell.suite for cell in agreements}, key=lambda name: (name != "embedded", name))
    for name in suites:
        parts += suite.section(
            name,
            [cell for cell in agreements if cell.suite == name and not cell.of_part],
            [run for run in runs if run.suite == name],
            costs.ratio,
            first=name == suites[0],
            figures=shown,
            pages=pages or {},
        )
    whole = [cell for cell in agreements if not cell.of_part]
    parts += experiments.section(agreements, tabulated, costs.ratio)
    parts += cost_section.section(whole, costs, tabulated, timed, scores)
    parts += ground_truth.section([run for run in runs if run.suite == "embedded" and ":" not in run.task])
    parts += published.section(tabulated)
    parts += ["## Where the numbers come from", _provenance(agreements, runs)]
    return "\n\n".join(parts) + "\n"


def _provenance(agreements: Sequence[AgreementRecord], runs: Sequence[TuningRecord]) -> str:
    """List the code, data and packages behind the records, those of all tasks together."""
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for record in (*agreements, *runs):
        origin = record.provenance
        what = "agreement" if isinstance(record, AgreementRecord) else "fine-tuning"
        code = origin.commit + (" (changed)" if origin.dirty else "")
        packages = " ".join(f"{name} {origin.packages[name]}" for name in sorted(origin.packages))
        parts = [origin.machine, origin.processor, origin.device, suite.count(origin.threads, "thread")]
        where = ", ".join(filter(None, parts))
        data = f"{record.task} {record.data_revision}"
        found.setdefault((what, record.suite, code, where, packages), []).append((data, origin.started[:10]))
    rows = []
    for key, made in sorted(found.items()):
        days = sorted({day for _, day in made})
        span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        rows.append([*key[:2], str(len(made)), span, *key[2:], "; ".join(sorted({data for data, _ in made}))])
    headers = ["records", "suite", "number", "made", "code", "machine", "packages", "data"]
    return tables.markdown(headers, rows, text_columns=len(headers))
