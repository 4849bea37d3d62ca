"""Checks that every estimator's input goes through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .moments import Moments
    from .samples import Samples

LARGEST = 1e60
"""Values beyond this are refused: fourth powers of many of them, or squares of a few, would overflow."""

BLOCK_ROWS = 4096
"""Rows that are looked at together."""

LEAST_VARIANCE = 1e-290
"""A variance up to this is 0: among numbers so small the last digits are lost."""


def as_tensor(features: Any) -> Any:
    """Return a torch tensor detached, on its device, in float32 or float64: integers in the latter."""
    features = features.detach()
    if not features.is_floating_point():
        return features.double()
    return features if features.element_size() >= 4 else features.float()


def as_features(features: Any, *, dimension: int | None = None, argument: str = "features") -> NDArray[Any]:
    """Return features as a float32 or float64 array, shape (N, D), copied only where it must be.

    Args:
        features: numpy array or torch tensor; half precision becomes float32, integers float64.
        dimension: the D that is expected; None allows any.
        argument: its name in messages.

    Raises:
        ValueError: not two-dimensional, no columns, another D, or not numbers.
    """
    if hasattr(features, "detach"):
        features = as_tensor(features).cpu().numpy()
    matrix: NDArray[Any] = np.asarray(features)
    if matrix.ndim != 2:
        raise ValueError(f"{argument} has shape {matrix.shape}; it must be (N, D), one row per sample")
    if matrix.shape[1] == 0:
        raise ValueError(f"{argument} has no columns; it must be (N, D) with D at least 1")
    if dimension is not None and matrix.shape[1] != dimension:
        raise ValueError(f"{argument} has dimension {matrix.shape[1]}, {dimension} was expected")
    if matrix.dtype.kind not in "fiub":
        raise ValueError(f"{argument} has dtype {matrix.dtype}; it must be numbers")
    if matrix.dtype == np.float16:
        return matrix.astype(np.float32)
    if matrix.dtype not in (np.float32, np.float64):
        return matrix.astype(np.float64)
    return matrix


def check_finite(matrix: Any, argument: str = "features") -> None:
    """Check that no value is NaN, infinite, or so large that fourth powers of the rows' norms could be.

    Args:
        matrix: (N, D), an array, or a torch tensor on any device.
        argument: its name in messages.

    Raises:
        ValueError: with the index of the first that is.
    """
    for start in range(0, len(matrix), BLOCK_ROWS):
        block = matrix[start : start + BLOCK_ROWS]
        # NaN compares as out of bounds
        if float(block.min()) > -LARGEST and float(block.max()) < LARGEST:
            continue
        values = block.cpu().numpy() if hasattr(block, "cpu") else block
        row, column = (int(i) for i in np.argwhere(~(np.abs(values.astype(np.float64)) < LARGEST))[0])
        value = values[row, column]
        remedy = f"scale the {argument} down" if np.isfinite(value) else f"{argument} must be finite"
        raise ValueError(f"{argument}[{start + row}, {column}] is {value}; {remedy}")


def all_finite(matrices: Sequence[Any]) -> bool:
    """Return whether `check_finite` would pass all of these tensors, with one look at their device.

    Always False for what is on the host, where a look at each costs nothing: False says nothing.

    Args:
        matrices: (N, D) each, all on one device.
    """
    tensors = all(hasattr(matrix, "detach") for matrix in matrices)
    # MPS has no float64 to compare in
    return tensors and all(each.device.type not in ("cpu", "mps") for each in matrices) and bounded(matrices)


def bounded(matrices: Sequence[Any]) -> bool:
    """Return whether all values of these tensors, on any one device, are within the bounds."""
    import torch

    extremes = [torch.stack(torch.aminmax(matrix)).double() for matrix in matrices if matrix.numel()]
    if not extremes:
        return True
    least, most = torch.stack(extremes).T.cpu()
    # NaN compares as out of bounds
    return bool((least > -LARGEST).all() and (most < LARGEST).all())


def check_classes(moments: Moments, subject: str = "labels") -> None:
    """Check that there are labels to tell apart.

    Args:
        moments: of what is scored.
        subject: how messages name the labels.

    Raises:
        ValueError: there is no sample, no label, or one class only.
    """
    if moments.n == 0:
        raise ValueError("the moments hold no samples; call update first")
    classes = moments.classes
    if not classes:
        raise ValueError("labels is missing; this estimator needs the class of every sample")
    if len(classes) == 1:
        verb = "has" if subject == "labels" else "have"
        raise ValueError(f"{subject} {verb} one class only, {classes[0]!r}; there must be at least two")


def check_groups(moments: Moments) -> None:
    """Check that there are groups to leave out.

    Raises:
        ValueError: no groups were kept, or there are fewer than two.
    """
    if not moments.grouped:
        raise ValueError("groups is missing; make the moments with grouped=True and update them with groups")
    if len(moments.groups) < 2:
        raise ValueError(f"groups has {len(moments.groups)} group(s); there must be two to leave one out")


def class_codes(samples: Samples) -> tuple[int, NDArray[np.intp]]:
    """Return the number of classes and each sample's class, from 0, shape (N,).

    Raises:
        ValueError: there are no labels, no samples, or one class only.
    """
    names, codes = samples.encoded_labels()
    if not names:
        raise ValueError("features has no rows; there must be at least two samples")
    if len(names) == 1:
        raise ValueError(f"labels has one class only, {names[0]!r}; there must be at least two")
    return len(names), codes


def centred(features: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return features less their mean, in float64, and their total variance.

    Raises:
        ValueError: all samples are equal, so that there is no scale to work on.
    """
    X = features.astype(np.float64)
    X -= X.mean(axis=0)
    variance = float(np.sum(X**2)) / len(X)
    largest = float(np.max(np.abs(features), initial=0.0))
    if not variance > max(1e-24 * largest**2, LEAST_VARIANCE):
        raise ValueError("features are the same for every sample, so there is no scale to work on")
    return X, variance
