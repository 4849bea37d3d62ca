"""Passes over speech that several tasks have in common, each made once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foretune.cache import audio_hash, canonical
from foretune.estimators.validation import as_features
from foretune.evidence import Evidence, PassSettings, Piece, Wanted
from foretune.gathering import gather, key_of, pieces_of
from foretune.models.candidate import Candidate
from foretune.sampling import Sampler
from foretune.tasks.utterance import Utterance

HELD_BYTES = 2**29
"""Memory for what passes over the same speech leave; beyond it the oldest is forgotten, and heard again."""


class Heard:
    """Passes over speech that several tasks have in common, such as the candidates' source, each made once.

    Of an utterance task the pooled features are kept, which each task labels and groups in its own way; of a
    sequence task what was gathered, which serves the tasks that label the same frames alike. Seconds are
    those of the pass that was made: what a task would take by itself.
    """

    def __init__(self) -> None:
        self._held: dict[str, list[_Pooled] | Evidence] = {}

    def gather(
        self,
        candidate: Candidate,
        utterances: Sequence[Utterance],
        sampler: Sampler,
        wanted: Wanted,
        settings: PassSettings,
    ) -> Evidence:
        """Return what `gather` returns for the same arguments, from an earlier pass where there is one."""
        key = key_of(candidate, utterances, sampler, settings)
        if not sampler.pooled:
            name = json.dumps([key, canonical(wanted), settings.seed])
            held = self._held.get(name)
            if not isinstance(held, Evidence):
                held = gather(candidate, utterances, sampler, wanted, settings)
                self._hold(name, held)
            return held
        name = json.dumps(key | {"speech": audio_hash(utterances), "sampling": "pooled"})
        pieces = self._held.get(name)
        if not isinstance(pieces, list):
            pieces = [
                _Pooled(
                    batch.indices, replace(piece, features=[as_features(each) for each in piece.features])
                )
                for batch, piece in pieces_of(candidate, utterances, sampler, settings)
            ]
            self._hold(name, pieces)
        evidence = Evidence.empty(candidate, len(utterances), wanted, settings.seed)
        for each in pieces:
            labels, groups = sampler.of_utterances(each.indices)
            evidence.add(replace(each.piece, labels=labels, groups=groups))
        evidence.finish(candidate)
        return evidence

    def _hold(self, name: str, found: list[_Pooled] | Evidence) -> None:
        self._held[name] = found
        while sum(map(_bytes_of, self._held.values())) > HELD_BYTES and len(self._held) > 1:
            del self._held[next(iter(self._held))]


@dataclass(frozen=True, slots=True)
class _Pooled:
    """The pooled features of one batch, with the numbers of its utterances."""

    indices: Sequence[int]
    piece: Piece


def _bytes_of(found: list[_Pooled] | Evidence) -> int:
    if isinstance(found, list):
        return sum(layer.nbytes for each in found for layer in each.piece.features)
    return sum(samples.features.nbytes for samples in found.samples)
