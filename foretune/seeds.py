"""How well the seeds of fine-tuning agree on the order of a setting's candidates.

Seeds disagree where `SeedAgreement.disagree` says so, by two figures that RESULTS.md has of every setting:

- the candidates' spread is less than `LEAST_RATIO` standard deviations over seeds: their results are as
  near to each other as one candidate's own;
- rankings by some of the seeds agree with those by the others (`agreement.split_half`) less than
  `LEAST_SPLIT_HALF`. The first cannot see this where one candidate is far from all others, which lie
  close together. At 0.9 a tenth of the variance of ranks is noise, which keeps even an estimator that
  knows the truth to ρ = √0.9 = 0.95: the leading estimators differ by about 0.05 (RESULTS.md), so that
  with less, noise would hide what the study is to show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from foretune.agreement import split_half
from foretune.ground_truth import Outcome
from foretune.records import TuningRecord

LEAST_RATIO = 5.0
LEAST_SPLIT_HALF = 0.9


@dataclass(frozen=True, slots=True)
class SeedAgreement:
    """How well the seeds agree on a setting.

    Attributes:
        spread: distance from the worst candidate to the best, means over seeds, in the metric's unit.
        deviation: standard deviation over seeds, pooled over candidates; None with one seed each.
        split_half: see `agreement.split_half`, over the seeds that all candidates have, in [0, 1]; None where
            these are fewer than two.
    """

    spread: float
    deviation: float | None
    split_half: float | None

    @property
    def ratio(self) -> float | None:
        """Return the spread in deviations; None where the seeds do not differ, or there is one only."""
        return self.spread / self.deviation if self.deviation else None

    @property
    def near(self) -> bool:
        """Whether the candidates lie too near to each other for what the seeds differ."""
        return self.ratio is not None and self.ratio < LEAST_RATIO

    @property
    def mixed(self) -> bool:
        """Whether rankings by some seeds are too far from those by the others."""
        return self.ratio is not None and self.split_half is not None and self.split_half < LEAST_SPLIT_HALF

    @property
    def disagree(self) -> bool:
        """Whether either is so; never with one seed, nor where all runs of each candidate gave the same."""
        return self.near or self.mixed

    def __str__(self) -> str:
        """Say both figures.

        >>> str(SeedAgreement(0.3, 0.1, 0.875))
        'spread 3.0 deviations, split-half 0.88'
        """
        spread = "seeds do not differ" if self.ratio is None else f"spread {self.ratio:.1f} deviations"
        return spread if self.split_half is None else f"{spread}, split-half {self.split_half:.2f}"


def seed_agreement(outcomes: Sequence[Outcome]) -> SeedAgreement:
    """Return how well the seeds agree on a setting.

    Args:
        outcomes: of its candidates, one at least, with whatever seeds each.
    """
    means = [each.value for each in outcomes]
    common = sorted(set.intersection(*(set(each.by_seed) for each in outcomes)))
    return SeedAgreement(
        spread=max(means) - min(means),
        deviation=pooled([each.deviation for each in outcomes], [each.seeds for each in outcomes]),
        split_half=split_half([[each.by_seed[seed] for seed in common] for each in outcomes]),
    )


def by_candidate(runs: Iterable[TuningRecord]) -> dict[tuple[str, int], Outcome]:
    """Return what fine-tuning gave for each candidate of a setting, by model and layer.

    Args:
        runs: that are done, of one version of the data and of each model's weights.
    """
    found: dict[tuple[str, int], list[TuningRecord]] = {}
    for run in runs:
        found.setdefault((run.model, run.layer), []).append(run)
    return {candidate: Outcome.over_seeds(own) for candidate, own in found.items()}


def pooled(deviations: Sequence[float | None], seeds: Sequence[int]) -> float | None:
    """Return the standard deviation over seeds that candidates have in common; None where none is known.

    The root of the mean variance, each counting as often as its candidate has seeds less one.

    Args:
        deviations: of each candidate (n - 1).
        seeds: how many at least, of each candidate; who has a deviation has two.
    """
    counted = zip(deviations, seeds, strict=True)
    known = [(each, max(2, number) - 1) for each, number in counted if each is not None]
    degrees = sum(each for _, each in known)
    return math.sqrt(math.fsum(each**2 * degree for each, degree in known) / degrees) if degrees else None
