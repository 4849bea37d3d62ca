"""Half precision where asked for, checked against float32 on the first batch.

Matrix products and convolutions run in half precision (`torch.autocast`), norms and sums in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from foretune.models.candidate import Candidate, HiddenStates
from foretune.tasks.errors import InputError

PRECISIONS = ("float32", "bfloat16", "float16")
"""What features may be computed in."""

CHECKED = 4
"""Utterances of the first batch that half precision is checked on: a GPU's batch has a hundred, and float32
takes it many times as long."""

LARGEST_DIFFERENCE = 0.1
"""Relative difference from float32, in any layer of the first batch, at which half precision is refused."""


def check_precision(dtype: str) -> None:
    """Check that there is such a precision.

    Raises:
        InputError: there is none.
    """
    if dtype not in PRECISIONS:
        raise InputError(f"dtype {dtype}: give {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")


def autocast(candidate: Candidate, dtype: str) -> AbstractContextManager[object]:
    """Return the context in which a candidate computes at a precision."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(candidate.device.type, dtype=getattr(torch, dtype))


def compare_with_float32(
    candidate: Candidate,
    states: HiddenStates,
    exact: HiddenStates,
    dtype: str,
    report: Callable[[str], None] | None,
) -> None:
    """Report how far half precision is from float32, or refuse it.

    Args:
        candidate: is named.
        states: at half precision.
        exact: of the same batch in float32.
        dtype: the precision.
        report: gets one line.

    Raises:
        InputError: some layer's relative difference is beyond `LARGEST_DIFFERENCE`, or not a number.
    """
    differences = [
        relative_difference(one, other, exact.lengths)
        for one, other in zip(states.layers, exact.layers, strict=True)
    ]
    # NaN is the worst of all, and max() would lose it
    worst = max(range(len(differences)), key=lambda layer: _or_infinity(differences[layer]))
    difference = differences[worst]
    if not difference <= LARGEST_DIFFERENCE:
        raise InputError(
            f"{candidate.name}: in {dtype} layer {worst} differs by {difference:.2g} from float32, where "
            f"{LARGEST_DIFFERENCE:g} is the most; use --dtype float32"
        )
    if report is not None:
        report(f"{candidate.name}: {dtype} differs by {difference:.2g} from float32 at most (layer {worst})")


def relative_difference(one: Tensor, other: Tensor, lengths: Tensor) -> float:
    """Return ‖one − other‖ / ‖other‖ over valid frames; 0 where both are 0.

    Args:
        one: (batch, frames, dimension).
        other: of the same shape.
        lengths: valid frames, (batch,).
    """
    mask = torch.arange(other.shape[1], device=other.device) < lengths.to(other.device)[:, None]
    exact = other[mask].double()
    difference = torch.linalg.norm(one[mask].double() - exact)
    return 0.0 if difference == 0 else float(difference / torch.linalg.norm(exact))


def _or_infinity(difference: float) -> float:
    return difference if difference == difference else float("inf")  # noqa: PLR0124 (only NaN differs from itself)
