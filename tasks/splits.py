"""Fair splits: no group (speaker, sentence) on both sides, every class on both where possible.

Many seeded splits are drawn with scikit-learn, mended so that no test class is unknown to the
training part, and the best balanced one is taken. The same rows and seed give the same split.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

RANDOM_CANDIDATES = 100
"""Random splits of the groups that are compared; beside them stand the stratified folds."""

LARGEST_STRATIFIED = 20_000
"""With more groups than this stratified folds take minutes, and random splits are balanced anyway."""

BoolArray = NDArray[np.bool_]


def grouped_split(
    groups: Sequence[str],
    labels: Sequence[str] | None,
    *,
    test_fraction: float = 0.25,
    seed: int = 0,
) -> BoolArray:
    """Choose the test part.

    Args:
        groups: (rows,) what must not be on both sides: speakers, sentences, or single recordings.
        labels: (rows,) the classes to balance; None for transcripts.
        test_fraction: share of the rows that the test part should hold, between 0 and 1.
        seed: of the random candidates.

    Returns:
        (rows,) True where a row belongs to the test part. Both parts hold a row; no group is in
        both; every class of the test part is in the training part; where splits allow it, every
        class is in the test part.

    Raises:
        InputError: `test_fraction` is not between 0 and 1; fewer than two groups; or each split
            would test a class that training does not have.
        ValueError: groups and labels differ in length.
    """
    if not 0 < test_fraction < 1:
        raise InputError(f"test fraction {test_fraction:g}: give a number between 0 and 1, such as 0.25")
    if labels is not None and len(groups) != len(labels):
        raise ValueError(f"{len(groups)} groups but {len(labels)} labels")
    group_of = np.unique(np.asarray(groups), return_inverse=True)[1]
    class_of = np.zeros_like(group_of)
    if labels is not None:
        class_of = np.unique(np.asarray(labels), return_inverse=True)[1]
    if len(groups) == 0 or group_of.max() == 0:
        raise InputError("a split needs at least two groups to keep apart; add rows, or a column split")

    counts = np.zeros((group_of.max() + 1, class_of.max() + 1), int)  # rows of each group and class
    np.add.at(counts, (group_of, class_of), 1)
    candidates = (
        _mend(test, counts) for test in _candidates(group_of, class_of, counts, test_fraction, seed)
    )
    # a mended candidate may have lost its whole test part
    usable = [test for test in candidates if test.any()]
    if not usable:
        raise InputError("every split would test a class that training lacks; add rows, or a column split")
    best = min(usable, key=lambda test: _imbalance(test, counts, test_fraction))
    return best[group_of]


def _candidates(
    group_of: NDArray[np.intp],
    class_of: NDArray[np.intp],
    counts: NDArray[np.int_],
    test_fraction: float,
    seed: int,
) -> Iterator[BoolArray]:
    """Yield candidate test parts, each (groups,): stratified folds, then random ones."""
    from sklearn.model_selection import ShuffleSplit, StratifiedGroupKFold

    n_groups = len(counts)
    folds = max(2, round(1 / test_fraction))
    if folds <= min(n_groups, counts.sum(axis=0).max()) and n_groups <= LARGEST_STRATIFIED:
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # a class with fewer rows than folds cannot be in each of them, which is fine here
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for _, rows in splitter.split(class_of, class_of, group_of):
                yield np.isin(np.arange(n_groups), group_of[rows])
    n_test = min(max(round(test_fraction * n_groups), 1), n_groups - 1)
    shuffled = ShuffleSplit(RANDOM_CANDIDATES, test_size=n_test, random_state=seed)
    for _, chosen in shuffled.split(np.arange(n_groups)):
        yield np.isin(np.arange(n_groups), chosen)


def _mend(test: BoolArray, counts: NDArray[np.int_]) -> BoolArray:
    """Move the smallest test group of each class that training lacks over to training."""
    test = test.copy()
    sizes = counts.sum(axis=1)
    while (unknown := np.flatnonzero(counts[~test].sum(axis=0) == 0)).size:
        holders = np.flatnonzero(test & (counts[:, unknown[0]] > 0))
        test[holders[np.argmin(sizes[holders])]] = False
    return test


def _imbalance(test: BoolArray, counts: NDArray[np.int_], test_fraction: float) -> tuple[int, float]:
    """Return what to minimise: classes the test part lacks, then its distance from the ideal."""
    in_test, overall = counts[test].sum(axis=0), counts.sum(axis=0)
    missing = int(np.sum(in_test == 0))
    shape = 0.5 * np.abs(in_test / in_test.sum() - overall / overall.sum()).sum()  # total variation
    size = abs(in_test.sum() / overall.sum() - test_fraction)
    return missing, float(shape + size)
