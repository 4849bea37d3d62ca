"""What scoring costs and what fine-tuning costs: seconds on one machine, and operations, which need none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from foretune.judging import DEFAULT_POLICY
from foretune.records import AgreementRecord, ScoreRecord, TuningRecord
from foretune.records.tuning import planned

Place = tuple[str, str, int, str, int]
_Candidate = tuple[str, str, str, int, str]


@dataclass(frozen=True, slots=True)
class Spent:
    """What some work cost.

    Attributes:
        wall: seconds.
        cpu: seconds of all threads; None where not measured.
        flops: floating-point operations; None where not counted.
        place: machine and how it was used; None where not known, or there were several.
    """

    wall: float
    cpu: float | None
    flops: float | None
    place: Place | None

    def over(self, other: Spent, what: str) -> float | None:
        """Return how many times as much this cost as another.

        Args:
            other: the divisor.
            what: `wall`, `cpu` or `flops`; seconds are compared on the same machine only.
        """
        if what != "flops" and (self.place is None or self.place != other.place):
            return None
        own, divisor = getattr(self, what), getattr(other, what)
        return None if own is None or not divisor else float(own / divisor)


class Costs:
    """What the cells of a study cost, from the records of their scores and of their fine-tuning."""

    def __init__(
        self,
        scores: Iterable[ScoreRecord],
        runs: Iterable[TuningRecord],
        timed: Iterable[TuningRecord] = (),
    ) -> None:
        """Sort the records by what they are of.

        Args:
            scores: one a layer and estimator.
            runs: of fine-tuning; those that failed do not count.
            timed: some of them done again to see what they cost where the scores were made.
        """
        self._scores: dict[tuple[str, ...], dict[int, ScoreRecord]] = {}
        for score in scores:
            key = (score.suite, score.task, score.data_revision, score.model, score.estimator)
            self._scores.setdefault(key, {})[score.layer] = score
        self._runs = _by_candidate(runs)
        self._timed = _by_candidate(timed)

    def scoring(self, cell: AgreementRecord) -> Spent | None:
        """Return what scoring all candidates of a cell cost; None where a record of that is missing."""
        if cell.setting == "layers":
            chosen = [self._layers(cell, cell.model, [int(name) for name in cell.names])]
        else:
            chosen = [self._layers(cell, name, None) for name in cell.names]
        parts = [one_pass(records) for records in chosen if records]
        return total(parts) if len(parts) == len(chosen) else None

    def tuning(self, cell: AgreementRecord) -> Spent | None:
        """Return what fine-tuning all candidates of a cell with one seed cost, the mean over seeds.

        Where it is known of all of them on the machine that scored them, it is that; None where a run of some
        candidate on these data is missing.
        """
        found = self._timed_here(cell) or [
            [spent(run) for run in self._runs.get(each, [])] for each in self.candidates(cell)
        ]
        return total([mean(each) for each in found]) if all(found) else None

    def is_timed(self, cell: AgreementRecord) -> bool:
        """Whether all candidates of a cell were fine-tuned where they were scored, to see what it costs."""
        return bool(self._timed_here(cell))

    def _timed_here(self, cell: AgreementRecord) -> list[list[Spent]]:
        """Return what fine-tuning each candidate cost where all were scored; empty unless known of each."""
        scoring = self.scoring(cell)
        if scoring is None or scoring.place is None:
            return []
        timed = [map(spent, self._timed.get(each, [])) for each in self.candidates(cell)]
        found = [[cost for cost in costs if cost.place == scoring.place] for costs in timed]
        return found if all(found) else []

    def candidates(self, cell: AgreementRecord) -> list[_Candidate]:
        """Return what was fine-tuned for each candidate of a cell, as `candidate_of` has it for a run."""
        layers = cell.setting == "layers"
        return [
            (
                *(cell.task, cell.data_revision, cell.model if layers else name),
                int(name) if layers else max(self._of(cell, name), default=-1),
                cell.protocol,
            )
            for name in cell.names
        ]

    def ratio(self, cell: AgreementRecord, what: str = "flops") -> float | None:
        """Return what fine-tuning a cell's candidates once costs over what scoring them does."""
        scoring, tuning = self.scoring(cell), self.tuning(cell)
        return None if scoring is None or tuning is None else tuning.over(scoring, what)

    def own_share(self, cell: AgreementRecord) -> float | None:
        """Return the share of the CPU seconds that goes to the estimator itself."""
        names = [cell.model] if cell.setting == "layers" else cell.names
        chosen = [self._layers(cell, name, None) for name in names]
        whole, own = self.scoring(cell), [each.score_cpu_seconds for records in chosen for each in records]
        if whole is None or not whole.cpu or None in own:
            return None
        return math.fsum(each or 0.0 for each in own) / whole.cpu

    def _of(self, cell: AgreementRecord, model: str) -> dict[int, ScoreRecord]:
        return self._scores.get((cell.suite, cell.task, cell.data_revision, model, cell.estimator), {})

    def _layers(self, cell: AgreementRecord, model: str, layers: Sequence[int] | None) -> list[ScoreRecord]:
        """Return a model's records of a cell: of some layers, or of those that its policy looks at."""
        found = self._of(cell, model)
        if layers is None:
            layers = sorted(found)[-1:] if cell.layer_policy == DEFAULT_POLICY else sorted(found)
        return [found[layer] for layer in layers] if all(layer in found for layer in layers) else []


