"""What the estimators are given of one candidate and one task in a study, and the scores made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from foretune.records import ScoreRecord
from foretune.suites import EMBEDDED

if TYPE_CHECKING:
    from foretune.estimators import Jackknife
    from foretune.scoring import Prepared

OURS = "held_out_evidence"
"""The estimator of our own."""


@dataclass(slots=True)
class Features:
    """What one pass of a task's speech through a candidate leaves, ready for every estimator.

    Attributes:
        prepared: statistics and samples of all layers.
        layers: the layers, in order.
        kept: the scores that were made, by layer and estimator.
        errors: of the scores over utterances, by layer and estimator, where they were asked for.
    """

    prepared: Prepared
    layers: list[int]
    kept: dict[tuple[int, str], ScoreRecord] = field(default_factory=dict)
    errors: dict[int, dict[str, Jackknife | None]] = field(default_factory=dict)

    def score(self, estimator: str, layers: Sequence[int] | None = None) -> list[ScoreRecord]:
        """Score layers (by default all) by an estimator, now."""
        found = [self.prepared.score(layer, estimator) for layer in layers or self.layers]
        self.kept.update({(record.layer, estimator): record for record in found})
        return found

    def scores(self, estimator: str, layers: Sequence[int] | None = None) -> list[ScoreRecord]:
        """Return the scores of layers (by default all), computing only those that are not known yet."""
        wanted = layers or self.layers
        missing = [layer for layer in wanted if (layer, estimator) not in self.kept]
        if missing:
            self.score(estimator, missing)
        return [self.kept[layer, estimator] for layer in wanted]

    def with_errors(self, records: Sequence[ScoreRecord]) -> list[ScoreRecord]:
        """Return scores with their errors over utterances, of estimators that give them cheaply.

        Those are made from moments; of those that leave out groups themselves, and so need an
        eigendecomposition for each pair of groups, our own alone and on the small shipped candidates.
        All estimators of a layer share these, so that the first one asked for pays.
        """
        completed = []
        for record in records:
            if record.layer not in self.errors:
                self.errors[record.layer] = self.prepared.errors(record.layer, self._cheap())
            found = self.errors[record.layer].get(record.estimator)
            completed.append(
                record
                if found is None
                else record.with_error(found.standard_error, found.group_errors.tolist())
            )
        self.kept.update({(record.layer, record.estimator): record for record in completed})
        return completed

    def _cheap(self) -> list[str]:
        from foretune.estimators import get_estimator

        ours = {OURS} if self.prepared.data.suite == EMBEDDED else set()
        return [
            name
            for name in self.prepared.lacking
            if "groups" not in get_estimator(name).needs or name in ours
        ]
