"""Spearman's correlation with a third quantity held fixed: do scores tell more than size or depth does?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from .permutations import permutations
from .ranks import checked

_EXACT_TO = 8
"""Candidates up to which all permutations are tried: 40,320."""
_DRAWS = 20_000
"""Random permutations above that."""
_NOTHING = 1e-9
"""Share of a ranking's variance; what is left beside the covariate is rounding below it."""
_SAME = 1e-9
"""Correlations that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class PartialAgreement:
    """How well scores rank candidates beyond what a covariate explains.

    Attributes:
        rho: partial rank correlation, in [-1, 1].
        p_value: two-sided permutation p-value, in (0, 1].
        p_value_error: standard error of a Monte Carlo p-value; 0 where all permutations were tried.
    """

    rho: float
    p_value: float
    p_value_error: float = 0.0


def partial_spearman(
    scores: ArrayLike, values: ArrayLike, covariate: ArrayLike, *, draws: int = _DRAWS, seed: int = 0
) -> PartialAgreement | None:
    """Return Spearman's ρ between scores and values with a covariate held fixed, and its p-value.

    It is Pearson's correlation of what a straight line in the covariate's ranks leaves of the other two
    rankings. p is by Freedman and Lane (1983), on ranks: what is left of the values is permuted, put back
    on the line, and the partial correlation found anew. All permutations are tried up to 8 candidates, above
    p = (k + 1) / (draws + 1) where k of so many random ones reach the observed |ρ|. A constant covariate
    holds nothing fixed: ρ is then Spearman's.

    Args:
        scores: shape (candidates,), finite.
        values: shape (candidates,), finite.
        covariate: shape (candidates,), finite, such as the logarithm of the number of parameters.
        draws: random permutations.
        seed: of these.

    Returns:
        None where it is not defined: fewer than four candidates, or the covariate explains one of the
        other two rankings entirely (a model's size as score, or values that rise from layer to layer).

    Raises:
        InputError: as `spearman`, for any two of them.
    """
    x, y = checked(scores, values)
    held, _ = checked(covariate, values)
    n = len(x)
    a, b, c = (_centred(each) for each in (x, y, held))
    square = float(c @ c)
    slopes = c / square if square > 0 else np.zeros(n)  # a constant covariate explains nothing
    left_a, left_b = a - (a @ slopes) * c, b - (b @ slopes) * c
    if n < 4 or min(_share_left(left_a, a), _share_left(left_b, b)) < _NOTHING:
        return None
    rho = float(left_a @ left_b) / math.sqrt((left_a @ left_a) * (left_b @ left_b))
    exact = n <= _EXACT_TO
    orders = np.array(list(itertools.permutations(range(n)))) if exact else permutations(n, seed, draws)
    permuted = left_b[orders]
    # of what is permuted, the part along the covariate goes again
    squares = left_b @ left_b - (permuted @ c) * (permuted @ slopes)
    # nothing left: undefined, and taken for no agreement
    usable = squares > _NOTHING * (left_b @ left_b)
    null = np.zeros(len(orders))
    null[usable] = (permuted[usable] @ left_a) / np.sqrt(squares[usable] * (left_a @ left_a))
    extreme = int(np.count_nonzero(np.abs(null) >= abs(rho) - _SAME))
    rho = min(1.0, max(-1.0, rho))
    if exact:
        return PartialAgreement(rho, extreme / len(orders))
    p = (extreme + 1) / (draws + 1)
    return PartialAgreement(rho, p, math.sqrt(p * (1 - p) / draws))


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = scipy.stats.rankdata(values) - (len(values) + 1) / 2
    return ranks


def _share_left(left: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    square = float(ranks @ ranks)
    return float(left @ left) / square if square > 0 else 0.0
