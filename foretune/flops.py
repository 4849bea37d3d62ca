"""Floating-point operations of forward passes and statistics, counted or computed; two a multiply-add.

`torch.utils.flop_counter` counts matrix products, convolutions and attention. Recurrent kernels, norms,
Fourier transforms and what is not torch are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import (
    FlopCounterMode,
    flop_registry,
    sdpa_backward_flop_count,
    sdpa_flop_count,
    shape_wrapper,
)

from foretune.tasks.errors import InputError

T = TypeVar("T")


def _attention(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))  # type: ignore[no-untyped-call]


_CPU_ATTENTION = {  # of which torch's counter knows the accelerators' kernels only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


_COUNTS = {**flop_registry, **{name: shape_wrapper(count) for name, count in _CPU_ATTENTION.items()}}  # type: ignore[no-untyped-call]


def counter() -> FlopCounterMode:
    """Return what counts the operations that happen while it is entered, on a CPU or an accelerator."""
    return FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as `FlopCounterMode` does, but in its own thread alone: that one hooks every module of all."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        count = _COUNTS.get(func._overloadpacket)
        if count is None and func is not torch.ops.prim.device.default:
            with self:  # inference mode leaves products within what holds them
                whole = func.decompose(*args, **kwargs)
            if whole is not NotImplemented:
                return whole
        result = func(*args, **kwargs)
        if count is not None:
            self.flops += int(count(*args, **kwargs, out_val=result))
        return result


def counted(work: Callable[[], T]) -> tuple[T, int | None]:
    """Do some work, and return with its result the operations that it took.

    They are None where a module does not bear being watched; it is then left to work unwatched.
    """
    try:
        with _Watch() as seen:
            result = work()
    except InputError:
        raise
    except Exception:  # of a user's module, whose scores do not depend on this; else it comes again
        return work(), None
    return result, seen.flops


def flops_of_moments(rows: int, dimensions: Sequence[int]) -> int:
    """Return the operations of the layers' Gram matrices, one triangle each; the other sums are no products.

    Args:
        rows: samples that are summed over.
        dimensions: of each layer.

    >>> flops_of_moments(1000, [2])
    6000
    """
    return sum(rows * dimension * (dimension + 1) for dimension in dimensions)
