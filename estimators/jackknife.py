"""Standard errors of scores by leaving out one group at a time. Busing et al., 1999.

Groups, such as speakers, are left out whole, since samples of one speaker are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .moments import Moments
from .validation import check_groups


class Jackknife(NamedTuple):
    """A score, its standard error, its value without each group, and each group's part in the error.

    Attributes:
        score: of all samples.
        standard_error: the root of the sum of squares of `group_errors`.
        replicates: (J,), the score without each group.
        group_errors: (J,), signed: of scores of the same groups (all layers and models on the same speech)
            the sums of their products are the covariances of the scores' errors.
    """

    score: float
    standard_error: float
    replicates: NDArray[np.float64]
    group_errors: NDArray[np.float64]


def jackknife(moments: Moments, estimator: Callable[[Moments], float]) -> Jackknife:
    """Return a moments-based score with its delete-a-group jackknife standard error.

    For J groups of m_g samples, h_g = N/m_g, and scores θ of all samples and θ_g without a group, the
    pseudo-values are h_g θ − (h_g − 1) θ_g, and their weighted variance about the jackknife estimate
    θ_J = J θ − Σ (1 − 1/h_g) θ_g is Σ (pseudo_g − θ_J)²/(h_g − 1) / J. For groups of equal size it is the
    usual (J − 1)/J Σ (θ_g − mean θ_g)². No feature is seen again: moments subtract.

    Args:
        moments: kept by group, with `grouped=True`; how many groups is set by `max_groups`.
        estimator: a function of moments alone, such as `log_maximum_evidence`. What it is given without a
            group still has the other groups apart, so that it may leave out groups itself.

    Returns:
        Score of all samples, and its standard error in the score's own unit.

    Raises:
        ValueError: no groups were kept, there are fewer than two, or the estimator refuses the moments
            that are left without one.
    """
    check_groups(moments)
    score = estimator(moments)
    return _from_replicates(moments, score, [estimator(others) for others in _without_each(moments)])


def _without_each(moments: Moments) -> Iterator[Moments]:
    """Yield the moments without each group, one at a time in memory, with its spectra.

    An estimator that leaves out groups itself leaves out each pair of groups twice, in either order: what is
    left is the same, and kept until the second time.
    """
    pairs: dict[frozenset[Hashable], Moments] = {}
    done: list[Hashable] = []
    for key in moments.groups:
        yield moments.leave_out(key, pairs)
        for earlier in done:
            pairs.pop(frozenset([key, earlier]), None)
        done.append(key)


def standard_errors(
    moments: Moments, estimators: Mapping[str, Callable[[Moments], float]]
) -> dict[str, float | None]:
    """Return the standard errors of several scores; see `jackknives`."""
    found = jackknives(moments, estimators)
    return {name: None if each is None else each.standard_error for name, each in found.items()}


def jackknives(
    moments: Moments, estimators: Mapping[str, Callable[[Moments], float]]
) -> dict[str, Jackknife | None]:
    """Return several scores with their jackknife errors, with one eigendecomposition a group for all.

    Of those that leave out groups themselves, there is one for each pair of groups.

    Args:
        moments: kept by group.
        estimators: functions of moments, by name.

    Returns:
        By name, in the score's own unit, groups as in `moments.groups`; None where the estimator
        refuses the moments, with all groups or without one of them, and for all where there are fewer than
        two groups.
    """
    if not moments.grouped or len(moments.groups) < 2:
        return dict.fromkeys(estimators)
    scores = {name: _score(estimator, moments) for name, estimator in estimators.items()}
    replicates: dict[str, list[float | None]] = {name: [] for name in estimators}
    for others in _without_each(moments):
        for name, estimator in estimators.items():
            replicates[name].append(None if scores[name] is None else _score(estimator, others))
    results: dict[str, Jackknife | None] = {}
    for name, score in scores.items():
        found = [value for value in replicates[name] if value is not None]
        if score is None or len(found) < len(moments.groups):
            results[name] = None
        else:
            results[name] = _from_replicates(moments, score, found)
    return results


def _score(estimator: Callable[[Moments], float], moments: Moments) -> float | None:
    try:
        value = estimator(moments)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _from_replicates(moments: Moments, score: float, values: Sequence[float]) -> Jackknife:
    replicates = np.array(values)
    ratios = np.array([moments.n / moments.group(key).n for key in moments.groups])
    size = len(ratios)
    centre = size * score - np.sum((1 - 1 / ratios) * replicates)
    pseudo = ratios * score - (ratios - 1) * replicates
    group_errors = (pseudo - centre) / np.sqrt((ratios - 1) * size)
    return Jackknife(score, float(np.sqrt(np.sum(group_errors**2))), replicates, group_errors)
