"""The guard against leaks: labels never come from a model under evaluation."""

from __future__ import annotations

from foretune.models.candidate import Candidate
from foretune.tasks.errors import InputError

from .aligners import Identity, fine_tuned_from


def check_no_leak(candidate: Candidate, aligner: Identity) -> None:
    """Check that a candidate is not what made the labels that it is to be scored on.

    Args:
        candidate: to be scored.
        aligner: which weights made the labels.

    Raises:
        InputError: both have the same weights, or the card of one says that it was fine-tuned from
            the other.
    """
    reason = ""
    its_parents = fine_tuned_from(candidate.card.details)
    if candidate.revision in (aligner.revision, aligner.encoder_revision):
        reason = "is the aligner: its weights are the same"
    elif {candidate.name, candidate.revision} & set(aligner.fine_tuned_from):
        reason = "is what the aligner was fine-tuned from, by its card"
    elif {aligner.name, aligner.revision, aligner.encoder_revision} & set(its_parents):
        reason = "was fine-tuned from the aligner, by its card"
    if reason:
        raise InputError(
            f"model {candidate.name}: {reason} ({aligner.name}), so its score would be made from its own "
            "labels; take another --aligner"
        )
