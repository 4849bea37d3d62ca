"""The sums behind `Moments` on an accelerator: they gather there, and reach the host when they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .sums import EVERYTHING, Sums, pack

PANEL = 256
"""Columns of a panel. Of D = 768 columns two thirds of the Gram matrix are computed, all its lower half."""

BLOCK_ROWS = 8192
"""Rows converted to float64 at a time."""


def on_accelerator(features: Any) -> bool:
    """Return whether features are a tensor on a device whose arithmetic has float64 (MPS has none)."""
    return isinstance(features, Tensor) and features.device.type not in ("cpu", "mps")


class DeviceSums:
    """Sums over samples, as `Sums`, kept on a device in float64.

    A Gram matrix is a list of panels: panel k holds rows kP..(k+1)P of the lower triangle, up to and
    with its diagonal block, so that nothing above the diagonal blocks is computed.

    Args:
        dimension: D.
        by_class: whether classes have Gram matrices of their own.
        shift: subtracted from every sample, shape (D,).
        device: where the sums are.
    """

    def __init__(
        self, dimension: int, by_class: bool, shift: NDArray[np.float64], device: torch.device
    ) -> None:
        self.dimension = dimension
        self.by_class = by_class
        self.device = device
        self._shift = torch.from_numpy(shift).to(device)
        self._n = 0
        self._grams: dict[int, list[Tensor]] = {}
        self._sum = self._zeros(dimension)
        self._cubes = self._zeros(dimension)
        self._fourth = self._zeros(())
        self._class_sums = self._zeros(0, dimension)
        self._class_squares = self._zeros(0, dimension)
        self._counts = np.zeros(0, dtype=np.int64)

    def _zeros(self, *shape: Any) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float64, device=self.device)

    def _sent(self, array: NDArray[np.intp]) -> Tensor:
        """Bring numbers to the device without waiting for what it is at work on."""
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def add(self, features: Tensor, codes: NDArray[np.intp] | None, classes: int) -> None:
        """Add samples.

        Args:
            features: (N, D), on the device, finite, not shifted.
            codes: (N,), code of each sample's class; None without labels.
            classes: how many codes there are.
        """
        missing = classes - len(self._counts)
        if missing > 0:
            self._counts = np.pad(self._counts, (0, missing))
            self._class_sums = torch.cat([self._class_sums, self._zeros(missing, self.dimension)])
            self._class_squares = torch.cat([self._class_squares, self._zeros(missing, self.dimension)])
        for start in range(0, len(features), BLOCK_ROWS):
            x = features[start : start + BLOCK_ROWS].double() - self._shift
            self._add_block(x, None if codes is None else codes[start : start + BLOCK_ROWS])

    def _add_block(self, x: Tensor, codes: NDArray[np.intp] | None) -> None:
        counts = None
        if codes is not None:  # rows in order of their classes, so that sums are over segments
            x = x[self._sent(np.argsort(codes, kind="stable"))]
            counts = np.bincount(codes, minlength=len(self._counts))
        if self.by_class and counts is not None:
            for code, part in enumerate(torch.split(x, counts.tolist())):
                if len(part):
                    self._add_gram(code, part)
        else:
            self._add_gram(EVERYTHING, x)
        squares = x.square()
        norms = squares.sum(dim=1)
        self._n += len(x)
        self._sum += x.sum(dim=0)
        self._cubes += norms @ x
        self._fourth += norms @ norms
        if counts is not None:
            lengths = self._sent(counts)
            # "unsafe" leaves out a check of the lengths, for which the host would wait
            self._class_sums += torch.segment_reduce(x, "sum", lengths=lengths, axis=0, unsafe=True)
            self._class_squares += torch.segment_reduce(squares, "sum", lengths=lengths, axis=0, unsafe=True)
            self._counts += counts

    def _add_gram(self, code: int, x: Tensor) -> None:
        starts = range(0, self.dimension, PANEL)
        if code not in self._grams:
            ends = [min(start + PANEL, self.dimension) for start in starts]
            self._grams[code] = [self._zeros(e - s, e) for s, e in zip(starts, ends, strict=True)]
        for start, panel in zip(starts, self._grams[code], strict=True):
            columns = x[:, : panel.shape[1]]
            panel.addmm_(columns[:, start:].T, columns)

    def to_host(self) -> Sums:
        """Return the sums on the host."""
        return Sums(
            self.by_class,
            self._n,
            self._sum.cpu().numpy(),
            {code: self._packed(panels) for code, panels in self._grams.items()},
            self._cubes.cpu().numpy(),
            float(self._fourth),
            self._counts.copy(),
            self._class_sums.cpu().numpy(),
            self._class_squares.cpu().numpy(),
        )

    def _packed(self, panels: list[Tensor]) -> NDArray[np.float64]:
        lower = np.zeros((self.dimension, self.dimension))
        row = 0
        for panel in panels:
            lower[row : row + panel.shape[0], : panel.shape[1]] = panel.cpu().numpy()
            row += panel.shape[0]
        return pack(lower)
