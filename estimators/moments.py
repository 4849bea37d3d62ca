"""Additive sufficient statistics of (features, labels): what most estimators need, and all they need.

One pass over the data updates them, after which the features can be dropped; they add over batches,
shards and machines, and subtract for the jackknife. Memory is O(D²), whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .device_sums import DeviceSums, on_accelerator
from .labels import bucket, encode, sort_key
from .sufficient_statistics import SufficientStatistics
from .sums import Sums
from .validation import BLOCK_ROWS, as_features, as_tensor, check_finite

Array = NDArray[np.float64]

BLOCK_NUMBERS = 2**17
"""Features converted to float64 at a time (1 MiB): they stay in the cache, and need no memory to speak of."""


class Moments(SufficientStatistics):
    """Moments of features up to the fourth, by class and on request by group, in float64.

    The statistics are kept about a shift (the mean of the first batch), since raw second moments of
    features that lie far from zero would lose the variance to rounding; raw and centred moments are
    both derived from them. Gram matrices are stored as packed triangles.

    Of tensors on an accelerator with float64 (CUDA, ROCm), the sums gather there, and come to the host when
    they are first read after an update; tensors of others (MPS) are copied to the host, batch by batch.

    Args:
        dimension: features per sample, D.
        classes: the labels that may occur; None accepts any. Classes without a sample are ignored
            by every estimator.
        grouped: keep statistics of each group of samples apart, for jackknife errors and held-out
            scores. Memory grows with the number of groups.
        max_groups: beyond so many groups, they are hashed into so many jackknife groups, on every machine
            alike; None keeps each by itself. What has been seen decides, not in what order.
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
        self._on_host: dict[Hashable, Sums] = {}
        self._on_device: dict[Hashable, DeviceSums] = {}
        self._hashed = False
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
        *,
        finite: bool = False,
    ) -> None:
        """Add a batch.

        Args:
            features: (N, D), numpy array or torch tensor, floating point.
            labels: (N,), hashable; None for estimators that use no labels.
            groups: (N,), hashable, such as the speaker of each sample; needed where `grouped`.
            finite: the features are known to be finite, so that nobody has to look.

        Raises:
            ValueError: a shape is wrong, a feature is NaN or infinite, a label is missing or not among
                `classes`, groups are missing, or labels came with some batches only. The message
                names the argument and the first offending index; nothing has been added then.
        """
        matrix: Any
        if on_accelerator(features) and features.ndim == 2 and features.shape[1] == self.dimension:
            matrix = as_tensor(features)
        else:
            matrix = as_features(features, dimension=self.dimension)
        if not finite:
            check_finite(matrix)
        rows = len(matrix)
        if self.grouped and groups is None:
            raise ValueError("groups is missing, which these moments keep apart; pass one group per row")
        names, membership = encode(groups, rows, "groups") if self.grouped else ([], None)
        codes = self._encode_labels(labels, rows)
        if rows == 0:
            return
        self._cache.clear()
        if self._shift is None:
            self._shift = as_features(matrix[:BLOCK_ROWS]).mean(axis=0, dtype=np.float64)
        if membership is None:
            self._add_rows(None, matrix, codes)
            return
        if self._too_many(names):
            self._parts, self._hashed = self._hashed_parts(), True
        keys = (
            [bucket(name, self.max_groups) for name in names] if self._hashed and self.max_groups else names
        )
        for key in dict.fromkeys(keys):
            own = [i for i, other in enumerate(keys) if other == key]
            chosen = np.flatnonzero(np.isin(membership, own))
            if len(chosen) == rows:
                self._add_rows(key, matrix, codes)
            else:
                self._add_rows(key, matrix[chosen], None if codes is None else codes[chosen])

    def _too_many(self, names: Iterable[Hashable]) -> bool:
        """Return whether these groups, with those already there, are more than are kept by themselves."""
        return (
            not self._hashed
            and self.max_groups is not None
            and len(self._on_host.keys() | self._on_device.keys() | set(names)) > self.max_groups
        )

    def _hashed_parts(self) -> dict[Hashable, Sums]:
        """Return the parts, copied, summed over the groups that hash into the same one."""
        parts: dict[Hashable, Sums] = {}
        for name, part in self._parts.items():
            part.grow(len(self._index))
            key = name
            if self.max_groups is not None and not self._hashed:
                key = bucket(name, self.max_groups)
            parts[key] = parts[key].plus(part, 1) if key in parts else part.copy()
        return parts

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

    def _add_rows(self, key: Hashable, matrix: Any, codes: NDArray[np.intp] | None) -> None:
        if isinstance(matrix, Tensor):
            sums = self._on_device.get(key)
            if sums is None or sums.device != matrix.device:
                self._bring_to_host()
                sums = DeviceSums(self.dimension, self.has_class_gram, self._origin, matrix.device)
                self._on_device[key] = sums
            sums.add(matrix, codes, len(self._index))
            return
        part = self._on_host.get(key)
        if part is None:
            part = self._on_host[key] = Sums.zeros(self.dimension, self.has_class_gram)
        part.grow(len(self._index))
        rows = max(512, BLOCK_NUMBERS // self.dimension)
        block, squares = np.empty((2, min(rows, len(matrix)), self.dimension))
        for i in range(0, len(matrix), rows):
            part_rows = min(rows, len(matrix) - i)
            x = np.subtract(matrix[i : i + rows], self._origin, out=block[:part_rows], dtype=np.float64)
            np.square(x, out=squares[:part_rows])
            part.add(x, squares[:part_rows], None if codes is None else codes[i : i + rows])

    @property
    def _parts(self) -> dict[Hashable, Sums]:
        """The sums of each group, all of them on the host."""
        if self._on_device:
            self._bring_to_host()
        return self._on_host

    @_parts.setter
    def _parts(self, parts: dict[Hashable, Sums]) -> None:
        self._on_host = parts

    def _bring_to_host(self) -> None:
        waiting, self._on_device = self._on_device, {}
        for key, sums in waiting.items():
            part = sums.to_host()
            part.grow(len(self._index))
            known = self._on_host.get(key)
            if known is not None:
                known.grow(len(self._index))
                part = known.plus(part, 1)
            self._on_host[key] = part

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
        other._hashed = self._hashed
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
        mine, others = {key: part.copy() for key, part in self._parts.items()}, other._parts
        if self.grouped and (self._hashed or other._hashed or self._too_many(others)):
            mine, others, result._hashed = self._hashed_parts(), other._hashed_parts(), True
        result._parts = mine
        for part in mine.values():
            part.grow(size)
        for key, theirs in others.items():
            moved = theirs.copy()
            moved.grow(len(order))
            moved = moved.translated(result._origin - other._origin).reordered(order, size)
            known = mine.get(key) or Sums.zeros(self.dimension, self.has_class_gram)
            known.grow(size)
            mine[key] = known.plus(moved, sign)
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
        for closed, added in ((self, other), (other, self)):
            foreign = [label for label in added.classes if closed._closed and label not in closed._index]
            if foreign:
                raise ValueError(
                    f"classes: {foreign[0]!r} is not among those that one of the moments may have"
                )

    def _drop_empty(self) -> None:
        labels = list(self._index)
        for key, part in list(self._parts.items()):
            if part.n < 0:
                which = f" of group {key!r}" if self.grouped else ""
                raise ValueError(
                    f"subtraction leaves a negative count of samples{which}; subtract what was added"
                )
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
        """Groups that have samples; numbers of hashed groups where there were more than `max_groups`."""
        return tuple(sorted(self._parts, key=sort_key)) if self.grouped else ()

    def _check_group(self, key: Hashable) -> None:
        if key not in self.groups:
            raise ValueError(f"no group {key!r} in these moments")

    def group(self, key: Hashable) -> Moments:
        """Return the moments of one group, ungrouped.

        Raises:
            ValueError: there is no such group.
        """
        self._check_group(key)
        result = self._like()
        result.grouped = False
        result._parts = {None: self._parts[key].copy()}
        return result

    def without(self, key: Hashable) -> Moments:
        """Return the ungrouped moments of all groups but one.

        Raises:
            ValueError: there is no such group.
        """
        self._check_group(key)
        shared: tuple[Hashable, dict[frozenset[Hashable], Moments]] = self._cache.get("pairs", (None, {}))
        missing, pairs = shared
        pair = frozenset([missing, key])
        if pair in pairs:
            return pairs[pair]
        result = self._like()
        result.grouped = False
        result._parts = {None: self._total.plus(self._parts[key], -1)}
        result._drop_empty()
        pairs[pair] = result
        return result

    def leave_out(self, key: Hashable, pairs: dict[frozenset[Hashable], Moments] | None = None) -> Moments:
        """Return the moments of all groups but one, the others still kept apart.

        Args:
            key: the group that is left out.
            pairs: what `without` leaves of the result, by both groups that are missing; shared by the moments
                without each of several groups, it is computed once for each pair. Nobody may add to these.

        Raises:
            ValueError: there is no such group.
        """
        self._check_group(key)
        result = self._like()
        result._parts = {name: part.copy() for name, part in self._parts.items() if name != key}
        if pairs is not None:
            result._cache["pairs"] = key, pairs
        return result

    def pooled(self) -> Moments:
        """Return the ungrouped moments of all samples."""
        result = self._like()
        result.grouped = False
        if self._parts:
            result._parts = {None: self._total.copy()}
        return result
