"""RESULTS.md as a whole: what was measured, on what, the summary, each setting, and provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from foretune.records import AgreementRecord, PublishedRecord, TuningRecord
from foretune.tasks import TASKS

from . import published, tables

_SUITES = {
    "embedded": (
        "Synthetic speech (the embedded suite)",
        "All speech here is **synthetic**: spoken by espeak-ng, a formant synthesiser, from sentences of a "
        "grammar, by voices that are variations of one another, with emotions made by published acoustic "
        "rules, and with noise and rooms added. The candidates are small encoders pre-trained on other "
        "sentences and voices of the same kind, their untrained twins, and filter banks. So these numbers "
        "can show whether an estimator ranks candidates as fine-tuning does where everything is known and "
        "repeatable, and whether a change of the code broke one. They cannot show how an estimator fares "
        "with natural voices, real channels, spontaneous speech or large pre-trained models.",
    ),
    "local": (
        "Real speech",
        "Recordings of people, run by hand; few candidates, so the smallest possible p-value is large.",
    ),
}

OURS = "held_out_evidence"
"""The estimator of our own, which is set beside its rivals."""

_OTHER_SUITE = (
    "Recordings scored and fine-tuned on by hand (`foretune tune`, `foretune judge`), not part of the "
    "repository. The candidates are the small encoders that ship, pre-trained on synthetic speech."
)

_READING = """- **ρ** is Spearman's rank correlation between an estimator's scores and the results of real \
fine-tuning, metrics turned so that higher is better: 1 is the same order, 0 no relation, -1 the reverse.
- **p** is the share of all orders of the candidates whose |ρ| is at least that large: exact, two-sided. \
With few candidates it cannot be small; the smallest that the number allows is given with each setting. \
**p, smooth** compares with circular shifts and reversals of the curve over layers instead: layers are not \
independent, so where it is large a small p proves little.
- Many cells are tested at once: of twenty without any relation, one has p < 0.05 by chance.
- **regret** is what is lost, in the metric's unit, by fine-tuning only the candidate with the best score \
(**@3**: the best of the three with the best scores) instead of all.
- **seconds** is what the scores of all candidates of a setting cost: forward passes, statistics, scores. \
**cost ratio** is the time to fine-tune them all once, with one seed, over that.
- Rows in *italics* are baselines that look at no label of the task. An estimator that does not beat them \
has shown nothing.
- **±** is the standard deviation over seeds of fine-tuning: where it is as large as the distance between \
candidates, no estimator can rank these, nor could fine-tuning once."""


def render(
    agreements: Sequence[AgreementRecord],
    runs: Sequence[TuningRecord],
    tabulated: Sequence[PublishedRecord] = (),
    figures: Mapping[tuple[str, str], Sequence[str]] | None = None,
) -> str:
    """Return RESULTS.md.

    Args:
        agreements: one a cell; of any suites.
        runs: the fine-tuning behind them; runs of other data than that of the agreements are not counted.
        tabulated: what was found in published results of real models.
        figures: what shows them, by suite and family of tasks (`figures.links`); none by default.
    """
    shown = dict(figures or {})
    agreements = sorted(agreements, key=lambda cell: cell.key)  # whoever wrote first
    parts = ["# Results", _introduction()]
    suites = sorted({cell.suite for cell in agreements}, key=lambda suite: (suite != "embedded", suite))
    for suite in suites:
        parts += _suite(
            suite,
            [cell for cell in agreements if cell.suite == suite],
            [run for run in runs if run.suite == suite],
            first=suite == suites[0],
            figures=shown,
        )
    parts += published.section(tabulated)
    parts += ["## Where the numbers come from", _provenance(agreements, runs)]
    return "\n\n".join(parts) + "\n"


def _introduction() -> str:
    return (
        "*Written by `foretune report` from records; do not edit.*\n\n"
        "Transferability estimators score pre-trained speech models, and the layers of each, for a task "
        "*before* fine-tuning. Here their rankings are compared with those of real fine-tuning."
    )


def _suite(
    suite: str,
    cells: Sequence[AgreementRecord],
    runs: Sequence[TuningRecord],
    *,
    first: bool,
    figures: dict[tuple[str, str], Sequence[str]],
) -> list[str]:
    title, description = _SUITES.get(suite, (f"Suite: {suite}", _OTHER_SUITE))
    order = tables.estimator_order(cells)
    parts = [f"## {title}", description, _measured(cells, runs), tables.summary(cells)]
    parts.append(
        "Mean ρ over the models of a setting; cells with ρ > 0 and "
        f"p < {tables.SIGNIFICANT}; median cost ratio. Best mean first."
    )
    if first:
        parts += ["### How to read it", _READING]
    parts += [*figures.pop(("", ""), ()), *figures.pop((suite, ""), ())]
    for rival in ("logme", "ridge"):
        compared = tables.comparison(cells, OURS, rival)
        if compared is not None:
            parts.append(compared)
    for task in sorted({cell.task for cell in cells}):
        of_task = [cell for cell in cells if cell.task == task]
        parts.append(f"### {_task_title(task)}")
        parts += figures.pop((suite, task.partition(":")[0]), ())
        for model in sorted({cell.model for cell in of_task if cell.setting == "layers"}):
            chosen = [cell for cell in of_task if (cell.setting, cell.model) == ("layers", model)]
            parts += _setting(f"#### {task}: layers of {model}", chosen, order)
        models = [cell for cell in of_task if cell.setting == "models"]
        if models:
            parts += _setting(f"#### {task}: models", tables.default_cells(models), order)
            parts += ["ρ by how a model's score is made from those of its layers:"]
            parts += [tables.policies(models, order)]
    return parts


def _setting(heading: str, cells: Sequence[AgreementRecord], order: Sequence[str]) -> list[str]:
    if not cells:
        return []
    truth = cells[0]
    facts = (
        f"{truth.candidates} candidates, fine-tuned with {_count(truth.seeds, 'seed')} each; "
        f"{truth.metric.upper()}, {truth.direction} is better; "
        f"the smallest possible p is {tables.significant(truth.smallest_p_value)}."
    )
    parts = [heading, facts, tables.estimators(cells, order)]
    notes = [f"- {cell.estimator}: no score: {cell.error}" for cell in cells if cell.status == "failed"]
    notes += [f"- {cell.estimator}: {cell.reason}" for cell in cells if cell.reason]
    if notes:
        parts.append("\n".join(sorted(notes)))
    parts.append("Fine-tuning, and the rank that each estimator gives (1 is best):")
    parts.append(tables.ranking(cells, order))
    return parts


def _measured(cells: Sequence[AgreementRecord], runs: Sequence[TuningRecord]) -> str:
    tasks = sorted({cell.task for cell in cells})
    models = sorted({name for cell in cells if cell.setting == "models" for name in cell.names})
    layered = sorted({cell.model for cell in cells if cell.setting == "layers"})
    sentences = [f"{_count(len({cell.estimator for cell in cells}), 'estimator')} on {', '.join(tasks)}."]
    if models:
        sentences.append(f"Models: {', '.join(models)}.")
    if layered:
        sentences.append(f"Layers of: {', '.join(layered)}.")
    revisions = {(cell.task, cell.data_revision) for cell in cells}
    used = [run for run in runs if (run.task, run.data_revision) in revisions and run.status == "done"]
    if used:
        hours = math.fsum(run.wall_seconds for run in used) / 3600
        machines = sorted({f"{run.provenance.device} ({run.provenance.machine})" for run in used})
        sentences.append(
            f"The ground truth is {_count(len(used), 'fine-tuning run')}, {tables.significant(hours)} hours "
            f"on {', '.join(machines)}."
        )
    scored = sorted({f"{cell.provenance.device} ({cell.provenance.machine})" for cell in cells})
    sentences.append(f"Scores were computed on {', '.join(scored)}.")
    return " ".join(sentences)


def _provenance(agreements: Sequence[AgreementRecord], runs: Sequence[TuningRecord]) -> str:
    """List the code, data and packages behind the records."""
    rows: set[tuple[str, ...]] = set()
    for record in (*agreements, *runs):
        origin = record.provenance
        what = "agreement" if isinstance(record, AgreementRecord) else "fine-tuning"
        code = origin.commit + (" (changed)" if origin.dirty else "")
        packages = " ".join(f"{name} {origin.packages[name]}" for name in sorted(origin.packages))
        where = f"{origin.machine}, {origin.device}, {_count(origin.threads, 'thread')}"
        rows.add((what, record.suite, record.task, record.data_revision, code, where, packages))
    headers = ["records", "suite", "task", "data", "code", "machine", "packages"]
    return tables.markdown(headers, sorted(rows), text_columns=len(headers))


def _task_title(name: str) -> str:
    title = TASKS[name].title if name in TASKS else name
    return title[0].upper() + title[1:]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
