"""ETran and NCTI: ranks of candidates in a pool.

Gholami et al., 2023, arXiv:2308.02027 (ETran); Wang et al., 2023, ICCV (NCTI).
Both add parts of different units, each scaled to [0, 1] over the pool, so a candidate has no score by
itself: its place depends on the others. Higher predicts better transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from .samples import Samples
from .validation import centred, class_codes

Array = NDArray[np.float64]
Parts = Callable[[Samples], tuple[float, ...]]


def etran_parts(samples: Samples) -> tuple[float, ...]:
    """Return energy and classification, the two parts of ETran for classes.

    Energy is mean ln Σ_d exp(f_d) of features scaled to a mean square of 1 (the features' own scale, which
    the published code keeps, would decide it), high where samples look familiar to the
    model. Classification is the mean posterior of the true class by linear discriminants, shrunk by 0.1
    towards a sphere in the directions that vary. (The published code solves them as if inverse within- times
    between-class covariance were symmetric, which leaves the nearest class mean of features as they are.)

    Raises:
        ValueError: there are fewer than two classes, or the features are constant.
    """
    posteriors, codes, _ = _discriminate(samples)
    features = samples.features.astype(np.float64)
    features = features / np.sqrt(np.mean(features**2))
    energy = float(np.mean(logsumexp(features, axis=1)))
    return energy, float(np.mean(posteriors[np.arange(len(codes)), codes]))


def ncti_parts(samples: Samples) -> tuple[float, ...]:
    """Return NCTI's three signs of neural collapse, each higher where fine-tuning has less left to do.

    Variability collapse: minus ln Σ_c of the nuclear norm of the class's posteriors (which is least where
    they are all alike). Simplex encoding: the nuclear norm of the discriminants' outputs. Nearest
    centre: the mean posterior of the true class.

    Raises:
        ValueError: there are fewer than two classes, or the features are constant.
    """
    posteriors, codes, outputs = _discriminate(samples)
    norms = sum(float(np.linalg.norm(posteriors[codes == c], ord="nuc")) for c in np.unique(codes))
    centre = float(np.mean(posteriors[np.arange(len(codes)), codes]))
    return -float(np.log(norms)), float(np.linalg.norm(outputs, ord="nuc")), centre


def rank(pool: Sequence[Samples], parts: Parts) -> Array:
    """Return the candidates' scores within a pool: the sum of their parts, each scaled to [0, 1].

    Parts count alike. (The published code of ETran gives energy 0.15 and classification 0.85 of the weight.)

    Args:
        pool: the same task's samples as features of each candidate; at least two.
        parts: `etran_parts` or `ncti_parts`.

    Returns:
        One number a candidate, shape (len(pool),), from 0 to the number of parts. They compare within this
        pool only. A part that is the same for all candidates adds nothing.

    Raises:
        ValueError: there are fewer than two candidates, or one of them cannot be scored.
    """
    if len(pool) < 2:
        raise ValueError(f"pool has {len(pool)} candidate(s); a place in a pool needs at least two")
    values = np.array([parts(samples) for samples in pool])
    spans = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(spans > 0, spans, 1.0)
    total: Array = scaled.sum(axis=1)
    return total


def _discriminate(samples: Samples) -> tuple[Array, NDArray[np.intp], Array]:
    """Return posteriors, (N, C), classes, (N,), and centred outputs of discriminants, (N, at most C − 1)."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    size, codes = class_codes(samples)
    X, variance = centred(samples.features)
    if len(X) <= size:
        raise ValueError(
            f"features has {len(X)} rows of {size} classes; discriminants need more than one a class"
        )
    # rotate to the directions that vary: the others tell nothing, and shrinking towards a sphere that
    # reaches into them would make the score depend on how many there are
    u, s, _ = np.linalg.svd(X / np.sqrt(variance), full_matrices=False)
    Z = (u * s)[:, s > 1e-10 * s[0]]
    discriminants = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(Z, codes)
    outputs: Array = discriminants.transform(Z)
    posteriors: Array = discriminants.predict_proba(Z)
    return posteriors, codes, outputs - outputs.mean(axis=0)
