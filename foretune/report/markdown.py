"""RESULTS.md as a whole: what was measured, on what, the summary, each setting, and provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from foretune.judging import completed, default_policy
from foretune.records import AgreementRecord, PublishedRecord, TuningRecord
from foretune.tasks import TASKS

from . import comparisons, experiments, ground_truth, published, setting, tables

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

_PROTOCOLS = {
    "layer": "",
    "single-layer": ", each fine-tuned alone",
    "probe": ", probed",
}
"""How candidates were fine-tuned, where it is not the usual way."""

_SUMMARY = (
    f"*p < {tables.STRICT}* counts the settings where an order as good comes by chance less often than that, "
    "*regret* is what fine-tuning only the first of the ranking loses, as a share of the distance from the "
    "worst candidate to the best, and *cost ratio* is how many times longer it takes to fine-tune all "
    "candidates than to score them (median). Rows in *italics* are baselines that look at no label: an "
    "estimator that is not clearly above them has shown nothing."
)

_STANDINGS = (
    "The mean difference of ρ over the settings, p by all ways to turn the signs of these differences, and "
    "the same corrected by Holm for the number of estimators. The best baseline is chosen anew in each "
    "setting, after the fact, which makes it harder to beat than any one of them; few settings cannot give "
    "a small p."
)

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
- **95 %** is the interval of ρ over candidates: what the correlation may be among all candidates of \
which these are a sample. Layers are no sample; for them it says what as many unrelated candidates would \
give.
- **ceiling** is the ρ to be expected of an estimator that knows the true results, where those of \
fine-tuning are means over few seeds; an observed ρ above it owes something to luck. **over seeds** is where \
ρ with the true results lies, with 95 % probability, and **over speech** where that of scores from endless \
speech does.
- **p against** another estimator tests on the same candidates which of the two agrees better (+: this \
one), by all ways to swap their ranks, corrected by Holm for the number of estimators. The baseline is \
the best of this setting.
- **ρ given** depth or parameters holds these fixed: is there more to the scores than that later layers, \
or larger models, are better? (–: they explain everything.) **r** is Pearson's correlation, **τ** \
Kendall's τ_b, **τ_w** the same weighted towards the top, **recall@3** the share of the best three among \
the three best scores.
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
    agreements = sorted(map(completed, agreements), key=lambda cell: cell.key)  # whoever wrote first
    parts = ["# Results", _introduction()]
    suites = sorted({cell.suite for cell in agreements}, key=lambda suite: (suite != "embedded", suite))
    for suite in suites:
        parts += _suite(
            suite,
            [cell for cell in agreements if cell.suite == suite and not is_part(cell)],
            [run for run in runs if run.suite == suite],
            first=suite == suites[0],
            figures=shown,
        )
    parts += experiments.section(agreements, tabulated)
    parts += ground_truth.section([run for run in runs if run.suite == "embedded" and ":" not in run.task])
    parts += published.section(tabulated)
    parts += ["## Where the numbers come from", _provenance(agreements, runs)]
    return "\n\n".join(parts) + "\n"


def is_part(cell: AgreementRecord) -> bool:
    """Whether a cell is of a part of a task, which the whole task has heard too."""
    return ":" in cell.task


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
    parts.append(_in_short(cells, order, whole=first))
    standings = comparisons.table(cells, order)
    if standings is not None:
        parts += ["### Better than LogME, or than a baseline?", _STANDINGS, standings]
    if first:
        parts += ["### How to read what follows", _READING]
    parts += [*figures.pop(("", ""), ()), *figures.pop((suite, ""), ())]
    for rival in ("logme", "ridge"):
        compared = tables.comparison(cells, OURS, rival)
        if compared is not None:
            parts.append(compared)
    for task in sorted({cell.task for cell in cells}):
        of_task = [cell for cell in cells if cell.task == task]
        parts.append(f"### {_task_title(task)}")
        parts += figures.pop((suite, task.partition(":")[0]), ())
        for model, protocol in sorted(
            {(cell.model, cell.protocol) for cell in of_task if cell.setting == "layers"}
        ):
            where = ("layers", model, protocol)
            chosen = [cell for cell in of_task if (cell.setting, cell.model, cell.protocol) == where]
            tuned = _PROTOCOLS[protocol]
            parts += _setting(f"#### {task}: layers of {model}{tuned}", chosen, order)
        models = [cell for cell in of_task if cell.setting == "models"]
        for protocol in sorted({cell.protocol for cell in models}):
            own = [cell for cell in models if cell.protocol == protocol]
            usual = [cell for cell in own if cell.layer_policy == default_policy(protocol)]
            parts += _setting(f"#### {task}: models{_PROTOCOLS[protocol]}", usual, order)
            parts += ["ρ by how a model's score is made from those of its layers:"]
            parts += [setting.policies(own, order)]
    return parts


def _setting(heading: str, cells: Sequence[AgreementRecord], order: Sequence[str]) -> list[str]:
    if not cells:
        return []
    truth = cells[0]
    facts = (
        f"{truth.candidates} candidates, fine-tuned with {_count(truth.seeds, 'seed')} each; "
        f"{truth.metric.upper()}, {truth.direction} is better; "
        f"the smallest possible p is {tables.significant(truth.smallest_p_value)}. {_ceiling(truth)}"
    )
    parts = [heading, facts, setting.estimators(cells, order)]
    notes = [f"- {cell.estimator}: no score: {cell.error}" for cell in cells if cell.status == "failed"]
    notes += [f"- {cell.estimator}: {cell.reason}" for cell in cells if cell.reason]
    if notes:
        parts.append("\n".join(sorted(notes)))
    parts += ["What else the scores tell, and what choosing by them loses and costs:"]
    parts += [setting.measures(cells, order)]
    parts.append("Fine-tuning, and the rank that each estimator gives (1 is best):")
    parts.append(setting.ranking(cells, order))
    return parts


def _in_short(cells: Sequence[AgreementRecord], order: Sequence[str], *, whole: bool) -> str:
    """Return how to read the summary, in three sentences; or the first of them."""
    chosen = tables.default_cells(cells)
    best = [cell for cell in chosen if cell.estimator == order[0]]
    ceilings = {(cell.task, cell.setting, cell.model): cell.ceiling for cell in chosen}
    known = [each for each in ceilings.values() if each is not None]
    reach = (
        f", and the noise between seeds would keep a perfect estimator to {math.fsum(known) / len(known):.2f}"
        if known
        else ""
    )
    first = (
        f"{order[0]} agrees best with fine-tuning, ρ = {tables.mean_with_interval(best)} on average over "
        f"{_count(len(best), 'setting')} (the brackets hold the 95 % interval over candidates), where 1 is "
        f"the order that fine-tuning gives and 0 is chance{reach}."
    )
    return f"{first} {_SUMMARY}" if whole else first


def _ceiling(cell: AgreementRecord) -> str:
    """Return what the seeds leave to be reached in a setting."""
    if cell.ceiling is None:
        return "With one seed nothing is known of the noise."
    halves = "" if cell.split_half is None else f"Seeds agree with seeds by {cell.split_half:.2f}; "
    sentence = f"{halves}knowing the true values would give ρ = {cell.ceiling:.2f}."
    return sentence[0].upper() + sentence[1:]


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
