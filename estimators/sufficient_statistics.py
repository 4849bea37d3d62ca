"""What estimators read from sums over samples: means, Gram matrices, scatters, spectra."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .labels import sort_key
from .sums import Sums

Array = NDArray[np.float64]


RANK_TOLERANCE = 1e-13
"""Eigenvalues below this, times D and the largest, count as 0: they are rounding errors of the sums."""


class Spectrum(NamedTuple):
    """Eigenvalues, shape (D,), ascending and at least 0, and eigenvectors, shape (D, D), in columns."""

    values: Array
    vectors: Array

    def resolved(self, rank: int) -> Spectrum:
        """Return the directions that the data resolve, largest first: (k,) and (D, k) with k ≤ rank.

        Eigenvalues under `RANK_TOLERANCE`·D times the largest are rounding errors of the sums.
        """
        floor = RANK_TOLERANCE * len(self.values) * self.values[-1]
        kept = np.flatnonzero(self.values > floor)[::-1][:rank]
        return Spectrum(self.values[kept], self.vectors[:, kept])


class SufficientStatistics:
    """The statistics that `Moments` offers; each is computed when first read and kept until an update.

    Classes are those that have samples, in the order of `classes`, whatever the order they came in.
    """

    dimension: int
    has_class_gram: bool
    _index: dict[Hashable, int]
    _shift: Array | None
    _cache: dict[str, Any]
    _parts: dict[Hashable, Sums]

    @property
    def _total(self) -> Sums:
        total: Sums | None = self._cache.get("total")
        if total is None:
            parts = list(self._parts.values())
            for part in parts:
                part.grow(len(self._index))
            total = parts[0] if parts else Sums.zeros(self.dimension, self.has_class_gram)
            for part in parts[1:]:
                total = total.plus(part, 1)
            total.grow(len(self._index))
            self._cache["total"] = total
        return total

    @property
    def _present(self) -> NDArray[np.intp]:
        """Codes of classes with samples, in the canonical order of their labels."""
        if "present" not in self._cache:
            labels = list(self._index)
            counts = self._total.counts
            present = [code for code in range(len(labels)) if counts[code] > 0]
            self._cache["present"] = np.array(
                sorted(present, key=lambda code: sort_key(labels[code])), dtype=np.intp
            )
        present_codes: NDArray[np.intp] = self._cache["present"]
        return present_codes

    @property
    def _origin(self) -> Array:
        return np.zeros(self.dimension) if self._shift is None else self._shift

    def _about(self, name: str) -> Sums:
        """Return the total about zero (`raw`) or about the mean (`centred`)."""
        if name not in self._cache:
            total = self._total
            target = -self._origin if name == "raw" else total.sum / max(total.n, 1)
            self._cache[name] = total.translated(target, merge=True)
        sums: Sums = self._cache[name]
        return sums

    @property
    def n(self) -> int:
        """Number of samples."""
        return sum(part.n for part in self._parts.values())

    @property
    def classes(self) -> tuple[Hashable, ...]:
        """Labels that have samples, sorted (by type and then by value where types are mixed)."""
        labels = list(self._index)
        return tuple(labels[code] for code in self._present)

    @property
    def counts(self) -> Array:
        """Samples of each class, shape (C,)."""
        return self._total.counts[self._present].astype(np.float64)

    @property
    def mean(self) -> Array:
        """Mean of the features, shape (D,); zeros where there is no sample."""
        return self._origin + self._total.sum / max(self.n, 1)

    @property
    def sums(self) -> Array:
        """Sum of the features of each class, Fᵀ times the one-hot labels, shape (C, D)."""
        return self._about("raw").class_sums[self._present]

    @property
    def class_means(self) -> Array:
        """Mean of the features of each class, shape (C, D)."""
        total = self._total
        return self._origin + total.class_sums[self._present] / self.counts[:, None]

    @property
    def centred_sums(self) -> Array:
        """Sum over each class of the features less the overall mean, shape (C, D)."""
        return self._about("centred").class_sums[self._present]

    @property
    def second_moments(self) -> Array:
        """Sum of squares of each feature of each class, shape (C, D)."""
        return self._about("raw").class_squares[self._present]

    @property
    def class_variances(self) -> Array:
        """Variance of each feature within each class (dividing by the count), shape (C, D)."""
        total = self._total
        counts = self.counts[:, None]
        means = total.class_sums[self._present] / counts
        variances: Array = np.maximum(total.class_squares[self._present] / counts - means**2, 0.0)
        return variances

    @property
    def gram(self) -> Array:
        """FᵀF, not centred, shape (D, D)."""
        return self._dense("raw")

    @property
    def scatter(self) -> Array:
        """Sum over samples of (f − mean)(f − mean)ᵀ, shape (D, D); n times the covariance."""
        return self._dense("centred")

    def _dense(self, name: str) -> Array:
        key = f"dense {name}"
        if key not in self._cache:
            self._cache[key] = self._about(name).dense_gram()
        dense: Array = self._cache[key]
        return dense

    def class_scatter(self, label: Hashable) -> Array:
        """Return the sum over a class of (f − class mean)(f − class mean)ᵀ, shape (D, D).

        Raises:
            ValueError: the class has no samples, or class Gram matrices were not kept.
        """
        if not self.has_class_gram:
            raise ValueError("no Gram matrices of classes were kept; make the moments with class_gram=True")
        if label not in self.classes:
            raise ValueError(f"no samples of class {label!r}")
        return self._total.class_scatter(self._index[label])

    @property
    def fourth_moment(self) -> float:
        """Sum over samples of ‖f − mean‖⁴, which Ledoit-Wolf shrinkage needs."""
        return max(self._about("centred").fourth, 0.0)

    @property
    def spectrum(self) -> Spectrum:
        """Eigendecomposition of FᵀF, computed once and shared by the estimators."""
        return self._eigh("gram")

    @property
    def centred_spectrum(self) -> Spectrum:
        """Eigendecomposition of `scatter`, computed once and shared by the estimators."""
        return self._eigh("scatter")

    def _eigh(self, name: str) -> Spectrum:
        key = f"spectrum {name}"
        if key not in self._cache:
            values, vectors = scipy.linalg.eigh(getattr(self, name), driver="evd")
            self._cache[key] = Spectrum(np.maximum(values, 0.0), vectors)
        spectrum: Spectrum = self._cache[key]
        return spectrum
