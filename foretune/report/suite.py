"""The sections of RESULTS.md on one suite of speech: the answer, the summary, and each setting in short."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from foretune.records import AgreementRecord, TuningRecord
from foretune.setting import KINDS
from foretune.tasks import TASKS

from . import answers, comparisons, setting, tables
from .settings import default_cells, kind_of, setting_of

OURS = "held_out_evidence"
"""The estimator of our own, which is set beside its rivals."""

_SUITES = {
    "embedded": (
        "Synthetic speech (the embedded suite)",
        "All speech here is **synthetic**: spoken by espeak-ng, a formant synthesiser, from sentences of a "
        "grammar, by voices that are variations of one another, with emotions made by published acoustic "
        "rules, and with noise and rooms added. The candidates are small encoders pre-trained on other "
        "sentences and voices of the same kind, and filter banks. So these numbers "
        "can show whether an estimator ranks candidates as fine-tuning does where everything is known and "
        "repeatable, and whether a change of the code broke one. They cannot show how an estimator fares "
        "with natural voices, real channels, spontaneous speech or large pre-trained models.",
    ),
    "local": (
        "Real speech",
        "Recordings of people, run by hand; few candidates, so the smallest possible p-value is large.",
    ),
}
_OTHER_SUITE = (
    "Recordings scored and fine-tuned on by hand (`foretune tune`, `foretune judge`), not part of the "
    "repository. The candidates are the small encoders that ship, pre-trained on synthetic speech."
)
_SUMMARY = (
    f"*p < {tables.STRICT}* counts the settings where an order as good comes by chance less often than that, "
    "*regret* is what fine-tuning only the first of the ranking loses, as a share of the distance from the "
    "worst candidate to the best, and *cost ratio* is how many times more operations it takes to fine-tune "
    "all candidates than to score them (median). Rows in *italics* are baselines that look at no label: an "
    "estimator that is not clearly above them has shown nothing."
)
_KINDS = (
    "A *setting* is a task and candidates that were fine-tuned for it in one way; settings are never mixed, "
    "and each counts once in every mean. Their kinds: *layers*, the encoder cut after each layer, the rest "
    "trained; *layers, each alone*, only that layer trained; *models, full*, whole encoders trained; "
    "*models, probed*, encoders frozen under a learned sum of their layers. Models have the score of their "
    "last layer; where they were probed that of their best layer, or of the last where an estimator needs "
    "samples. Mean ρ by kind, and how many settings it is over:"
)
_STANDINGS = (
    "The mean difference of ρ over all settings, p by all ways to turn the signs of these differences, and "
    "the same corrected by Holm for the number of estimators. The best baseline is chosen anew in each "
    "setting, after the fact, which makes it harder to beat than any one of them; few settings cannot give "
    "a small p."
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
give. Intervals of means take settings as independent, which those of one task are not quite.
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
- **seconds** is what the scores of all candidates of a setting cost on the machine that made them: forward \
passes, statistics, scores. **cost ratio** is the operations of fine-tuning them all once, with one seed, \
over those of scoring them ([What it costs](#what-it-costs)).
- Rows in *italics* are baselines that look at no label of the task. An estimator that does not beat them \
has shown nothing.
- **±** is the standard deviation over seeds of fine-tuning: where it is as large as the distance between \
candidates, no estimator can rank these, nor could fine-tuning once."""


def section(
    suite: str,
    cells: Sequence[AgreementRecord],
    runs: Sequence[TuningRecord],
    ratio: tables.Ratio,
    *,
    first: bool,
    figures: dict[tuple[str, str], Sequence[str]],
    pages: Mapping[str, str],
) -> list[str]:
    """Return the parts of a suite's sections.

    Args:
        suite: its name.
        cells: of it.
        runs: of it.
        ratio: of the costs of a cell.
        first: whether it is the first, which says how to read what follows.
        figures: what shows them, by suite and family of tasks; those that are shown are taken out.
        pages: where everything of a family of tasks stands, by its name; empty where that is not written.
    """
    title, description = _SUITES.get(suite, (f"Real speech: {suite}", _OTHER_SUITE))
    order = tables.estimator_order(cells)
    parts = [f"## {title}", description, measured(cells, runs), _in_short(cells, order)]
    parts += ["### Which estimator for which task?", answers.table(cells, ratio), answers.TEXT]
    parts += ["### Every estimator, every task", tables.summary(cells, ratio)]
    if first:
        parts += [_SUMMARY, "### How to read this", _READING]
    parts += [*figures.pop(("", ""), ()), *figures.pop((suite, ""), ())]
    if len({kind_of(cell) for cell in cells}) > 1:
        parts += ["### By kind of setting", *([_KINDS] if first else []), tables.by_kind(cells)]
    standings = comparisons.table(cells, order)
    if standings is not None:
        parts += ["### Better than LogME, or than a baseline?", *([_STANDINGS] if first else []), standings]
    compared = tables.comparison(cells, OURS, ("logme", "ridge"))
    if compared is not None:
        parts.append(compared)
    for task in sorted({cell.task for cell in cells}):
        family = task.partition(":")[0]
        parts.append(f"### {task_title(task)}")
        if family in pages:
            parts.append(f"Every estimator, statistic and candidate: [{family}.md]({pages[family]}).")
        parts += figures.pop((suite, family), ())
        for each in comparisons.by_setting([cell for cell in cells if cell.task == task]):
            parts += [heading(each[0]), facts(each[0]), setting.compact(each, order)]
    return parts