def candidate_of(run: TuningRecord) -> _Candidate:
    """Return which candidate a run was of: task, data, model, layer and protocol.

    A suite is a name for data, and recordings may be judged under another one than they were tuned on under.
    """
    return (run.task, run.data_revision, run.model, run.layer, planned(run.protocol))


def _by_candidate(runs: Iterable[TuningRecord]) -> dict[_Candidate, list[TuningRecord]]:
    found: dict[_Candidate, list[TuningRecord]] = {}
    for run in runs:
        if run.status == "done":
            found.setdefault(candidate_of(run), []).append(run)
    return found


def one_pass(records: Sequence[ScoreRecord]) -> Spent:
    """Return what one model's scores cost; all its layers share one pass."""
    first = records[0]
    shared = Spent(
        first.forward_seconds + first.accumulate_seconds,
        _sum([first.forward_cpu_seconds, first.accumulate_cpu_seconds]),
        _sum([first.forward_flops, first.accumulate_flops]),
        first.provenance.place,
    )
    # the estimators' own operations are not counted; where they are known they are 0
    own = [Spent(each.score_seconds, each.score_cpu_seconds, 0, each.provenance.place) for each in records]
    return total([shared, *own])


def spent(run: TuningRecord) -> Spent:
    """Return what a run cost."""
    return Spent(run.wall_seconds, run.cpu_seconds, run.flops, run.provenance.place)


def total(parts: Sequence[Spent]) -> Spent:
    """Return the sum of costs; of what one of them does not know, nothing is known."""
    return _joined(parts, math.fsum)


def mean(parts: Sequence[Spent]) -> Spent:
    """Return the mean of costs; those that were not counted are left out where others were."""
    counted = [each.flops for each in parts if each.flops is not None]
    joined = _joined(parts, lambda values: math.fsum(values) / len(values))
    flops = math.fsum(counted) / len(counted) if counted else None
    return Spent(joined.wall, joined.cpu, flops, joined.place)


def _joined(parts: Sequence[Spent], join: Callable[[list[float]], float]) -> Spent:
    places = {each.place for each in parts}
    cpu, flops = [each.cpu for each in parts], [each.flops for each in parts]
    return Spent(
        join([each.wall for each in parts]),
        None if None in cpu else join([each or 0.0 for each in cpu]),
        None if None in flops else join([each or 0 for each in flops]),
        places.pop() if len(places) == 1 else None,
    )


def _sum(values: Sequence[float | None]) -> float | None:
    return None if None in values else math.fsum(each or 0.0 for each in values)
