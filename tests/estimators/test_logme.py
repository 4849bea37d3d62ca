from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from foretune.estimators import Moments
from foretune.estimators.logme import log_maximum_evidence, maximum_evidence

EXACT = 1e-9


def evidence_of(F, y):
    moments = Moments.of(F, y)
    values, vectors = moments.spectrum
    return maximum_evidence(values, moments.sums @ vectors, moments.counts, moments.n)


def log_marginal_likelihood(F, t, alpha, beta):
    """Return ln N(t; 0, I/β + FFᵀ/α) per sample, from the N×N covariance."""
    covariance = np.eye(len(t)) / beta + F @ F.T / alpha
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return -(t @ np.linalg.solve(covariance, t) + log_determinant) / 2 / len(t)


def published_fixed_point(F, y):
    """Return what the published code computes, written down from its formulas: where N > D by an SVD of FᵀF.

    The cut-off is in singular values of F, which are roots of those: rounding in FᵀF passes it.
    """
    n, dimension = F.shape
    if n > dimension:
        _, squared, rows = np.linalg.svd(F.T @ F)
        s = np.sqrt(squared)
        kept = s > 1e-10
        u, s = F @ rows[kept].T / s[kept], s[kept]
    else:
        u, s, _ = np.linalg.svd(F, full_matrices=False)
    scores = []
    for label in np.unique(y):
        t = (y == label).astype(float)
        x2, left = (u.T @ t) ** 2, t @ t - np.sum((u.T @ t) ** 2)
        alpha = beta = 1.0
        for _ in range(11):
            lam = alpha / beta
            gamma = np.sum(s**2 / (s**2 + lam))
            weights, errors = (
                np.sum(s**2 * x2 / (s**2 + lam) ** 2),
                np.sum(x2 * (lam / (lam + s**2)) ** 2) + left,
            )
            alpha, beta = gamma / (weights + 1e-5), (n - gamma) / (errors + 1e-5)
            if abs(alpha / beta - lam) / lam <= 1e-3:
                break
        log_determinant = np.sum(np.log(alpha + beta * s**2))  # over min(N, D) terms, not D
        scores.append(
            (dimension * np.log(alpha) + n * np.log(beta) - log_determinant) / 2
            - (beta * errors + alpha * weights + n * np.log(2 * np.pi)) / 2
        )
    return np.mean(scores) / n


def test_one_feature_worked_by_hand():
    # F = (1, 1)ᵀ, t = (1, 0): K has eigenvalue 2, w = 1/2, the rest of t has 1/2.
    # s²(r) = (1/2 + q/2)/2 and det = (2 + r)/r = 1/q; N ln s² + ln det = 2 ln(1 + q) − ln q + constant
    # falls in q up to 1, which is r = ∞: the feature tells nothing
    evidence = evidence_of(np.ones((2, 1)), [0, 1])
    np.testing.assert_allclose(evidence.values, -0.5 * (np.log(2 * np.pi / 2) + 1), rtol=EXACT)
    np.testing.assert_array_equal(evidence.alphas, np.inf)
    np.testing.assert_allclose(evidence.betas, 2, rtol=EXACT)


def test_orthogonal_feature_worked_by_hand():
    # F = (1, 1, 1, 0)ᵀ, t = (1, 1, 0, 0): σ = 3, w = 4/3, rest 2/3. Stationary where
    # γ(rest + wq) = N w q(1 − q) with γ = 1 − q: q = rest / ((N − 1) w) = 1/6; r = σ q/(1 − q) = 3/5
    evidence = evidence_of(np.array([[1.0], [1.0], [1.0], [0.0]]), [1, 1, 0, 0])
    variance = (2 / 3 + 4 / 3 / 6) / 4
    expected = -0.5 * (np.log(2 * np.pi * variance) + 1 + np.log(6) / 4)
    np.testing.assert_allclose(evidence.values[1], expected, rtol=EXACT)
    np.testing.assert_allclose(evidence.betas[1], 1 / variance, rtol=EXACT)
    np.testing.assert_allclose(evidence.alphas[1], 0.6 / variance, rtol=EXACT)