def heading(cell: AgreementRecord) -> str:
    """Return the heading of a setting."""
    return f"#### {cell.task}: {setting_of(cell).title}"


def facts(truth: AgreementRecord) -> str:
    """Return what the candidates of a setting are, how they were fine-tuned, and what noise leaves."""
    return (
        f"{truth.candidates} candidates, fine-tuned with {seeds_of(truth)} each; "
        f"{truth.metric.upper()}, {truth.direction} is better; "
        f"the smallest possible p is {tables.significant(truth.smallest_p_value)}. {_ceiling(truth)}"
    )


def _ceiling(cell: AgreementRecord) -> str:
    """Return what the seeds leave to be reached in a setting."""
    if cell.ceiling is None:
        return "With one seed nothing is known of the noise."
    halves = "" if cell.split_half is None else f"Seeds agree with seeds by {cell.split_half:.2f}; "
    sentence = f"{halves}knowing the true values would give ρ = {cell.ceiling:.2f}."
    return sentence[0].upper() + sentence[1:]


def _in_short(cells: Sequence[AgreementRecord], order: Sequence[str]) -> str:
    """Return which estimator agrees best, how well, and what could be reached."""
    chosen = default_cells(cells)
    best = [cell for cell in chosen if cell.estimator == order[0]]
    ceilings = {setting_of(cell): cell.ceiling for cell in chosen}
    known = [each for each in ceilings.values() if each is not None]
    reach = (
        f", and the noise between seeds would keep a perfect estimator to {math.fsum(known) / len(known):.2f}"
        if known
        else ""
    )
    return (
        f"{order[0]} agrees best with fine-tuning, ρ = {tables.mean_with_interval(best)} on average over "
        f"{count(len(best), 'setting')}, each counted once (the brackets hold the 95 % interval over "
        f"candidates), where 1 is the order that fine-tuning gives and 0 is chance{reach}."
    )


def measured(cells: Sequence[AgreementRecord], runs: Sequence[TuningRecord]) -> str:
    """Return what was measured, on what, when, and how often was fine-tuned for it."""
    chosen = default_cells(cells)
    settings = {setting_of(cell): cell for cell in chosen}
    models = sorted({name for cell in cells if cell.setting == "models" for name in cell.names})
    layered = sorted({cell.model for cell in cells if cell.setting == "layers"})
    kinds = [kind_of(cell) for cell in settings.values()]
    each = "; ".join(f"{kinds.count(kind)} of {kind}" for kind in KINDS.values() if kind in kinds)
    tasks = sorted({cell.task for cell in cells})
    estimators = count(len({cell.estimator for cell in cells}), "estimator")
    sentences = [f"{estimators} on {', '.join(tasks)}, in {count(len(settings), 'setting')}: {each}."]
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
            f"The ground truth is {count(len(used), 'fine-tuning run')}, {tables.significant(hours)} hours "
            f"on {', '.join(machines)}."
        )
    else:
        parts = [
            f"{sum(cell.seed_numbers)} {setting_of(cell).title} for {cell.task}"
            for _, cell in sorted(settings.items())
        ]
        number = sum(sum(cell.seed_numbers) for cell in settings.values())
        sentences.append(f"Behind it are at least {number} fine-tuning runs: {'; '.join(parts)}.")
    scored = sorted({f"{cell.provenance.device} ({cell.provenance.machine})" for cell in cells})
    days = sorted({cell.provenance.started[:10] for cell in cells})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    sentences.append(f"Scores were computed on {', '.join(scored)}, {span}.")
    return " ".join(sentences)


def task_title(name: str) -> str:
    """Return a task's name in words."""
    title = TASKS[name].title if name in TASKS else name
    return title[0].upper() + title[1:]


def seeds_of(cell: AgreementRecord) -> str:
    """Return with how many seeds the candidates of a setting were fine-tuned."""
    return f"{tables.least_to_most(cell.seed_numbers)} seed{'s' * (max(cell.seed_numbers) > 1)}"


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
