"""Log maximum evidence (LogME). You et al., 2021, arXiv:2102.11005; 2022, arXiv:2110.10545.

Score in nats per sample; higher predicts better transfer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .inputs import given
from .moments import Moments
from .registry import Estimator
from .sufficient_statistics import RANK_TOLERANCE
from .validation import check_classes

Array = NDArray[np.float64]

RESIDUAL_TOLERANCE = 1e-12
"""Share of ‖t‖² below which a residual is rounding error: no fit is taken to be better than this,
since the evidence of a perfect fit by fewer directions than samples has no maximum."""

_GRID_STEP = 0.5
_STEPS, _EXACT = 50, 1e-10
"""Most steps of the search for a maximum, and the change of ln r at which it ends: a few of Newton's, or 33
bisections where those are of no use."""


class Evidence(NamedTuple):
    """Maximum of the evidence of each target.

    Attributes:
        values: log evidence, in nats per sample, shape (C,).
        alphas: precision of the weights' prior, shape (C,); infinite where the features tell nothing.
        betas: precision of the noise, shape (C,); infinite where N directions fit the target exactly.
    """

    values: Array
    alphas: Array
    betas: Array


def log_maximum_evidence(moments: Moments, *, reference: bool = False) -> float:
    """Return the evidence of a linear model of each class's one-hot label, maximised over its precisions.

    Mean over the classes that occur of max over α, β of ln p(t | F, α, β) / N, where t is 1 for the
    samples of the class and 0 for the others, t = F w + noise, w ~ N(0, I/α), noise ~ N(0, I/β).

    Args:
        moments: of features, shape (N, D), not centred, and labels.
        reference: reproduce the published code (fixed point of at most 11 steps from α = β = 1, log
            determinant over min(N, D) terms, absolute cut-offs) in place of the evidence. Its classes
            must then be those that the published code counts: all that occur.

    Returns:
        Nats per sample; unbounded.

    Raises:
        ValueError: there are fewer than two classes.
    """
    check_classes(moments)
    values, vectors = moments.spectrum
    projections = moments.sums @ vectors
    if reference:
        columns = int(np.count_nonzero(np.diag(moments.gram)))
        return float(_published(values, projections, moments.counts, moments.n, columns).mean())
    return float(maximum_evidence(values, projections, moments.counts, moments.n).values.mean())


def maximum_evidence(eigenvalues: Array, projections: Array, squares: Array, n: int) -> Evidence:
    """Maximise the evidence of Bayesian linear regression of several targets on the same features.

    With K = FFᵀ and r = α/β, t ~ N(0, (I + K/r)/β). The best β for a given r is in closed form,
    1/β = s²(r) = tᵀ(I + K/r)⁻¹t / N, which leaves a function of r alone:

        ln p / N = −½ ln(2π s²) − ½ − Σᵢ ln(1 + σᵢ/r) / (2N),
        N s² = ‖t⊥‖² + Σᵢ wᵢ r/(r + σᵢ),   wᵢ = (vᵢᵀFᵀt)²/σᵢ,

    with t⊥ the part of t outside the range of F. Its stationary points are the fixed points
    α = γ/‖m‖², β = (N − γ)/‖Fm − t‖² of the paper; its maximum is searched over a grid of ln r for
    all targets at once (so that of several stationary points the best is found, and none depends on
    a starting value) and then refined by bisection. Two maxima lie at the ends: r → ∞, where the
    features tell nothing (α = ∞), and r → 0, where F has rank N (β = ∞); both have finite limits.

    Args:
        eigenvalues: σ of FᵀF, shape (D,), at least 0, in any order.
        projections: vᵢᵀFᵀt for each target, shape (C, D), in the order of the eigenvalues.
        squares: ‖t‖² of each target, shape (C,), positive.
        n: number of samples, N.

    Returns:
        Maximum and where it lies; scaling F changes nothing but the alphas.
    """
    nothing = -0.5 * (np.log(2 * np.pi * squares / n) + 1)  # r → ∞
    sigma, w, residual = decompose(eigenvalues, projections, squares, n)
    if not len(sigma):
        return Evidence(nothing, np.full_like(squares, np.inf), n / squares)
    unit = sigma[0]  # work with σ/σ₁: no scale of F can overflow
    sigma = sigma / unit
    log_r = _maximise(_Profile(sigma, w, residual, n))
    values = _Profile(sigma, w, residual, n).at(log_r)
    r = np.exp(log_r) * unit
    variances = (residual + (w * _shrunk(sigma, log_r)).sum(axis=1)) / n
    alphas, betas = r / variances, 1 / variances

    worthless = nothing >= values
    values, alphas, betas = (
        np.where(worthless, nothing, values),
        np.where(worthless, np.inf, alphas),
        np.where(worthless, n / squares, betas),
    )
    if len(sigma) == n:  # r → 0: N s² / r → Σ w/σ, and ln r leaves the sum
        slope = (w / sigma).sum(axis=1)
        exact = -0.5 * (np.log(2 * np.pi * slope / n) + 1) - np.log(sigma).sum() / (2 * n)
        better = exact > values
        values = np.where(better, exact, values)
        alphas = np.where(better, n / slope * unit, alphas)
        betas = np.where(better, np.inf, betas)
    return Evidence(values, alphas, betas)


def decompose(eigenvalues: Array, projections: Array, squares: Array, n: int) -> tuple[Array, Array, Array]:
    """Split targets along the directions that the features resolve.

    Args:
        eigenvalues: σ of FᵀF, shape (D,), in any order.
        projections: vᵢᵀFᵀt for each target, shape (C, D).
        squares: ‖t‖² of each target, shape (C,).
        n: number of samples.

    Returns:
        σ, shape (k,), descending; wᵢ = (vᵢᵀFᵀt)²/σᵢ, the squared length of each target along each
        direction of sample space, shape (C, k); and what is left of ‖t‖², shape (C,), which is 0 where
        the features span all n samples and else at least `RESIDUAL_TOLERANCE`·‖t‖².
    """
    order = np.argsort(eigenvalues)[::-1]
    floor = RANK_TOLERANCE * len(eigenvalues) * eigenvalues[order[0]]
    kept = order[eigenvalues[order] > floor][:n]
    sigma = eigenvalues[kept]
    w = (projections[:, kept] / np.sqrt(sigma)) ** 2
    # rounding must not explain more of a target than there is
    w *= (squares / np.maximum(w.sum(axis=1), squares))[:, None]
    if len(kept) == n:
        return sigma, w, np.zeros_like(squares)
    return sigma, w, np.maximum(squares - w.sum(axis=1), RESIDUAL_TOLERANCE * squares)


def _shrunk(sigma: Array, log_r: Array) -> Array:
    """Return r/(r + σ), shape (C, k)."""
    r = np.exp(log_r)[:, None]
    shrunk: Array = r / (r + sigma)
    return shrunk


class _Profile(NamedTuple):
    """The evidence per sample as a function of ln r, up to the choice of r."""

    sigma: Array
    w: Array
    residual: Array
    n: int

    def at(self, log_r: Array) -> Array:
        """Return the value for each target at its own ln r, shape (C,)."""
        variances = (self.residual + (self.w * _shrunk(self.sigma, log_r)).sum(axis=1)) / self.n
        determinants = np.log1p(self.sigma * np.exp(-log_r)[:, None]).sum(axis=1)
        value: Array = -0.5 * (np.log(2 * np.pi * variances) + 1 + determinants / self.n)
        return value

    def on(self, grid: Array) -> Array:
        """Return the values of all targets on a common grid, shape (C, G), by one matrix product."""
        ratio = self.sigma[:, None] * np.exp(-grid)
        variances = (self.residual[:, None] + self.w @ (1 / (1 + ratio))) / self.n
        value: Array = -0.5 * (np.log(2 * np.pi * variances) + 1 + np.log1p(ratio).sum(axis=0) / self.n)
        return value

    def rise(self, log_r: Array) -> tuple[Array, Array]:
        """Return what has the sign of the slope in ln r, and its own slope there.

        It is γ (‖t⊥‖² + Σ w q) − N Σ w q (1 − q), with q = r/(r + σ) and γ = Σ (1 − q). The slope of q is
        q (1 − q).
        """
        q = _shrunk(self.sigma, log_r)
        p = 1 - q
        qp = q * p
        wqp = self.w * qp
        gamma, explained = p.sum(axis=1), self.residual + (self.w * q).sum(axis=1)
        curved = wqp.sum(axis=1)
        slope = gamma * curved - qp.sum(axis=1) * explained - self.n * (wqp * (p - q)).sum(axis=1)
        return gamma * explained - self.n * curved, slope


def _maximise(profile: _Profile) -> Array:
    """Return the ln r of the greatest stationary point of each target, shape (C,), r in units of σ₁.

    The grid ends where nothing is left to find: below, where r is far under the least eigenvalue and
    under the r at which the residual outweighs what the features explain; above, at N times the
    largest, from where the value only tends to its limit. Between two points of it a step is Newton's,
    unless that leads out of where the maximum must lie: then it halves this.
    """
    least = profile.sigma[-1]
    explained = (profile.w / profile.sigma).sum(axis=1)
    balance = profile.residual / np.maximum(profile.n * explained, np.finfo(float).tiny)
    balance = balance[balance > 0]
    lowest = np.log(least) if not len(balance) else min(np.log(least), np.log(balance.min()))
    grid = np.arange(max(lowest, -600.0) - 3, np.log(profile.n) + 12, _GRID_STEP)
    best = np.argmax(profile.on(grid), axis=1)
    # the value at the best point is no less than at its neighbours: a maximum lies on the rising side
    low = grid[best]
    low = np.where(profile.rise(low)[0] > 0, low, low - _GRID_STEP)
    high = low + _GRID_STEP
    log_r: Array = (low + high) / 2
    for _ in range(_STEPS):
        rise, slope = profile.rise(log_r)
        low, high = np.where(rise > 0, log_r, low), np.where(rise > 0, high, log_r)
        step = np.divide(rise, -slope, out=np.full_like(rise, np.inf), where=slope < 0)
        inside = (np.abs(step) <= _EXACT) | ((low < log_r + step) & (log_r + step < high))
        step = np.where(inside, step, (low + high) / 2 - log_r)
        log_r = log_r + step
        if np.abs(step).max() <= _EXACT:
            break
    return log_r


def _published(eigenvalues: Array, projections: Array, squares: Array, n: int, columns: int) -> Array:
    """Return what the published fixed point gives for each target, shape (C,).

    Where N > D the published code cuts off σ ≤ 1e-20 in the SVD of FᵀF. In features of deficient rank,
    rounding lies above that unless they are tiny: it keeps all directions but those of columns of zeros.
    """
    dimension = len(eigenvalues)
    order = np.argsort(eigenvalues)[::-1][: min(n, dimension)]
    resolved = RANK_TOLERANCE * dimension * eigenvalues.max()
    if n > dimension:
        rounding = np.finfo(np.float64).eps * eigenvalues.max()
        kept = order[eigenvalues[order] > max(1e-20, resolved)]
        order = order[: max(columns, len(kept))] if rounding > 1e-20 else kept
    sigma = eigenvalues[order]
    x2 = np.divide(
        projections[:, order] ** 2, sigma, out=np.zeros((len(squares), len(order))), where=sigma > resolved
    )
    return _published_fixed_point(sigma, x2, squares, n, dimension)


def _published_fixed_point(sigma: Array, x2: Array, squares: Array, n: int, dimension: int) -> Array:
    alpha, beta, m2, res2 = np.ones((4, len(squares)))
    unexplained = squares - x2.sum(axis=1)
    moving = np.arange(len(squares))  # the targets whose α/β still changes
    for _ in range(11):
        own, t = x2[moving], (alpha[moving] / beta[moving])[:, None]
        gamma = (sigma / (sigma + t)).sum(axis=1)
        m2[moving] = (sigma * own / (t + sigma) ** 2).sum(axis=1)
        res2[moving] = (own / (1 + sigma / t) ** 2).sum(axis=1) + unexplained[moving]
        alpha[moving], beta[moving] = gamma / (m2[moving] + 1e-5), (n - gamma) / (res2[moving] + 1e-5)
        usable = (alpha[moving] > 0) & (beta[moving] > 0)
        alpha[moving[~usable]] = np.nan  # as the published code does, with a warning
        t, moving = t[usable, 0], moving[usable]
        moving = moving[np.abs(alpha[moving] / beta[moving] - t) / t > 1e-3]
        if not len(moving):
            break
    beta = np.where(np.isnan(alpha), np.nan, beta)
    evidence = dimension * np.log(alpha) + n * np.log(beta)
    evidence -= np.log(alpha[:, None] + beta[:, None] * sigma).sum(axis=1)
    values: Array = 0.5 * (evidence - beta * res2 - alpha * m2 - n * np.log(2 * np.pi)) / n
    return values


LOGME = Estimator(
    name="logme",
    title="log maximum evidence",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: log_maximum_evidence(given(inputs.moments)),
    reference="You et al., 2021, arXiv:2102.11005",
    complexity="time N·D² + D³ + C·D², memory D² + C·D",
)
LOGME_PUBLISHED = Estimator(
    name="logme_published",
    title="LogME as its public code computes it, faults included",
    needs=frozenset({"moments", "labels"}),
    compute=lambda inputs: log_maximum_evidence(given(inputs.moments), reference=True),
    reference="You et al., 2022, arXiv:2110.10545",
    complexity="time N·D² + D³ + C·D², memory D² + C·D",
)