def test_equals_the_marginal_likelihood(case):
    evidence = evidence_of(case.features, case.labels)
    for c, (value, alpha, beta) in enumerate(zip(*evidence, strict=True)):
        assert np.isfinite(alpha)
        assert np.isfinite(beta)
        t = (case.labels == c).astype(float)
        expected = log_marginal_likelihood(case.features, t, alpha, beta)
        np.testing.assert_allclose(value, expected, rtol=EXACT)


def test_more_features_than_samples_equals_the_gaussian():
    # the published code gives a number of another sign here, since D − N terms are missing
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((100, 256)), np.arange(100) % 5
    F[:, :5] += 2 * np.eye(5)[y]
    evidence = evidence_of(F, y)
    for c in range(5):
        expected = log_marginal_likelihood(F, (y == c) * 1.0, evidence.alphas[c], evidence.betas[c])
        np.testing.assert_allclose(evidence.values[c], expected, rtol=EXACT)
    score, published = (log_maximum_evidence(Moments.of(F, y), reference=r) for r in (False, True))
    np.testing.assert_allclose(score, evidence.values.mean(), rtol=EXACT)
    assert published - score > 1


def test_no_other_precisions_have_more_evidence(case):
    evidence = evidence_of(case.features, case.labels)
    for c in range(1):
        t = (case.labels == c).astype(float)

        def negative(log_precisions, t=t):
            return -log_marginal_likelihood(case.features, t, *np.exp(np.clip(log_precisions, -15, 15)))

        best = minimize(
            negative, [2.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-9}
        ).fun
        np.testing.assert_allclose(evidence.values[c], -best, rtol=1e-7)


@pytest.mark.parametrize("decades", [0, 3, 9])
def test_no_ratio_of_a_fine_grid_has_more_evidence(decades):
    """Whatever the spectrum, also where the evidence has several maxima or hardly bends."""
    rng = np.random.default_rng(decades)
    sigma, n = np.logspace(-decades, 0, 20), 500
    w = rng.gamma(0.3, size=(60, 20)) * 10 ** rng.uniform(-6, 3, size=(60, 1))  # lengths along each direction
    squares = w.sum(axis=1) + 0.001 + rng.gamma(0.3, size=60)
    found = maximum_evidence(sigma, np.sqrt(w * sigma), squares, n)
    r = np.exp(np.arange(-45, 15, 0.005))[:, None]
    determinant = np.log1p(sigma / r).sum(axis=1) / n
    for i in range(60):
        variance = (squares[i] - w[i].sum() + (w[i] * r / (r + sigma)).sum(axis=1)) / n
        grid = -(np.log(2 * np.pi * variance) + 1 + determinant) / 2
        assert found.values[i] >= grid.max() - 1e-12
        np.testing.assert_allclose(found.values[i], grid.max(), rtol=1e-5)


def test_precisions_are_a_fixed_point_of_the_paper(case):
    evidence = evidence_of(case.features, case.labels)
    sigma = np.linalg.eigvalsh(case.features.T @ case.features)
    for c in range(4):
        alpha, beta = evidence.alphas[c], evidence.betas[c]
        t = (case.labels == c).astype(float)
        A = alpha * np.eye(case.features.shape[1]) + beta * case.features.T @ case.features
        m = beta * np.linalg.solve(A, case.features.T @ t)
        gamma = np.sum(sigma / (sigma + alpha / beta))
        np.testing.assert_allclose(alpha, gamma / (m @ m), rtol=1e-6)
        residual = np.sum((case.features @ m - t) ** 2)
        np.testing.assert_allclose(beta, (len(t) - gamma) / residual, rtol=1e-6)


def test_reference_mode_is_the_published_number(case):
    score = log_maximum_evidence(Moments.of(case.features, case.labels), reference=True)
    np.testing.assert_allclose(score, published_fixed_point(case.features, case.labels), rtol=EXACT)


