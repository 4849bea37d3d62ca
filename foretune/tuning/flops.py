"""Floating-point operations of training, counted on one update of each stage.

`torch.utils.flop_counter` counts matrix products, convolutions and attention, of the forward and the
backward pass; a multiplication and an addition are two. Recurrent kernels, norms and losses are not
counted. The rest of a stage is scaled by valid frames, which is exact but for attention's square of the
length. What is frozen and computed once (front ends, what enters a layer) is not in it, nor is evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from .cut import Tunable


def _attention(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]


_CPU_ATTENTION = {  # of which torch's counter knows the accelerators' kernels only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def flops_of(run: Callable[[], object]) -> int:
    """Return the operations of whatever a function computes."""
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        run()
    return int(counter.get_total_flops())


def flops_of_update(module: Tunable, batch: Any, lengths: Tensor, targets: Sequence[str]) -> int:
    """Return the operations of one update: forward pass, loss and backward pass, without the optimiser.

    Gradients are forgotten afterwards; weights stay as they are.

    Args:
        module: what trains.
        batch: from its `collate`.
        lengths: likewise.
        targets: label or transcript of each utterance.
    """

    def update() -> None:
        loss = module.head.loss(module(batch, lengths).float(), lengths, targets)
        loss.backward()  # type: ignore[no-untyped-call]

    flops = flops_of(update)
    for parameter in module.parameters():
        parameter.grad = None
    return flops
