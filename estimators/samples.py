"""Samples for the estimators that need more than moments: bounded, seeded, stratified by utterance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import encode, sort_key, stable_hash
from .validation import as_features, check_finite

_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Features in memory with their labels and groups.

    Attributes:
        features: (N, D), float32 or float64, finite.
        labels: (N,), an object array of hashables; None where unknown.
        groups: (N,), an object array of hashables, such as the utterance or speaker; None where unknown.

    Raises:
        ValueError: a shape is wrong, or a value is NaN or infinite; the message names it.
    """

    features: NDArray[Any]
    labels: NDArray[np.object_] | None = None
    groups: NDArray[np.object_] | None = None

    def __post_init__(self) -> None:
        features = as_features(self.features)
        check_finite(features)
        object.__setattr__(self, "features", features)
        for name in ("labels", "groups"):
            values = getattr(self, name)
            if values is not None:
                names, codes = encode(values, len(features), name)
                object.__setattr__(self, name, _objects(names)[codes])

    @classmethod
    def of(cls, features: Any, labels: Any | None = None, groups: Any | None = None) -> Samples:
        """Return samples of arrays, tensors or sequences."""
        return cls(features, labels, groups)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def dimension(self) -> int:
        """Features per sample, D."""
        return int(self.features.shape[1])

    def encoded_labels(self) -> tuple[list[Hashable], NDArray[np.intp]]:
        """Return the classes, sorted, and each sample's index among them, shape (N,).

        Raises:
            ValueError: there are no labels.
        """
        return _sorted_codes(self.labels, len(self), "labels")

    def encoded_groups(self) -> tuple[list[Hashable], NDArray[np.intp]]:
        """Return the groups, sorted, and each sample's index among them, shape (N,).

        Raises:
            ValueError: there are no groups.
        """
        return _sorted_codes(self.groups, len(self), "groups")

    def take(self, rows: NDArray[np.intp]) -> Samples:
        """Return some of the samples."""
        return Samples(
            self.features[rows],
            None if self.labels is None else self.labels[rows],
            None if self.groups is None else self.groups[rows],
        )

    def subsample(self, size: int, seed: int) -> Samples:
        """Return at most `size` samples, drawn evenly from every group (see `Reservoir`)."""
        if len(self) <= size:
            return self
        reservoir = Reservoir(size, seed)
        reservoir.update(self.features, self.labels, self.groups)
        return reservoir.samples()


