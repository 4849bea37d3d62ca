"""Rank statistics between estimators' scores and fine-tuning results, for few candidates.

Scores and values are given per candidate, both turned so that higher is better
(`Task.goodness`). Candidates are few, 4 to 20, so asymptotic p-values are wrong here: SciPy's
`spearmanr` gives p = 0.0 for a perfect ranking of 3 or of 6, where the exact two-sided values are
1/3 and 1/360. Here every permutation is counted, up to `EXACT_TO` candidates.

A ranking by constant scores says nothing, and against constant values there is nothing to say:
Spearman's and Kendall's coefficients are then undefined (0/0). Records hold no NaN, so these
functions return 0 ("no agreement was seen") with p = 1, and `Agreement.defined` is False.
"""

from .comparison import Comparison, compare, holm, sign_flip
from .correlation import Agreement, exact_p_value, smallest_p_value, smooth_p_value, spearman
from .intervals import LEAST_FOR_INTERVAL, LEVEL, Interval, candidate_interval, mean_interval
from .measures import kendall_tau, pearson, regret, top_recall, weighted_tau
from .noise import ceiling, seed_interval, split_half, utterance_interval
from .partial import PartialAgreement, partial_spearman
from .permutations import DRAWS, EXACT_TO, UNTIED_TO

__all__ = [
    "DRAWS",
    "EXACT_TO",
    "LEAST_FOR_INTERVAL",
    "LEVEL",
    "UNTIED_TO",
    "Agreement",
    "Comparison",
    "Interval",
    "PartialAgreement",
    "candidate_interval",
    "ceiling",
    "compare",
    "exact_p_value",
    "holm",
    "kendall_tau",
    "mean_interval",
    "partial_spearman",
    "pearson",
    "regret",
    "seed_interval",
    "sign_flip",
    "smallest_p_value",
    "smooth_p_value",
    "spearman",
    "split_half",
    "top_recall",
    "utterance_interval",
    "weighted_tau",
]
