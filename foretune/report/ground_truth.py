"""The sections of RESULTS.md on the ground truth: how far candidates differ, how surely, at what cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import scipy.stats

from foretune.agreement import ceiling
from foretune.ground_truth import LEAST_CANDIDATES, Outcome
from foretune.models import twin
from foretune.records import Provenance, TuningRecord
from foretune.records.tuning import planned
from foretune.seeds import LEAST_RATIO, LEAST_SPLIT_HALF, by_candidate, pooled, seed_agreement
from foretune.setting import by_setting

from . import tables
from .settings import metric_name

SERVES = {
    "ctc": "asr",
    "conformer": "asr",
    "whisper": "asr",
    "speaker": "speaker_identification",
    "fcnn": "keyword_spotting",
    "vggish": "keyword_spotting",
    "hubert": "phoneme_recognition",
    "hubert2-early": "phoneme_recognition",
    "hubert2-middle": "phoneme_recognition",
    "hubert2": "phoneme_recognition",
    "wavlm": "phoneme_recognition",
    "wav2vec2": "phoneme_recognition",
    "data2vec": "phoneme_recognition",
    "decoar2": "phoneme_recognition",
    "apc": "phoneme_recognition",
}
"""The task that each encoder's objective serves: what it was trained on, or, without labels, sounds."""

_TRUTH = (
    "How far apart fine-tuning puts the candidates of each setting. *deviation* is the standard deviation "
    "over seeds, pooled over candidates; *spread* is the distance from the worst candidate to the best. "
    f"Where spread is less than {LEAST_RATIO:g} deviations (*), the order of neighbours is chance. "
    "*split-half* is how well rankings by some of the seeds agree with those by the others (less than "
    f"{LEAST_SPLIT_HALF:g}: *), and *ceiling* the ρ to be expected of an estimator that knows the true "
    "results. Either * says that the seeds disagree: there `foretune tune --max-seeds` makes further ones. "
    "Runs count in each setting that they serve."
)
_GRID = (
    "What it cost, each run counted once. Seconds are those of the machines named, one thread a run; "
    "operations (T is 10¹²) are those of all updates, of as many runs as counted them. Runs that failed are "
    "not in any mean."
)
_ZOO = (
    "Each encoder that ships against its untrained twin (the same architecture, random weights) on the task "
    "that its objective serves, fine-tuned as a whole and, frozen, probed: what pre-training gave it. *95 %* "
    "is the interval of this gain by Student's t, with one deviation over seeds for both; where it holds no "
    "0, pre-training has surely helped. *times deviation* is the gain over the standard deviation of the "
    "difference between two runs with different seeds. Twins are not among the models of any setting: nobody "
    "chooses one, and with one for each encoder a ranking would ask which of them are trained."
)


def section(runs: Sequence[TuningRecord]) -> list[str]:
    """Return the parts of the sections, headings and tables; none where there are no runs.

    Args:
        runs: fine-tuning runs, of each task on one version of its data; those that failed are only counted.
    """
    done = [run for run in runs if run.status == "done" and run.value is not None]
    if not done:
        return []
    parts = ["## The ground truth", _TRUTH, _settings(done), "### What the grid cost", _GRID, _grid(runs)]
    gains = _gains(done)
    if gains:
        parts += ["### What pre-training gave", _ZOO, gains]
    return parts


def _settings(runs: Sequence[TuningRecord]) -> str:
    headers = ["task", "candidates", "n", "seeds", "metric", "worst", "best", "spread"]
    headers += ["deviation", "spread / deviation", "split-half", "ceiling", "runs"]
    rows = []
    for setting, found in sorted(by_setting(runs, runs[0].suite).items()):
        outcomes = list(by_candidate(found).values())
        if len(outcomes) < LEAST_CANDIDATES:
            continue
        means = [each.value for each in outcomes]
        higher = found[0].direction == "higher"
        seeds = seed_agreement(outcomes)
        row = [setting.task, setting.title, str(len(outcomes))]
        row.append(tables.least_to_most([each.seeds for each in outcomes]))
        row += [
            metric_name(found[0].metric),
            tables.number(min(means) if higher else max(means), 3),
            tables.number(max(means) if higher else min(means), 3),
            tables.number(seeds.spread, 3),
            tables.number(seeds.deviation, 4),
            tables.significant(seeds.ratio) + "*" * seeds.near,
            tables.number(seeds.split_half) + "*" * seeds.mixed,
        ]
        rows.append([*row, tables.number(_ceiling(outcomes, 1 if higher else -1)), str(len(found))])
    return tables.markdown(headers, rows, text_columns=2)


