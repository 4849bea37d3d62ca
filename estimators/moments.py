"""Additive sufficient statistics of (features, labels): what most estimators need, and all they need.

One pass over the data updates them, after which the features can be dropped; they add over batches,
shards and machines, and subtract for the jackknife. Memory is O(D²), whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from .labels import bucket, encode, sort_key
from .sums import Sums
from .validation import as_features

Array = NDArray[np.float64]

BLOCK_ROWS = 4096
"""Rows converted to float64 at a time, so that a large batch needs little memory beside itself."""


class Spectrum(NamedTuple):
    """Eigenvalues, shape (D,), ascending and at least 0, and eigenvectors, shape (D, D), in columns."""

    values: Array
    vectors: Array


class Moments:
    """Moments of features up to the fourth, by class and on request by group, in float64.

    The statistics are kept about a shift (the mean of the first batch), since raw second moments of
    features that lie far from zero would lose the variance to rounding; raw and centred moments are
    both derived from them. Gram matrices are stored as packed triangles.

    Tensors on an accelerator are accepted; their rows are copied to the CPU, block by block, because
    the statistics stay there: float64 matrix products are slow on most accelerators, and the copy is
    smaller than the statistics for batches of fewer than 2·D rows.

    Args:
        dimension: features per sample, D.
        classes: the labels that may occur; None accepts any. Classes without a sample are ignored
            by every estimator.
        grouped: keep statistics of each group of samples apart, for jackknife errors and held-out
            scores. Memory grows with the number of groups.
        max_groups: groups are hashed into so many jackknife groups; None keeps each by itself.
        class_gram: keep a Gram matrix of each class. Memory grows with the number of classes.

    Raises:
        ValueError: dimension or max_groups is less than 1.
    """

    def __init__(
        self,
        dimension: int,
        *,
        classes: Iterable[Hashable] | None = None,
        grouped: bool = False,
        max_groups: int | None = 8,
        class_gram: bool = False,
    ) -> None:
        if dimension < 1:
            raise ValueError(f"dimension is {dimension}; it must be at least 1")
        if max_groups is not None and max_groups < 1:
            raise ValueError(f"max_groups is {max_groups}; it must be at least 1, or None")
        self.dimension = dimension
        self.grouped = grouped
        self.max_groups = max_groups
        self.has_class_gram = class_gram
        self._closed = classes is not None
        self._index: dict[Hashable, int] = {}
        for label in classes or ():
            self._index.setdefault(label, len(self._index))
        self._shift: Array | None = None
        self._parts: dict[Hashable, Sums] = {}
        self._labelled: bool | None = None
        self._cache: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        features: Any,
        labels: Sequence[Hashable] | Any | None = None,
        groups: Sequence[Hashable] | Any | None = None,
        *,
        max_groups: int | None = 8,
        class_gram: bool = False,
    ) -> Self:
        """Return the moments of arrays in memory; the arguments are those of `update` and the class."""
        matrix = as_features(features)
        moments = cls(
            matrix.shape[1], grouped=groups is not None, max_groups=max_groups, class_gram=class_gram
        )
        moments.update(matrix, labels, groups)
        return moments

    def update(
        self,
        features: Any,
        labels: Sequence[Hashable] | Any | None = None,
        groups: Sequence[Hashable] | Any | None = None,
    ) -> None:
        """Add a batch.

        Args:
            features: (N, D), numpy array or torch tensor, floating point.
            labels: (N,), hashable; None for estimators that use no labels.
            groups: (N,), hashable, such as the speaker of each sample; needed where `grouped`.

        Raises:
            ValueError: a shape is wrong, a feature is NaN or infinite, a label is missing or not among
                `classes`, groups are missing, or labels came with some batches only. The message
                names the argument and the first offending index; nothing has been added then.
        """
        matrix = as_features(features, dimension=self.dimension)
        rows = matrix.shape[0]
        codes = self._encode_labels(labels, rows)
        if self.grouped and groups is None:
            raise ValueError("groups is missing, which these moments keep apart; pass one group per row")
        if rows == 0:
            return
        squares = np.concatenate(
            [_square_norms(matrix[i : i + BLOCK_ROWS], i) for i in range(0, rows, BLOCK_ROWS)]
        )
        if not np.isfinite(np.square(squares).sum()):
            row = int(np.argmax(squares))
            raise ValueError(f"features[{row}] is too large for float64 moments; scale the features down")
        self._cache.clear()
        if self._shift is None:
            self._shift = matrix[:BLOCK_ROWS].mean(axis=0, dtype=np.float64)
        if not self.grouped:
            self._add_rows(None, matrix, codes)
            return
        keys, inverse = encode(groups, rows, "groups")
        if self.max_groups is not None:
            buckets = [bucket(key, self.max_groups) for key in keys]
            keys = list(dict.fromkeys(buckets))
            inverse = np.array([keys.index(b) for b in buckets])[inverse]
        for number, key in enumerate(keys):
            chosen = np.flatnonzero(inverse == number)
            whole = len(chosen) == rows
            self._add_rows(
                key, matrix if whole else matrix[chosen], codes if codes is None or whole else codes[chosen]
            )

    def _encode_labels(self, labels: Any, rows: int) -> NDArray[np.intp] | None:
        labelled = labels is not None
        if self._labelled is not None and labelled != self._labelled:
            raise ValueError(
                "labels were given with some batches and not with others; give them always or never"
            )
        if labels is None:
            if rows:
                self._labelled = False
            return None
        names, inverse = encode(labels, rows, "labels")
        if self._closed:
            for number, name in enumerate(names):
                if name not in self._index:
                    first = int(np.argmax(inverse == number))
                    raise ValueError(f"labels[{first}] = {name!r} is not among the classes given")
        if rows:
            self._labelled = True
        codes = np.array([self._index.setdefault(name, len(self._index)) for name in names], dtype=np.intp)
        return codes[inverse] if rows else codes

    def _add_rows(self, key: Hashable, matrix: NDArray[Any], codes: NDArray[np.intp] | None) -> None:
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Sums.zeros(self.dimension, self.has_class_gram)
        part.grow(len(self._index))
        for i in range(0, len(matrix), BLOCK_ROWS):
            x = np.subtract(matrix[i : i + BLOCK_ROWS], self._origin, dtype=np.float64)
            part.add(x, None if codes is None else codes[i : i + BLOCK_ROWS])

    # --- arithmetic

    def _like(self) -> Moments:
        other = Moments(
            self.dimension,
            grouped=self.grouped,
            max_groups=self.max_groups,
            class_gram=self.has_class_gram,
        )
        other._closed = self._closed
        other._index = dict(self._index)
        other._shift = self._shift
        other._labelled = self._labelled
        return other

    def _combine(self, other: Moments, sign: int) -> Moments:
        self._check_compatible(other)
        result = self._like()
        for label in other._index:
            result._index.setdefault(label, len(result._index))
        if result._shift is None:
            result._shift = other._shift
        if result._labelled is None:
            result._labelled = other._labelled
        size = len(result._index)
        order = np.array([result._index[label] for label in other._index], dtype=np.intp)
        result._parts = {key: part.copy() for key, part in self._parts.items()}
        for part in result._parts.values():
            part.grow(size)
        for key, theirs in other._parts.items():
            moved = theirs.copy()
            moved.grow(len(order))
            moved = moved.translated(result._origin - other._origin).reordered(order, size)
            mine = result._parts.get(key) or Sums.zeros(self.dimension, self.has_class_gram)
            mine.grow(size)
            result._parts[key] = mine.plus(moved, sign)
        if sign < 0:
            result._drop_empty()
        return result

    def _check_compatible(self, other: Moments) -> None:
        if self.dimension != other.dimension:
            raise ValueError(f"moments of dimension {self.dimension} and {other.dimension} do not combine")
        mine = (self.grouped, self.max_groups, self.has_class_gram)
        if mine != (other.grouped, other.max_groups, other.has_class_gram):
            raise ValueError("moments of different settings (grouped, max_groups, class_gram) do not combine")
        if self._labelled is not None and other._labelled is not None and self._labelled != other._labelled:
            raise ValueError("moments with labels and moments without do not combine")

    def _drop_empty(self) -> None:
        labels = list(self._index)
        for key, part in list(self._parts.items()):
            if part.n < 0:
                raise ValueError("subtraction leaves a negative count of samples; subtract what was added")
            if part.counts.size and part.counts.min() < 0:
                label = labels[int(np.argmin(part.counts))]
                raise ValueError(f"subtraction leaves a negative count of class {label!r}")
            if part.n == 0:
                del self._parts[key]
            else:
                part.clear_absent_classes()

    def __add__(self, other: Moments) -> Moments:
        return self._combine(other, 1)

    def __sub__(self, other: Moments) -> Moments:
        return self._combine(other, -1)

    # --- groups

    @property
    def groups(self) -> tuple[Hashable, ...]:
        """Keys of the groups that have samples: hashes, or with `max_groups=None` the groups themselves."""
        return tuple(sorted(self._parts, key=sort_key)) if self.grouped else ()

    def group(self, key: Hashable) -> Moments:
        """Return the moments of one group, ungrouped.

        Raises:
            ValueError: there is no such group.
        """
        if key not in self.groups:
            raise ValueError(f"no group {key!r} in these moments")
        result = self._like()
        result.grouped = False
        result._parts = {None: self._parts[key]}
        return result

    def without(self, key: Hashable) -> Moments:
        """Return the ungrouped moments of all groups but one.

        Raises:
            ValueError: there is no such group.
        """
        return self.pooled() - self.group(key)

    def pooled(self) -> Moments:
        """Return the ungrouped moments of all samples."""
        result = self._like()
        result.grouped = False
        if self._parts:
            result._parts = {None: self._total}
        return result

    # --- what estimators read

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


def _square_norms(rows: NDArray[Any], start: int) -> Array:
    """Return the squared norms of rows, having checked that every feature is finite."""
    # float32 rows cannot overflow in float64; a float64 row that does is told apart from NaN below
    with np.errstate(over="ignore"):
        squares: Array = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
    if not np.isfinite(squares).all():
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            row, column = (int(i) for i in bad[0])
            raise ValueError(f"features[{start + row}, {column}] is {rows[row, column]}; it must be finite")
    return squares
