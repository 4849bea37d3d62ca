"""Pairwise annotation representation comparison (PARC). Bolya et al., 2021, arXiv:2111.06977.

Score in [-1, 1]; higher predicts better transfer.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from .inputs import given
from .registry import Estimator
from .samples import Samples
from .validation import centred, class_codes


def parc(samples: Samples, *, limit: int = 500, seed: int = 0) -> float:
    """Return Spearman's ρ, over pairs of samples, of 1 − corr(f_i, f_j) and 1 − corr(y_i, y_j).

    Correlations are over features, and over one-hot labels, where they are 1 for the same class and one
    value below it for others. Features are first centred, each by its mean over samples, and divided by their
    standard deviation, as the paper has it. (It scales the score by 100.)

    Args:
        samples: with labels and at least two features.
        limit: samples, drawn evenly from their groups: pairs grow with their square.
        seed: of the draw.

    Raises:
        ValueError: there are fewer than two classes or two features, or the features are constant.
    """
    drawn = samples.subsample(limit, seed)
    _, codes = class_codes(drawn)
    if drawn.dimension < 2:
        raise ValueError("features has one column; correlations over features need at least two")
    X, variance = centred(drawn.features)
    deviation = X.std(axis=0)
    # constant features stay 0, off the mean of a sample's others: they count, as in the published code
    X /= np.where(deviation > 1e-12 * np.sqrt(variance), deviation, np.inf)
    X -= X.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    X /= np.where(norms > 0, norms, 1.0)
    first, second = np.triu_indices(len(X), 1)
    distances = 1 - (X @ X.T)[first, second]
    # rounding would break ties between equal pairs by chance
    distances = np.round(distances, 12)
    others = (codes[first] != codes[second]).astype(np.float64)
    if len(first) < 2 or np.ptp(distances) == 0 or np.ptp(others) == 0:
        return 0.0
    return float(spearmanr(distances, others).statistic)


PARC = Estimator(
    name="parc",
    title="rank correlation of pairwise distances of features and labels",
    needs=frozenset({"samples", "labels"}),
    compute=lambda inputs: parc(given(inputs.samples), seed=inputs.seed),
    reference="Bolya et al., 2021, arXiv:2111.06977",
    complexity="time n²·(D + log n) for n samples (at most 500), memory n²",
)