def _ceiling(outcomes: Sequence[Outcome], sign: int) -> float | None:
    """Return what ρ can be reached, as agreements say it."""
    return ceiling(
        [sign * each.value for each in outcomes],
        [each.deviation for each in outcomes],
        [each.seeds for each in outcomes],
    )


def _grid(runs: Sequence[TuningRecord]) -> str:
    groups: dict[tuple[str, str], list[TuningRecord]] = {}
    for run in runs:
        groups.setdefault((run.task, run.protocol), []).append(run)
    rows = [[*key, *_cost(found)] for key, found in sorted(groups.items())]
    rows.append(["**all**", "", *_cost(runs)])
    headers = ["task", "protocol", "machines", "runs", "failed", "wall hours", "CPU hours", "operations, T"]
    return tables.markdown(headers, rows, text_columns=3)


def _cost(runs: Sequence[TuningRecord]) -> list[str]:
    counted = [run.flops for run in runs if run.flops is not None]
    flops = tables.significant(math.fsum(counted) / 1e12, 3) if counted else tables.NONE
    some = f" (of {len(counted)} runs)" if counted and len(counted) < len(runs) else ""
    return [
        "; ".join(sorted({_machine(run.provenance) for run in runs})),
        str(len(runs)),
        str(sum(run.status == "failed" for run in runs)),
        tables.number(math.fsum(run.wall_seconds for run in runs) / 3600),
        tables.number(math.fsum(run.cpu_seconds for run in runs) / 3600),
        flops + some,
    ]


def _machine(origin: Provenance) -> str:
    cores = "" if origin.cores is None else f", {origin.cores} cores"
    return f"{origin.processor or 'processor unknown'} ({origin.machine}{cores})"


def _gains(runs: Sequence[TuningRecord]) -> str:
    headers = ["encoder", "task", "metric", "tuned", "trained", "untrained", "gain", "95 %"]
    headers += ["times deviation"]
    rows = [
        row
        for name, task in SERVES.items()
        for protocol, how in (("layer", "full"), ("probe", "probed"))
        if (row := _gain(name, how, [r for r in runs if r.task == task and planned(r.protocol) == protocol]))
    ]
    return tables.markdown(headers, rows, text_columns=4) if rows else ""


def _gain(name: str, how: str, runs: Sequence[TuningRecord]) -> list[str]:
    """Return the row of an encoder and its twin, from a task's runs by a protocol; empty if one has none."""
    trained, untrained = (_at_the_top(runs, each) for each in (name, twin(name)))
    if trained is None or untrained is None:
        return []
    gain = (1 if runs[0].direction == "higher" else -1) * (trained.value - untrained.value)
    deviation = pooled([trained.deviation, untrained.deviation], [trained.seeds, untrained.seeds])
    return [
        name,
        runs[0].task,
        metric_name(runs[0].metric),
        how,
        tables.number(trained.value, 3),
        tables.number(untrained.value, 3),
        tables.number(gain, 3),
        _interval(gain, deviation, trained.seeds, untrained.seeds),
        tables.significant(gain / (math.sqrt(2) * deviation) if deviation else None),
    ]


def _interval(gain: float, deviation: float | None, *seeds: int) -> str:
    """Return the 95 % interval of a difference of two means over seeds with the same deviation."""
    freedom = sum(seeds) - len(seeds)
    if deviation is None or freedom < 1:
        return tables.NONE
    width = float(scipy.stats.t.ppf(0.975, freedom)) * deviation * math.sqrt(sum(1 / each for each in seeds))
    return f"{tables.number(gain - width, 3)} to {tables.number(gain + width, 3)}"


def _at_the_top(runs: Sequence[TuningRecord], model: str | None) -> Outcome | None:
    own = [run for run in runs if run.model == model]
    top = max((run.layer for run in own), default=None)
    return next(iter(by_candidate([run for run in own if run.layer == top]).values()), None)
