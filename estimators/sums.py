"""The additive sums behind `Moments`, about a shift: one set for each group of samples."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.linalg.lapack import dsfrk, dtfttr, dtrttf

Array = NDArray[np.float64]


EVERYTHING = -1
"""Code under which all samples share a Gram matrix, where classes have none of their own."""


@dataclass(slots=True, eq=False)
class Sums:
    """Sums over samples x (features less a shift), D features and C classes.

    Gram matrices are lower triangles in LAPACK's rectangular full packed format, shape
    (D·(D+1)/2,): half the memory of a full matrix, updated at the speed of level-3 BLAS.

    Attributes:
        by_class: whether classes have Gram matrices of their own.
        n: number of samples.
        sum: Σ x, shape (D,).
        grams: Σ x xᵀ, packed, by code of the class where kept by class (and samples have labels),
            else of all samples under the code `EVERYTHING`. No entry without a sample.
        cubes: Σ ‖x‖² x, shape (D,).
        fourth: Σ ‖x‖⁴.
        counts: samples of each class, shape (C,), int64.
        class_sums: Σ x of each class, shape (C, D).
        class_squares: Σ x² of each class, by feature, shape (C, D).
    """

    by_class: bool
    n: int
    sum: Array
    grams: dict[int, Array]
    cubes: Array
    fourth: float
    counts: NDArray[np.int64]
    class_sums: Array
    class_squares: Array

    @classmethod
    def zeros(cls, dimension: int, by_class: bool) -> Sums:
        """Return the sums of no samples."""
        none = np.zeros((0, dimension))
        counts = np.zeros(0, dtype=np.int64)
        return cls(by_class, 0, np.zeros(dimension), {}, np.zeros(dimension), 0.0, counts, none, none.copy())

    def copy(self) -> Sums:
        """Return sums that share no array with these."""
        return replace(
            self,
            sum=self.sum.copy(),
            grams={code: gram.copy() for code, gram in self.grams.items()},
            cubes=self.cubes.copy(),
            counts=self.counts.copy(),
            class_sums=self.class_sums.copy(),
            class_squares=self.class_squares.copy(),
        )

    def grow(self, classes: int) -> None:
        """Make room for classes that were not there before."""
        missing = classes - len(self.counts)
        if missing > 0:
            self.counts = np.pad(self.counts, (0, missing))
            self.class_sums = np.pad(self.class_sums, ((0, missing), (0, 0)))
            self.class_squares = np.pad(self.class_squares, ((0, missing), (0, 0)))

    def add(self, x: Array, squares: Array, codes: NDArray[np.intp] | None) -> None:
        """Add samples x, shape (N, D), with their squares, of the classes with these codes, shape (N,)."""
        rows = len(x)
        if self.by_class and codes is not None:
            order = np.argsort(codes, kind="stable")
            present, starts = np.unique(codes[order], return_index=True)
            for code, chosen in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
                self._add_gram(code, x[chosen])
        else:
            self._add_gram(EVERYTHING, x)
        norms = squares.sum(axis=1)
        self.n += rows
        self.cubes += norms @ x
        self.fourth += float(norms @ norms)
        if codes is None:
            self.sum += x.sum(axis=0)
            return
        # a product with the sparse one-hot matrix touches each feature once
        indicator = scipy.sparse.csr_array(
            (np.ones(rows), (codes, np.arange(rows))), shape=(len(self.counts), rows)
        )
        sums = np.asarray(indicator @ x)
        self.sum += sums.sum(axis=0)
        self.class_sums += sums
        self.class_squares += np.asarray(indicator @ squares)
        self.counts += np.bincount(codes, minlength=len(self.counts))

    def _add_gram(self, code: int, x: Array) -> None:
        if code not in self.grams:
            self.grams[code] = _no_gram(x.shape[1])
        self.grams[code] = _rank_update(self.grams[code], x)

    def plus(self, other: Sums, sign: int) -> Sums:
        """Return the sum (sign 1) or the difference (sign -1) of two sums about the same shift."""
        grams = {code: gram.copy() for code, gram in self.grams.items() if code not in other.grams}
        for code, gram in other.grams.items():
            own = self.grams.get(code)
            grams[code] = sign * gram if own is None else own + gram if sign > 0 else own - gram
        return Sums(
            self.by_class,
            self.n + sign * other.n,
            self.sum + sign * other.sum,
            grams,
            self.cubes + sign * other.cubes,
            self.fourth + sign * other.fourth,
            self.counts + sign * other.counts,
            self.class_sums + sign * other.class_sums,
            self.class_squares + sign * other.class_squares,
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
        grams = {EVERYTHING if code == EVERYTHING else int(codes[code]): g for code, g in self.grams.items()}
        return replace(self, grams=grams, counts=counts, class_sums=class_sums, class_squares=class_squares)

    def clear_absent_classes(self) -> None:
        """Zero what rounding left of classes from which every sample was subtracted."""
        absent = self.counts == 0
        self.class_sums[absent] = 0.0
        self.class_squares[absent] = 0.0
        self.grams = {
            code: gram for code, gram in self.grams.items() if code == EVERYTHING or not absent[code]
        }

    def dense_gram(self) -> Array:
        """Return Σ x xᵀ as a full symmetric matrix, shape (D, D)."""
        total = _no_gram(len(self.sum))
        for gram in self.grams.values():
            total += gram
        return unpack(total, len(self.sum))

    def class_scatter(self, code: int) -> Array:
        """Return the scatter of a class about its own mean, shape (D, D)."""
        total = self.class_sums[code]
        scatter: Array = unpack(self.grams[code], len(total))
        scatter -= np.outer(total, total) / self.counts[code]
        return scatter

    def translated(self, d: Array, *, merge: bool = False) -> Sums:
        """Return the sums of y = x − d, expanded in the sums of x; shape of d: (D,).

        Args:
            d: what is subtracted from every sample.
            merge: return one Gram matrix of all samples in place of those of the classes.
        """
        if not merge and not d.any():
            return self.copy()
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
        if merge:
            grams = {EVERYTHING: pack(_moved(gram, self.sum, self.n, d))}
        else:
            grams = {
                code: pack(_moved(unpack(part, len(d)), *self._first_moments(code), d))
                for code, part in self.grams.items()
            }
        return Sums(
            self.by_class and not merge,
            self.n,
            self.sum - self.n * d,
            grams,
            cubes,
            fourth,
            self.counts.copy(),
            self.class_sums - counts * d,
            self.class_squares - 2 * d * self.class_sums + counts * d**2,
        )

    def _first_moments(self, code: int) -> tuple[Array, int]:
        """Return sum and number of the samples whose Gram matrix has this code."""
        if code == EVERYTHING:
            return self.sum, self.n
        return self.class_sums[code], int(self.counts[code])


def _moved(gram: Array, total: Array, n: int, d: Array) -> Array:
    """Return Σ (x − d)(x − d)ᵀ from Σ x xᵀ, Σ x and n."""
    cross = np.outer(total, d)
    moved: Array = gram - cross - cross.T + n * np.outer(d, d)
    return moved


def _no_gram(dimension: int) -> Array:
    """Return the packed Gram matrix of no samples."""
    return np.zeros(dimension * (dimension + 1) // 2)


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
    full: Array
    full, _ = dtfttr(dimension, packed, transr="N", uplo="L")
    np.copyto(full, full.T, where=_above_diagonal(dimension))
    return full


@functools.lru_cache(maxsize=8)
def _above_diagonal(dimension: int) -> NDArray[np.bool_]:
    return np.triu(np.ones((dimension, dimension), dtype=np.bool_), 1)
