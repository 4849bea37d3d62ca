"""Rank statistics between estimators' scores and fine-tuning results, for few candidates.

Scores and values are given per candidate, both turned so that higher is better
(`Task.goodness`). Candidates are few, 4 to 20, so asymptotic p-values are wrong here: SciPy's
`spearmanr` gives p = 0.0 for a perfect ranking of 3 or of 6, where the exact two-sided values are
1/3 and 1/360. Here every permutation is counted, up to `EXACT_TO` candidates.

A ranking by constant scores says nothing, and against constant values there is nothing to say:
Spearman's and Kendall's coefficients are then undefined (0/0). Records hold no NaN, so these
functions return 0 ("no agreement was seen") with p = 1, and `Agreement.defined` is False.
"""

from .correlation import Agreement, exact_p_value, smallest_p_value, smooth_p_value, spearman
from .measures import kendall_tau, regret, weighted_tau
from .permutations import DRAWS, EXACT_TO, UNTIED_TO

__all__ = [
    "DRAWS",
    "EXACT_TO",
    "UNTIED_TO",
    "Agreement",
    "exact_p_value",
    "kendall_tau",
    "regret",
    "smallest_p_value",
    "smooth_p_value",
    "spearman",
    "weighted_tau",
]
