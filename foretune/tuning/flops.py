"""Floating-point operations of training, counted on one update of each stage.

Counted as `foretune.flops` does, of the forward and the backward pass; losses are not counted. The rest
of a stage is scaled by valid frames, which is exact but for attention's square of the length. What is frozen
and computed once (front ends, what enters a layer) is not in it, nor is evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from foretune.flops import counter

from .cut import Tunable


def flops_of_update(module: Tunable, batch: Any, lengths: Tensor, targets: Sequence[str]) -> int:
    """Return the operations of one update: forward pass, loss and backward pass, without the optimiser.

    Gradients are forgotten afterwards; weights stay as they are.

    Args:
        module: what trains.
        batch: from its `collate`.
        lengths: likewise.
        targets: label or transcript of each utterance.
    """
    with counter() as counted:
        loss = module.head.loss(module(batch, lengths).float(), lengths, targets)
        loss.backward()  # type: ignore[no-untyped-call]
    for parameter in module.parameters():
        parameter.grad = None
    return int(counted.get_total_flops())
