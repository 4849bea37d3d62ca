"""The section of RESULTS.md on cost: scoring against fine-tuning, setting by setting and on one machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from foretune.records import AgreementRecord, PublishedRecord, ScoreRecord, TuningRecord

from . import tables
from .costs import Costs, Place, Spent, candidate_of, one_pass, spent
from .settings import default_cells, setting_of

ESTIMATORS = ("logme", "held_out_evidence", "sliced_wasserstein", "tsne_distance")
"""Those whose cost is told: the usual one, ours, and the others of Chen et al., 2023."""
EMBEDDED = "embedded"
_MOST_COMMON = "logme"

_TEXT = (
    "What scoring all candidates of a setting by one estimator alone costs (reading speech, forward passes, "
    "statistics, the estimator) against fine-tuning each of them once, on the same data. *wall* and *CPU* "
    "are seconds; they are only divided where both were spent on the same kind of machine (system, "
    "processor, cores, threads), and a dash says that they were not. Operations need no machine; T is 10¹². "
    "Counted are matrix products, convolutions and attention: of fine-tuning, all updates, forward and "
    "backward; of scoring, the whole forward pass and the Gram matrices. Not counted are, of fine-tuning, "
    "the frozen front end, evaluations and the optimiser, and, of scoring, what the estimator itself does "
    "(its share of the CPU seconds is given instead). Scoring's forward pass has the front end in it, so "
    "the ratio of operations is less than the true one. Fine-tuning here is made cheap on purpose (some "
    "hundred updates of small encoders), which makes the ratios small; the paper fine-tunes large models to "
    "the end."
)
_SETTINGS = (
    "Scoring by LogME, and fine-tuning, of all candidates of a setting. Rows with ratios of seconds are of "
    "one machine: where the ground truth was made elsewhere, or several runs at a time, every candidate was "
    "fine-tuned once more there, by itself and with as many threads as scoring has (`foretune tune --seeds 1 "
    "--records results/records/cost.jsonl`). The seconds of other rows are those of the ground truth."
)
_ESTIMATORS = (
    "By estimator, medians over the settings that have a ratio, beside the paper's own for four models on "
    "keyword spotting (wall seconds; fine-tuning took 0.61 days):"
)
_RECORDINGS = "Likewise of recordings:"
_SIDE_BY_SIDE = (
    "One candidate scored and really fine-tuned side by side, in one process on one machine "
    "(`pytest bench/test_cost.py`; scoring is that of the last layer):"
)


def section(
    agreements: Sequence[AgreementRecord],
    costs: Costs,
    tabulated: Sequence[PublishedRecord],
    timed: Sequence[TuningRecord],
    scores: Sequence[ScoreRecord],
) -> list[str]:
    """Return the parts of the section; none where nothing is known of the cost.

    Args:
        agreements: of the embedded suite and of recordings.
        costs: of scoring and of fine-tuning.
        tabulated: the paper's own, computed again.
        timed: runs that were made beside scores; those of settings that were timed as a whole are in `costs`.
        scores: that the runs may have been made beside.
    """
    cells = [cell for cell in default_cells(agreements) if cell.estimator in ESTIMATORS]
    embedded = [cell for cell in cells if cell.suite == EMBEDDED]
    recorded = [cell for cell in cells if cell.suite != EMBEDDED]
    parts = []
    if table := _settings(embedded, costs):
        parts += [_SETTINGS, table, _ESTIMATORS, _by_estimator(embedded, costs, tabulated)]
    if table := _settings(recorded, costs):
        parts += [_RECORDINGS, table]
    whole = {each for cell in cells if costs.is_timed(cell) for each in costs.candidates(cell)}
    beside = _side_by_side([run for run in timed if candidate_of(run) not in whole], scores)
    if beside:
        parts += [_SIDE_BY_SIDE, beside]
    return ["## What it costs", _TEXT, *parts] if parts else []


def _settings(cells: Sequence[AgreementRecord], costs: Costs) -> str:
    """Return a table with a row a setting; none where nothing is known of the cost of any."""
    headers = ["setting", "n", "tuning, wall", "tuning, CPU", "tuning, T", "scoring, wall"]
    headers += ["scoring, CPU", "scoring, T", "wall ratio", "CPU ratio", "operations ratio"]
    rows = [
        _setting(cell, costs)
        for cell in sorted(cells, key=lambda cell: (cell.suite, setting_of(cell)))
        if cell.estimator == _MOST_COMMON and (costs.scoring(cell) or costs.tuning(cell))
    ]
    return tables.markdown(headers, rows) if rows else ""


def _setting(cell: AgreementRecord, costs: Costs) -> list[str]:
    scoring, tuning = costs.scoring(cell), costs.tuning(cell)
    place = "" if cell.suite == EMBEDDED else f"{cell.suite}: "
    row = [f"{place}{cell.task}, {setting_of(cell).title}", str(cell.candidates)]
    row += _amounts(tuning) + _amounts(scoring)
    return row + [tables.significant(costs.ratio(cell, what)) for what in ("wall", "cpu", "flops")]


def _amounts(cost: Spent | None) -> list[str]:
    if cost is None:
        return [tables.NONE] * 3
    flops = None if cost.flops is None else cost.flops / 1e12
    return [tables.significant(each, 3) for each in (cost.wall, cost.cpu, flops)]


def _by_estimator(
    cells: Sequence[AgreementRecord], costs: Costs, tabulated: Sequence[PublishedRecord]
) -> str:
    paper = {
        record.estimator: record.fine_tune_seconds / record.score_seconds
        for record in tabulated
        if record.suite == "chen2023_models" and record.score_seconds and record.fine_tune_seconds
    }
    headers = ["estimator", "settings", "wall ratio", "CPU ratio", "operations ratio", "paper, wall ratio"]
    headers += ["the estimator's own share of CPU"]
    rows = []
    for name in ESTIMATORS:
        own = [cell for cell in cells if cell.estimator == name and cell.status == "done"]
        if not own:
            continue
        row = [name, str(len(own))]
        row += [
            tables.significant(tables.median_ratio(own, lambda cell, what=what: costs.ratio(cell, what)))  # type: ignore[misc]
            for what in ("wall", "cpu", "flops")
        ]
        row.append(f"{paper[name]:,.0f}" if name in paper else tables.NONE)
        shares = [share for share in map(costs.own_share, own) if share is not None]
        row.append(f"{100 * statistics.median(shares):.0f} %" if shares else tables.NONE)
        rows.append(row)
    return tables.markdown(headers, rows)


def _side_by_side(timed: Sequence[TuningRecord], scores: Sequence[ScoreRecord]) -> str:
    found: dict[tuple[object, ...], list[ScoreRecord]] = {}
    for score in scores:
        found.setdefault(_where(score, score.layer), []).append(score)
    headers = ["task", "model", "tuned", "scored by", "machine", "tuning, wall", "tuning, CPU", "tuning, T"]
    headers += ["scoring, wall", "scoring, CPU", "scoring, T", "wall ratio", "CPU ratio", "operations ratio"]
    rows = []
    for run in sorted(timed, key=lambda run: run.key):
        own = spent(run)
        if run.status != "done" or own.place is None:
            continue
        for score in sorted(found.get(_where(run, run.layer), []), key=lambda score: score.estimator):
            if score.estimator in ESTIMATORS and score.score is not None:
                cost = one_pass([score])
                protocol = "full" if run.protocol == "layer" else run.protocol
                row = [run.task, run.model, protocol, score.estimator, _machine(own.place)]
                row += _amounts(own) + _amounts(cost)
                rows.append(
                    row + [tables.significant(own.over(cost, what)) for what in ("wall", "cpu", "flops")]
                )
    return tables.markdown(headers, rows, text_columns=5) if rows else ""


def _where(record: TuningRecord | ScoreRecord, layer: int) -> tuple[object, ...]:
    return (
        record.suite, record.task, record.data_revision, record.model, record.model_revision, layer,
        record.provenance.place,
    )  # fmt: skip


def _machine(place: Place) -> str:
    system, processor, cores, device, threads = place
    plural = "" if threads == 1 else "s"
    return f"{processor} ({system}), {threads} thread{plural} of {cores} cores, {device}"