def _objects(values: Sequence[Hashable]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # np.array would turn tuples into rows
        array[i] = value
    return array


def _sorted_codes(
    values: NDArray[np.object_] | None, rows: int, name: str
) -> tuple[list[Hashable], NDArray[np.intp]]:
    if values is None:
        raise ValueError(f"the samples have no {name}; pass {name} with the features")
    names, codes = encode(values, rows, name)
    order = sorted(range(len(names)), key=lambda i: sort_key(names[i]))
    rank = np.empty(len(names), dtype=np.intp)
    rank[order] = np.arange(len(names))
    return [names[i] for i in order], rank[codes]


class Reservoir:
    """A sample of at most `capacity` rows of a stream, taken evenly from its groups in one pass.

    Each row has a random key that depends on the seed, its group and its place in the group alone.
    The sample takes each group's row of smallest key, then each group's second smallest, and so on
    until it is full (in the last round the groups with the smallest keys of their own). So every group has
    nearly the same number of rows, whatever the batches and whatever the order of the groups; and
    all layers of a model, updated alike, keep the same rows. A row that has been dropped could never
    have come back: rounds only fill up; nor can a row of a group that has lost its last row to `capacity`
    other groups, so that such a group is forgotten. Memory: about two times the capacity, and as many groups.

    Args:
        capacity: rows to keep.
        seed: of the keys.

    Raises:
        ValueError: capacity is less than 1.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; it must be at least 1")
        self.capacity = capacity
        self.seed = seed
        self._dimensions: list[int] | None = None
        self._labelled: bool | None = None
        self._seen: dict[Hashable, int] = {}
        self._names: dict[Hashable, int] = {}
        self._features: list[list[NDArray[Any]]] = []  # batch by batch, of each layer
        self._labels: list[NDArray[np.object_]] = []
        # structured rows: code and key of the group, place in the group, key of the row
        self._rows: list[NDArray[np.void]] = []
        self._held = 0
        self._last_round = int(np.iinfo(np.int64).max)
        self._largest_group_key = int(np.iinfo(np.uint64).max)

    def update(self, features: Any, labels: Any | None = None, group: Any | None = None) -> None:
        """Offer a batch.

        Args:
            features: (N, D), numpy array or torch tensor.
            labels: (N,) hashables, or None throughout.
            group: one hashable for the whole batch (a string, number or tuple), or (N,) hashables as
                an array or list; None counts all such rows as one group.

        Raises:
            ValueError: a shape is wrong, D changed, a feature of a row that may be kept is NaN or
                infinite, or labels came with some batches only.
        """
        self.update_layers([features], labels, group)

    def update_layers(
        self,
        layers: Sequence[Any],
        labels: Any | None = None,
        group: Any | None = None,
        *,
        finite: bool = False,
    ) -> None:
        """Offer a batch as several layers have it, of which the same rows are kept.

        Args:
            layers: at least one, as many as before, each (N, D) with a D of its own.
            labels: as for `update`.
            group: as for `update`.
            finite: the features are known to be finite, so that nobody has to look.

        Raises:
            ValueError: as `update`, or another number of layers than before.
        """
        known: Sequence[int | None] = self._dimensions or [None] * len(layers)
        if not layers or len(known) != len(layers):
            raise ValueError(f"layers has {len(layers)} of them, {len(known) or 1} were expected")
        offered = [_offered(each, dimension) for each, dimension in zip(layers, known, strict=True)]
        total = len(offered[0])
        if any(len(each) != total for each in offered):
            raise ValueError(f"layers have {sorted({*map(len, offered)})} rows; all must have the same")
        if self._labelled is not None and self._labelled != (labels is not None):
            raise ValueError("labels were given with some batches only; give them always or never")
        label_names, label_codes = ([], None) if labels is None else encode(labels, total, "labels")
        group_names, group_codes = _encoded_group(group, total)
        rows = self._keys(group_names, group_codes)
        alive = rows["group_key"] <= np.uint64(self._largest_group_key)
        kept = np.flatnonzero(alive & (_rounds(rows) <= self._last_round))
        matrices = [_chosen(each, kept, dimension) for each, dimension in zip(offered, known, strict=True)]
        if not finite:
            for matrix in matrices:
                check_finite(matrix)
        counts = np.bincount(group_codes, minlength=len(group_names))
        for name, count in zip(group_names, counts, strict=True):
            if name in self._names:
                self._seen[name] = self._seen.get(name, 0) + int(count)
        self._dimensions = [matrix.shape[1] for matrix in matrices]
        self._labelled = labels is not None
        if not len(kept):
            return
        self._features.append(matrices)
        self._labels.append(_objects([]) if label_codes is None else _objects(label_names)[label_codes[kept]])
        self._rows.append(rows[kept])
        self._held += len(kept)
        if self._held > 2 * self.capacity:
            self._prune()

    def _keys(self, names: list[Hashable], codes: NDArray[np.intp]) -> NDArray[np.void]:
        dtype = [("group", "i8"), ("group_key", "u8"), ("place", "i8"), ("key", "u8")]
        rows = np.zeros(len(codes), dtype=dtype)
        keys = [stable_hash(name, self.seed) for name in names]
        numbers = [
            self._names.setdefault(name, len(self._names)) if key <= self._largest_group_key else -1
            for name, key in zip(names, keys, strict=True)
        ]
        seen = np.array([self._seen.get(name, 0) for name in names], dtype=np.int64)
        rows["group"] = np.array(numbers, dtype=np.int64)[codes]
        rows["group_key"] = np.array(keys, dtype=np.uint64)[codes]
        rows["place"] = seen[codes] + _places(codes)
        rows["key"] = _split_mix(rows["group_key"], rows["place"])
        return rows

    def _prune(self) -> None:
        if not self._rows:
            return
        rows = np.concatenate(self._rows)
        rounds = _rounds(rows)
        best = np.lexsort((rows["group"], rows["group_key"], rounds))[: self.capacity]
        if len(rows) >= self.capacity:
            self._last_round = int(rounds[best].max())
        order = best[np.lexsort((rows["place"][best], rows["group"][best], rows["group_key"][best]))]
        rows = rows[order]
        if self._last_round == 0 and len(self._names) > len(np.unique(rows["group"])):
            self._forget_lost_groups(rows)
        self._rows = [rows]
        self._features = [[np.concatenate(batches)[order] for batches in zip(*self._features, strict=True)]]
        if self._labelled:
            self._labels = [np.concatenate(self._labels)[order]]
        self._held = len(order)

    def _forget_lost_groups(self, rows: NDArray[np.void]) -> None:
        """Forget groups without a row, which `capacity` others have pushed out; number the rest anew."""
        self._largest_group_key = int(rows["group_key"].max())
        names = list(self._names)
        held, codes = np.unique(rows["group"], return_inverse=True)
        rows["group"] = codes
        self._names = {names[code]: i for i, code in enumerate(held)}
        self._seen = {name: self._seen[name] for name in self._names}

    def samples(self) -> Samples:
        """Return what has been kept, ordered by group (by its random key) and place in the group.

        Raises:
            ValueError: nothing has been offered yet.
        """
        return self.samples_of_layers()[0]

    def samples_of_layers(self) -> list[Samples]:
        """Return what has been kept of each layer; the rows, as in `samples`, are the same.

        Raises:
            ValueError: nothing has been offered yet.
        """
        self._prune()
        if not self._held:
            raise ValueError("no samples have been offered; call update first")
        names = _objects(list(self._names))
        grouped = list(self._names) != [None]
        labels = self._labels[0] if self._labelled else None
        groups = names[self._rows[0]["group"]] if grouped else None
        return [Samples(features, labels, groups) for features in self._features[0]]


def _encoded_group(group: Any, rows: int) -> tuple[list[Hashable], NDArray[np.intp]]:
    """Return what `encode` does; one group, or None, is that of all rows."""
    if group is None or isinstance(group, str | bytes | int | float | tuple | np.generic):
        return [group.item() if isinstance(group, np.generic) else group], np.zeros(rows, dtype=np.intp)
    return encode(group, rows, "group")


def _offered(features: Any, dimension: int | None) -> Any:
    """Return features that have been checked to be (N, D); a tensor stays on its device."""
    if hasattr(features, "detach") and features.ndim == 2:
        return features
    return as_features(features, dimension=dimension)


def _chosen(features: Any, kept: NDArray[np.intp], dimension: int | None) -> NDArray[Any]:
    """Return the rows that can still matter, copied before they leave an accelerator."""
    whole = len(kept) == len(features)
    if not whole:
        features = features[kept.tolist()] if hasattr(features, "detach") else features[kept]
    matrix = as_features(features, dimension=dimension)
    return matrix.copy() if whole else matrix


def _rounds(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return each row's rank by key within its group, from 0."""
    return _places(rows["group"], np.lexsort((rows["key"], rows["group"])))


def _places(groups: NDArray[np.intp], order: NDArray[np.intp] | None = None) -> NDArray[np.int64]:
    """Return each row's place within its group, from 0, in an order that keeps groups together.

    By default in the order in which the rows are given.
    """
    if order is None:
        order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, int)
    first = np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    places = np.empty(len(ordered), dtype=np.int64)
    places[order] = np.arange(len(ordered)) - first
    return places


def _split_mix(seeds: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return words of the SplitMix64 streams of seeds at places, from 0 (Steele et al., 2014)."""
    z = seeds + (places.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
