"""Permutations of few candidates, counted or drawn: the null distributions of rank correlations."""

from __future__ import annotations

import functools
import itertools

import numpy as np
from numpy.typing import NDArray

EXACT_TO = 13
"""Candidates up to which all n! permutations are counted (13: layer 0 and twelve more)."""
DRAWS = 100_000
"""Random permutations above that."""
UNTIED_TO = 18
"""Candidates up to which `exact_p_value` counts."""


@functools.lru_cache(maxsize=2)
def permutations(n: int, seed: int, draws: int = DRAWS) -> NDArray[np.int64]:
    """Return random orders of n places, shape (draws, n); the same for all rankings of so many candidates."""
    return np.random.default_rng(seed).permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)


@functools.lru_cache(maxsize=64)
def permutations_within(n: int, bound: int) -> int:
    """Count the permutations π of n places with Σ (i − π(i))² at most `bound`.

    Place by place, over the sets of values used so far (as bits), with a histogram of the sum so far.
    The upper places are the lower ones seen in a mirror, so half of the places is enough.
    """
    sets = np.arange(1 << n)
    sizes = np.bitwise_count(sets).astype(np.int64)
    of_size = [sets[sizes == size] for size in range(n + 1)]
    index = np.zeros(1 << n, dtype=np.int64)  # of a set among those of its size
    for members in of_size:
        index[members] = np.arange(len(members))
    counts = [np.zeros((1, bound + 1), dtype=np.int32)]  # at most (UNTIED_TO / 2)! in a cell
    counts[0][0, 0] = 1
    for place in range(n - n // 2):
        grown = np.zeros((len(of_size[place + 1]), bound + 1), dtype=np.int32)
        for value in range(n):
            step = (place - value) ** 2
            if step <= bound:
                before = of_size[place][of_size[place] >> value & 1 == 0]
                grown[index[before | 1 << value], step:] += counts[-1][index[before], : bound + 1 - step]
        counts.append(grown)
    lower = of_size[n - n // 2]
    upper = sets[-1] ^ lower
    mirrored = sum((upper >> value & 1) << (n - 1 - value) for value in range(n))
    at_most = counts[n // 2][index[mirrored]].cumsum(axis=1, dtype=np.int64)
    return sum(int(row) for row in np.einsum("sb,sb->s", counts[-1], at_most[:, ::-1], dtype=np.int64))


@functools.lru_cache(maxsize=256)
def null_distribution(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count the permutations of b by |n Σ a_i b_π(i) − Σa Σb|: distinct values and their counts.

    Adds one place i at a time: which elements of b are used, and the sum so far, is all that counts,
    so n·2ⁿ⁻¹ additions of histograms serve for n! permutations.
    """
    n = len(a)
    size = int(np.dot(a, b)) + 1  # both ascend: the largest sum there is
    histograms = np.zeros((1, size), dtype=np.int64)
    histograms[0, 0] = 1
    row: dict[tuple[int, ...], int] = {(): 0}
    for place in range(n):
        subsets = {subset: i for i, subset in enumerate(itertools.combinations(range(n), place + 1))}
        grown = np.zeros((len(subsets), size), dtype=np.int64)
        for j in range(n):
            without = [subset for subset in row if j not in subset]
            before = [row[subset] for subset in without]
            after = [subsets[tuple(sorted((*subset, j)))] for subset in without]
            step = a[place] * b[j]
            grown[after, step:] += histograms[before, : size - step]
        histograms, row = grown, subsets
    sums = np.flatnonzero(histograms[0])
    deviations = np.abs(n * sums - sum(a) * sum(b))
    distinct, inverse = np.unique(deviations, return_inverse=True)
    counts = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(counts, inverse, histograms[0, sums])
    return distinct, counts
