"""The additive sums behind `Moments`, about a shift: one set for each group of samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.linalg.lapack import dsfrk, dtfttr, dtrttf

Array = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Sums:
    """Sums over samples x (features less a shift), D features and C classes.

    Gram matrices are lower triangles in LAPACK's rectangular full packed format, shape
    (D·(D+1)/2,): half the memory of a full matrix, updated at the speed of level-3 BLAS.

    Attributes:
        n: number of samples.
        sum: Σ x, shape (D,).
        packed_gram: Σ x xᵀ, packed; None where class_grams are kept, of which it is the sum.
        cubes: Σ ‖x‖² x, shape (D,).
        fourth: Σ ‖x‖⁴.
        counts: samples of each class, shape (C,), int64.
        class_sums: Σ x of each class, shape (C, D).
        class_squares: Σ x² of each class, by feature, shape (C, D).
        class_grams: Σ x xᵀ of each class, packed, by code of the class; a class without samples
            has none, and -1 is the code of samples without a label. None where not kept.
    """

    n: int
    sum: Array
    packed_gram: Array | None
    cubes: Array
    fourth: float
    counts: NDArray[np.int64]
    class_sums: Array
    class_squares: Array
    class_grams: dict[int, Array] | None

    @classmethod
    def zeros(cls, dimension: int, class_gram: bool) -> Sums:
        """Return the sums of no samples."""
        packed = None if class_gram else np.zeros(dimension * (dimension + 1) // 2)
        none = np.zeros((0, dimension))
        counts = np.zeros(0, dtype=np.int64)
        zero = np.zeros(dimension)
        return cls(0, zero, packed, zero.copy(), 0.0, counts, none, none.copy(), {} if class_gram else None)

    def copy(self) -> Sums:
        """Return sums that share no array with these."""
        return replace(
            self,
            sum=self.sum.copy(),
            packed_gram=None if self.packed_gram is None else self.packed_gram.copy(),
            cubes=self.cubes.copy(),
            counts=self.counts.copy(),
            class_sums=self.class_sums.copy(),
            class_squares=self.class_squares.copy(),
            class_grams=None
            if self.class_grams is None
            else {code: gram.copy() for code, gram in self.class_grams.items()},
        )

    def grow(self, classes: int) -> None:
        """Make room for classes that were not there before."""
        missing = classes - len(self.counts)
        if missing > 0:
            self.counts = np.pad(self.counts, (0, missing))
            self.class_sums = np.pad(self.class_sums, ((0, missing), (0, 0)))
            self.class_squares = np.pad(self.class_squares, ((0, missing), (0, 0)))

    def add(self, x: Array, codes: NDArray[np.intp] | None) -> None:
        """Add samples x, shape (N, D), of the classes with these codes, shape (N,)."""
        rows = len(x)
        if self.class_grams is None:
            assert self.packed_gram is not None  # noqa: S101 (for mypy)
            self.packed_gram = _rank_update(self.packed_gram, x)
        else:
            self._add_class_grams(self.class_grams, x, codes)
        squares = np.square(x)
        norms = squares.sum(axis=1)
        self.n += rows
        self.sum += x.sum(axis=0)
        self.cubes += norms @ x
        self.fourth += float(norms @ norms)
        if codes is not None:
            # a product with the sparse one-hot matrix touches each feature once
            ones = np.ones(rows)
            indicator = scipy.sparse.csr_array(
                (ones, (codes, np.arange(rows))), shape=(len(self.counts), rows)
            )
            self.class_sums += np.asarray(indicator @ x)
            self.class_squares += np.asarray(indicator @ squares)
            self.counts += np.bincount(codes, minlength=len(self.counts))

    @staticmethod
    def _add_class_grams(grams: dict[int, Array], x: Array, codes: NDArray[np.intp] | None) -> None:
        if codes is None:
            codes = np.full(len(x), -1)
        order = np.argsort(codes, kind="stable")
        present, starts = np.unique(codes[order], return_index=True)
        for code, chosen in zip(present, np.split(order, starts[1:]), strict=True):
            known = grams.get(int(code))
            gram = np.zeros(x.shape[1] * (x.shape[1] + 1) // 2) if known is None else known
            grams[int(code)] = _rank_update(gram, x[chosen])

    def plus(self, other: Sums, sign: int) -> Sums:
        """Return the sum (sign 1) or the difference (sign -1) of two sums about the same shift."""
        grams = None
        if self.class_grams is not None and other.class_grams is not None:
            grams = dict(self.class_grams)
            for code, gram in other.class_grams.items():
                grams[code] = grams[code] + sign * gram if code in grams else sign * gram
        packed = None
        if self.packed_gram is not None and other.packed_gram is not None:
            packed = self.packed_gram + sign * other.packed_gram
        return Sums(
            self.n + sign * other.n,
            self.sum + sign * other.sum,
            packed,
            self.cubes + sign * other.cubes,
            self.fourth + sign * other.fourth,
            self.counts + sign * other.counts,
            self.class_sums + sign * other.class_sums,
            self.class_squares + sign * other.class_squares,
            grams,
        )

    def reordered(self, codes: NDArray[np.intp], classes: int) -> Sums:
        """Return the same sums where class i has become class codes[i] of so many classes."""
        size = len(codes)
        counts = np.zeros(classes, dtype=np.int64)
        class_sums = np.zeros((classes, len(self.sum)))
        class_squares = np.zeros((classes, len(self.sum)))
        counts[codes] = self.counts[:size]
        class_sums[codes] = self.class_sums[:size]
        class_squares[codes] = self.class_squares[:size]
        grams = self.class_grams
        if grams is not None:
            grams = {int(codes[code]) if code >= 0 else code: gram for code, gram in grams.items()}
        return replace(
            self, counts=counts, class_sums=class_sums, class_squares=class_squares, class_grams=grams
        )

    def clear_absent_classes(self) -> None:
        """Zero what rounding left of classes from which every sample was subtracted."""
        absent = self.counts == 0
        self.class_sums[absent] = 0.0
        self.class_squares[absent] = 0.0
        if self.class_grams is not None:
            self.class_grams = {
                code: gram for code, gram in self.class_grams.items() if code < 0 or not absent[code]
            }

    def dense_gram(self) -> Array:
        """Return Σ x xᵀ as a full symmetric matrix, shape (D, D)."""
        return unpack(self._packed_total(), len(self.sum))

    def _packed_total(self) -> Array:
        if self.class_grams is None:
            assert self.packed_gram is not None  # noqa: S101 (for mypy)
            return self.packed_gram
        size = len(self.sum) * (len(self.sum) + 1) // 2
        total = np.zeros(size)
        for gram in self.class_grams.values():
            total += gram
        return total

    def class_scatter(self, code: int) -> Array:
        """Return the scatter of a class about its own mean, shape (D, D)."""
        assert self.class_grams is not None  # noqa: S101 (for mypy)
        total = self.class_sums[code]
        scatter: Array = unpack(self.class_grams[code], len(total))
        scatter -= np.outer(total, total) / self.counts[code]
        return scatter

    def translated(self, d: Array, *, merge: bool = False) -> Sums:
        """Return the sums of y = x − d, expanded in the sums of x; shape of d: (D,).

        Args:
            d: what is subtracted from every sample.
            merge: return one Gram matrix of all samples in place of those of the classes.
        """
        gram = self.dense_gram()
        gram_d = gram @ d
        counts = self.counts[:, None].astype(np.float64)
        d_sum, d_d = float(d @ self.sum), float(d @ d)
        trace = float(np.trace(gram))
        cubes = self.cubes - trace * d - 2 * gram_d + 2 * d_sum * d + d_d * self.sum - self.n * d_d * d
        fourth = (
            self.fourth
            + 4 * float(d @ gram_d)
            + self.n * d_d**2
            - 4 * float(d @ self.cubes)
            + 2 * d_d * trace
            - 4 * d_d * d_sum
        )
        packed, grams = None, None
        if merge or self.class_grams is None:
            packed = pack(_moved(gram, self.sum, self.n, d))
        else:
            grams = {
                code: pack(_moved(unpack(part, len(d)), *self._first_moments(code), d))
                for code, part in self.class_grams.items()
            }
        return Sums(
            self.n,
            self.sum - self.n * d,
            packed,
            cubes,
            fourth,
            self.counts.copy(),
            self.class_sums - counts * d,
            self.class_squares - 2 * d * self.class_sums + counts * d**2,
            grams,
        )

    def _first_moments(self, code: int) -> tuple[Array, int]:
        """Return sum and number of the samples of a class; of those without a label for code -1."""
        if code < 0:
            return self.sum - self.class_sums.sum(axis=0), self.n - int(self.counts.sum())
        return self.class_sums[code], int(self.counts[code])


def _moved(gram: Array, total: Array, n: int, d: Array) -> Array:
    """Return Σ (x − d)(x − d)ᵀ from Σ x xᵀ, Σ x and n."""
    cross = np.outer(total, d)
    moved: Array = gram - cross - cross.T + n * np.outer(d, d)
    return moved


def _rank_update(packed: Array, x: Array) -> Array:
    """Return packed + xᵀx, updated in place; no flop is done twice."""
    rows, dimension = x.shape
    result: Array = dsfrk(
        dimension, rows, 1.0, x.T, 1.0, packed, transr="N", uplo="L", trans="N", overwrite_c=1
    )
    return result


def pack(matrix: Array) -> Array:
    """Return the lower triangle of a symmetric matrix, packed."""
    packed: Array
    packed, _ = dtrttf(matrix, transr="N", uplo="L")
    return packed


def unpack(packed: Array, dimension: int) -> Array:
    """Return the full symmetric matrix, shape (D, D), of a packed lower triangle."""
    lower, _ = dtfttr(dimension, packed, transr="N", uplo="L")
    full: Array = np.tril(lower)
    full += np.tril(full, -1).T
    return full