def test_reference_mode_leaves_out_columns_of_zeros_as_the_published_code_does(case):
    F = np.hstack([case.features, np.zeros((len(case.features), 2))])
    score = log_maximum_evidence(Moments.of(F, case.labels), reference=True)
    np.testing.assert_allclose(score, published_fixed_point(F, case.labels), rtol=1e-9)


def test_reference_agrees_with_the_evidence_for_many_samples(tall):
    moments = Moments.of(tall.features, tall.labels)
    np.testing.assert_allclose(
        log_maximum_evidence(moments, reference=True), log_maximum_evidence(moments), rtol=1e-3
    )


def test_invariances(case):
    F, y = case.features, case.labels
    score = log_maximum_evidence(Moments.of(F, y))
    rng = np.random.default_rng(2)
    order = rng.permutation(len(y))
    rotation, _ = np.linalg.qr(rng.standard_normal((F.shape[1], F.shape[1])))
    names = np.array(["w", "c", "a", "x"])
    for other in (
        Moments.of(F[order], y[order]),
        Moments.of(F, names[y]),
        Moments.of(F, 3 - y),
        Moments.of(F @ rotation, y),
        Moments.of(F * 1e-8, y),
        Moments.of(F * 1e8, y),
        Moments.of(np.hstack([F, np.zeros_like(F)]), y),
    ):
        np.testing.assert_allclose(log_maximum_evidence(other), score, rtol=1e-8)


def test_informative_features_score_higher():
    rng = np.random.default_rng(0)
    for n, dimension in ((300, 20), (60, 200)):
        y = np.arange(n) % 3
        noise = rng.standard_normal((n, dimension))
        signal = np.eye(dimension)[y]
        scores = [log_maximum_evidence(Moments.of(noise + s * signal, y)) for s in (0.0, 1.0, 2.0, 4.0, 8.0)]
        assert scores == sorted(scores)


def test_absent_classes_change_nothing(tall):
    moments = Moments(7, classes=[0, 1, 2, 3, 4, "never"])
    moments.update(tall.features, tall.labels)
    expected = log_maximum_evidence(Moments.of(tall.features, tall.labels))
    np.testing.assert_allclose(log_maximum_evidence(moments), expected, rtol=EXACT)


def test_worthless_features_have_the_evidence_of_none():
    y = np.arange(10) % 2
    nothing = -0.5 * (np.log(2 * np.pi * 0.5) + 1)
    assert log_maximum_evidence(Moments.of(np.zeros((10, 3)), y)) == pytest.approx(nothing, rel=EXACT)


def test_exact_fit_of_every_sample_is_the_limit():
    # F = I: t ~ N(0, (1/α + 1/β) I), however the variance is shared
    y = [0, 1, 1, 0, 2]
    evidence = evidence_of(np.eye(5), y)
    counts = np.array([2, 2, 1])
    np.testing.assert_allclose(evidence.values, -0.5 * (np.log(2 * np.pi * counts / 5) + 1), rtol=EXACT)


def test_perfect_features_are_finite_and_best():
    y = np.arange(40) % 4
    perfect = log_maximum_evidence(Moments.of(np.eye(4)[y], y))
    assert np.isfinite(perfect)
    noisy = np.eye(4)[y] + 1e-3 * np.random.default_rng(0).standard_normal((40, 4))
    assert perfect > log_maximum_evidence(Moments.of(noisy, y))


def test_float32_features(case):
    exact = log_maximum_evidence(Moments.of(case.features, case.labels))
    single = Moments.of(case.features.astype(np.float32), case.labels)
    np.testing.assert_allclose(log_maximum_evidence(single), exact, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="hold no samples"):
        log_maximum_evidence(Moments(2))
    with pytest.raises(ValueError, match="labels is missing"):
        log_maximum_evidence(Moments.of(np.eye(2)))
    with pytest.raises(ValueError, match="labels has one class only, 'a'"):
        log_maximum_evidence(Moments.of(np.eye(2), ["a", "a"]))
