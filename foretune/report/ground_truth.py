"""The sections of RESULTS.md on the ground truth: how far candidates differ, how surely, at what cost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from foretune.ground_truth import LEAST_CANDIDATES, Outcome
from foretune.models import twin
from foretune.records import TuningRecord

from . import tables

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
    "Where spread is less than five deviations (*), the order of neighbours is chance. Costs are those of "
    "all runs together, on one thread."
)
_ZOO = (
    "Each encoder that ships against its untrained twin (the same architecture, random weights), fine-tuned "
    "as a whole for the task that its objective serves: what pre-training gave it. *times deviation* is the "
    "gain over the standard deviation of the difference between two runs with different seeds."
)


def section(runs: Sequence[TuningRecord]) -> list[str]:
    """Return the parts of both sections, headings and tables; none where there are no runs.

    Args:
        runs: fine-tuning runs, of each task on one version of its data; those that failed do not count.
    """
    runs = [run for run in runs if run.status == "done" and run.value is not None]
    if not runs:
        return []
    parts = ["## The ground truth", _TRUTH, _settings(runs)]
    gains = _gains(runs)
    if gains:
        parts += ["### What pre-training gave", _ZOO, gains]
    return parts


def _settings(runs: Sequence[TuningRecord]) -> str:
    headers = ["task", "candidates", "protocol", "n", "seeds", "metric", "worst", "best", "spread"]
    headers += ["deviation", "spread / deviation", "runs", "CPU minutes"]
    rows = []
    groups: dict[tuple[str, str, str], list[TuningRecord]] = {}
    tops: dict[tuple[str, str], int] = {}
    for run in runs:
        tops[run.task, run.model] = max(run.layer, tops.get((run.task, run.model), 0))
    for run in runs:
        protocol = "full" if run.protocol == "layer" else run.protocol
        if protocol != "single-layer" and run.layer == tops[run.task, run.model]:
            groups.setdefault((run.task, "models", protocol), []).append(run)
        if run.protocol in ("layer", "single-layer"):
            groups.setdefault((run.task, f"layers of {run.model}", run.protocol), []).append(run)
    for (task, what, how), found in sorted(groups.items()):
        outcomes = list(_by_candidate(found).values())
        if len(outcomes) < LEAST_CANDIDATES:
            continue
        means = [each.value for each in outcomes]
        higher = found[0].direction == "higher"
        deviation = pooled(each.deviation for each in outcomes)
        spread = max(means) - min(means)
        ratio = None if not deviation else spread / deviation
        rows.append(
            [
                task,
                what,
                how,
                str(len(outcomes)),
                str(min(each.seeds for each in outcomes)),
                found[0].metric.upper(),
                tables.number(min(means) if higher else max(means), 3),
                tables.number(max(means) if higher else min(means), 3),
                tables.number(spread, 3),
                tables.number(deviation, 4),
                tables.significant(ratio) + ("*" if ratio is not None and ratio < 5 else ""),
                str(len(found)),
                tables.number(sum(run.cpu_seconds for run in found) / 60, 1),
            ]
        )
    return tables.markdown(headers, rows, text_columns=3)


def _gains(runs: Sequence[TuningRecord]) -> str:
    headers = ["encoder", "task", "metric", "trained", "untrained", "gain", "times deviation"]
    rows = []
    for name, task in SERVES.items():
        other = twin(name)
        whole = [run for run in runs if run.task == task and run.protocol in ("layer", "full")]
        pair = [_at_the_top(whole, each) for each in (name, other)]
        if pair[0] is None or pair[1] is None:
            continue
        sign = 1 if whole[0].direction == "higher" else -1
        gain = sign * (pair[0].value - pair[1].value)
        deviation = pooled([pair[0].deviation, pair[1].deviation])
        rows.append(
            [
                name,
                task,
                whole[0].metric.upper(),
                tables.number(pair[0].value, 3),
                tables.number(pair[1].value, 3),
                tables.number(gain, 3),
                tables.significant(gain / (math.sqrt(2) * deviation) if deviation else None),
            ]
        )
    return tables.markdown(headers, rows, text_columns=2) if rows else ""


def _at_the_top(runs: Sequence[TuningRecord], model: str | None) -> Outcome | None:
    own = [run for run in runs if run.model == model]
    top = max((run.layer for run in own), default=None)
    return next(iter(_by_candidate([run for run in own if run.layer == top]).values()), None)


def _by_candidate(runs: Sequence[TuningRecord]) -> dict[tuple[str, int], Outcome]:
    found: dict[tuple[str, int], list[TuningRecord]] = {}
    for run in runs:
        found.setdefault((run.model, run.layer), []).append(run)
    return {candidate: Outcome.over_seeds(own) for candidate, own in found.items()}


def pooled(deviations: Iterable[float | None]) -> float | None:
    """Return the root mean square of standard deviations over seeds; None where none is known."""
    known = [each for each in deviations if each is not None]
    return math.sqrt(statistics.fmean(each**2 for each in known)) if known else None
