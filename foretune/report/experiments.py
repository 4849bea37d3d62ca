"""The section of RESULTS.md on the paper's experiments, rebuilt on encoders and speech that ship."""

from __future__ import annotations

from collections.abc import Sequence

from foretune.experiments import ESTIMATORS, REBUILT, RebuiltExperiment
from foretune.judging import DEFAULT_POLICY
from foretune.records import AgreementRecord, PublishedRecord
from foretune.records.tuning import planned
from foretune.seeds import pooled
from foretune.tasks.published import chen2023

from . import tables
from .comparisons import LOGME
from .explanation import explain
from .suite import seeds_of

_INTRODUCTION = (
    "Chen et al., 2023 (arXiv:2306.01015) judge three estimators by three experiments. Here each is rebuilt: "
    "the same kinds of encoders, tasks and fine-tuning, but small encoders and synthetic speech. *paper, ρ* "
    "and *paper, p* are computed again from the paper's own ranks, with exact p-values; the brackets hold "
    "the 95 % interval of ρ over candidates. The languages are adapted to together, so that only all of them "
    "have a cost of fine-tuning; those below are scored on their own training speech, and judged by the "
    "results on their own test speech. The paper's setting differs in what cannot be rebuilt here: its "
    "speech is real, its encoders are large (HuBERT Base has 95 million parameters), and fine-tuned to the "
    "end. What keeps LogME from a perfect ranking *here* stands below each table."
)
_SPREAD = (
    "{measure} by {what}, mean over {seeds}: {values}. The distance from best to worst is {spread}, "
    "{ratio} times the standard deviation over seeds ({deviation}, pooled)."
)


def section(
    agreements: Sequence[AgreementRecord],
    tabulated: Sequence[PublishedRecord],
    ratio: tables.Ratio = lambda cell: None,
) -> list[str]:
    """Return the parts of the section, headings and tables; none where no experiment was run.

    Args:
        agreements: of any cells; those of the experiments are chosen.
        tabulated: the paper's own, computed again.
        ratio: of the costs of a cell, in operations; seconds may be of several machines.
    """
    titles = {experiment.name: experiment.title for experiment in chen2023()}
    parts = []
    for experiment in REBUILT.values():
        cells = [cell for cell in agreements if _belongs(cell, experiment)]
        if cells:
            title = titles[experiment.name]
            parts += [f"### {title[0].upper()}{title[1:]}"]
            parts += [_truth(experiment, cells), _table(experiment, cells, tabulated, ratio)]
            parts += _why(experiment, cells, agreements)
            parts += [experiment.caution] if experiment.caution else []
    return ["## The paper's experiments, rebuilt", _INTRODUCTION, *parts] if parts else []


def _belongs(cell: AgreementRecord, experiment: RebuiltExperiment) -> bool:
    policy = DEFAULT_POLICY if experiment.setting == "models" else "each"
    return (cell.suite, cell.setting, cell.model, cell.protocol, cell.layer_policy) == (
        "embedded", experiment.setting, experiment.model, planned(experiment.protocol), policy
    ) and (cell.task in experiment.tasks and cell.estimator in ESTIMATORS)  # fmt: skip


def _truth(experiment: RebuiltExperiment, cells: Sequence[AgreementRecord]) -> str:
    whole = next((cell for cell in cells if cell.task == experiment.tasks[0]), cells[0])
    deviation = pooled(whole.deviations, whole.seed_numbers)
    spread = max(whole.values) - min(whole.values)
    pairs = zip(whole.names, whole.values, strict=True)
    return _SPREAD.format(
        measure=experiment.measure,
        what="layer" if experiment.setting == "layers" else "model",
        seeds=seeds_of(whole),
        values=", ".join(f"{name} {value:.3f}" for name, value in pairs),
        spread=tables.number(spread, 3),
        ratio=tables.significant(spread / deviation) if deviation else "an unknown number of",
        deviation=tables.number(deviation, 4),
    )


def _why(
    experiment: RebuiltExperiment, cells: Sequence[AgreementRecord], agreements: Sequence[AgreementRecord]
) -> list[str]:
    """Return what explains LogME's agreement; nothing where it was not judged."""
    own = next((cell for cell in cells if (cell.task, cell.estimator) == (experiment.tasks[0], LOGME)), None)
    if own is None:
        return []
    wanted = own.model_copy(update={"protocol": "layer"}).key
    cut = next((cell for cell in agreements if cell.key == wanted), None) if own.setting == "layers" else None
    text = explain(own, cut)
    return [text] if text else []


def _table(
    experiment: RebuiltExperiment,
    cells: Sequence[AgreementRecord],
    tabulated: Sequence[PublishedRecord],
    ratio: tables.Ratio,
) -> str:
    suite = f"chen2023_{experiment.name}"
    paper = {
        record.estimator: record
        for record in tabulated
        if record.suite == suite and record.truth == "printed ranks"
    }
    headers = ["task", "estimator", "n", "ρ", "95 %", "exact p", "regret", "scoring, s", "fine-tuning, s"]
    headers += ["cost ratio", "paper, ρ", "paper, p"]
    rows = []
    for cell in sorted(
        cells, key=lambda cell: (experiment.tasks.index(cell.task), ESTIMATORS.index(cell.estimator))
    ):
        known = paper.get(cell.estimator) if cell.task == experiment.tasks[0] else None
        rows.append(
            [
                cell.task,
                cell.estimator,
                str(cell.candidates),
                tables.number(cell.spearman),
                _interval(cell),
                tables.significant(cell.p_value),
                tables.number(cell.regret, 3),
                tables.significant(cell.score_seconds),
                tables.significant(None if cell.of_part else cell.fine_tune_seconds, 3),
                tables.significant(ratio(cell)),
                tables.number(known.spearman if known else None, 3),
                tables.significant(known.p_value if known else None),
            ]
        )
    return tables.markdown(headers, rows, text_columns=2)


def _interval(cell: AgreementRecord) -> str:
    if cell.low is None or cell.high is None:
        return tables.number(None)
    return f"{tables.number(cell.low)} to {tables.number(cell.high)}"
