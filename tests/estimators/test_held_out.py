"""Leave-group-out evidence, ridge regression and the jackknife, against refitting on the samples."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from foretune.estimators import Moments
from foretune.estimators.held_out_evidence import fit_precisions, held_out_evidence
from foretune.estimators.jackknife import jackknife
from foretune.estimators.logme import log_maximum_evidence
from foretune.estimators.ridge import held_out_r_squared

EXACT = 1e-9


def grouped(case, max_groups=None):
    return Moments.of(case.features, case.labels, case.groups, max_groups=max_groups)


def contrasts_of(y):
    """Return one-hot labels on orthonormal contrasts, (N, C − 1)."""
    Y = (y[:, None] == np.unique(y)).astype(float)
    basis = np.linalg.svd(np.eye(Y.shape[1]) - 1 / Y.shape[1])[0][:, :-1]
    return Y @ basis


def log_predictive(F, T, F_new, T_new, precisions):
    """Return ln p(T_new | T), the posterior of weights and flat-prior intercept formed by refitting."""
    alpha, beta = precisions.ratio * precisions.beta, precisions.beta
    X, X_new = (np.hstack([f, np.ones((len(f), 1))]) for f in (F, F_new))
    prior = np.diag(np.r_[np.full(F.shape[1], alpha), 0.0])
    posterior = prior + beta * X.T @ X
    mean = beta * np.linalg.solve(posterior, X.T @ T)
    covariance = np.eye(len(T_new)) / beta + X_new @ np.linalg.solve(posterior, X_new.T)
    log_determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
    error = T_new - X_new @ mean
    return -0.5 * (np.sum(error * np.linalg.solve(covariance, error)) + T.shape[1] * log_determinant)


def test_evidence_equals_refitting_without_each_group(case):
    T = contrasts_of(case.labels)
    total = 0.0
    for name in np.unique(case.groups):
        inside = case.groups == name
        precisions = fit_precisions(Moments.of(case.features[~inside], case.labels[~inside]), T.shape[1])
        total += log_predictive(
            case.features[~inside], T[~inside], case.features[inside], T[inside], precisions
        )
    np.testing.assert_allclose(held_out_evidence(grouped(case)), total / len(T), rtol=EXACT)


def test_precisions_have_the_greatest_evidence(tall):
    moments, T = Moments.of(tall.features, tall.labels), contrasts_of(tall.labels)
    ratio, beta = fit_precisions(moments, T.shape[1])
    X = tall.features - tall.features.mean(axis=0)
    centred = T - T.mean(axis=0)
    sigma = np.linalg.eigvalsh(X.T @ X)

    def negative(log_alpha, log_beta):
        alpha, noise = np.exp([log_alpha, log_beta])
        inverse = np.linalg.inv(np.eye(len(T)) / noise + X @ X.T / alpha)
        determinant = np.sum(np.log(1 + noise * sigma / alpha)) - (len(T) - 1) * log_beta
        return T.shape[1] * determinant / 2 + np.sum(centred * (inverse @ centred)) / 2

    best = negative(np.log(ratio * beta), np.log(beta))
    for step in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, 0.01), (-0.01, 0.01)):
        assert negative(np.log(ratio * beta) + step[0], np.log(beta) + step[1]) > best


def test_ridge_equals_refitting_without_each_group(case):
    Y = (case.labels[:, None] == np.unique(case.labels)).astype(float)
    errors = spread = 0.0
    for name in np.unique(case.groups):
        inside = case.groups == name
        F, y = case.features[~inside], case.labels[~inside]
        model = Ridge(alpha=fit_precisions(Moments.of(F, y), Y.shape[1] - 1).ratio, solver="svd")
        model.fit(F, Y[~inside])
        errors += np.sum((Y[inside] - model.predict(case.features[inside])) ** 2)
        spread += np.sum((Y[inside] - Y[~inside].mean(axis=0)) ** 2)
    np.testing.assert_allclose(held_out_r_squared(grouped(case)), 1 - errors / spread, rtol=EXACT)


@pytest.mark.parametrize("estimator", [held_out_evidence, held_out_r_squared])
def test_invariances(case, estimator):
    F, y, g = case.features, case.labels, case.groups
    score = estimator(Moments.of(F, y, g, max_groups=None))
    order = np.random.default_rng(2).permutation(len(y))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((F.shape[1], F.shape[1])))
    for features, labels, groups in (
        (F[order], y[order], g[order]),
        (F, 3 - y, g),
        (F @ rotation, y, g),
        (F * 1e-8, y, g),
        (F * 1e8, y, g),
        (F + 3, y, g),
    ):
        other = estimator(Moments.of(features, labels, groups, max_groups=None))
        np.testing.assert_allclose(other, score, rtol=1e-5)


@pytest.mark.parametrize("estimator", [held_out_evidence, held_out_r_squared])
def test_informative_features_score_higher(estimator):
    rng = np.random.default_rng(0)
    y, groups = np.arange(120) % 3, np.arange(120) // 3 % 6
    noise = rng.standard_normal((120, 30))
    scores = [
        estimator(Moments.of(noise + s * np.eye(30)[y], y, groups, max_groups=None)) for s in (0, 1, 3, 9)
    ]
    assert scores == sorted(scores)


def test_features_that_tell_classes_apart_within_a_speaker_only():
    # each speaker has a place of its own where the class lies in a direction of its own
    rng = np.random.default_rng(0)
    speaker, y = np.repeat(np.arange(8), 20), np.arange(160) % 2
    F = np.zeros((160, 16))
    F[np.arange(160), speaker * 2 + y] = 3.0
    F += 0.1 * rng.standard_normal(F.shape)
    shared = 0.8 * (2 * y[:, None] - 1) * np.eye(16)[0] + rng.standard_normal((160, 16))
    own, common = (Moments.of(f, y, speaker, max_groups=None) for f in (F, shared))
    assert log_maximum_evidence(own) > log_maximum_evidence(common)
    # the labels of a left-out speaker help to predict each other, which the joint density counts
    assert held_out_evidence(own) > held_out_evidence(common)
    assert held_out_r_squared(own) < 0 < held_out_r_squared(common)


def test_class_of_a_left_out_group_only():
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((30, 4)), np.repeat([0, 1, 2], 10)
    moments = Moments.of(F, y, np.repeat(["a", "b", "c"], 10), max_groups=None)
    assert np.isfinite(held_out_evidence(moments))
    assert held_out_r_squared(moments) < 0


def test_worthless_features_predict_nothing():
    y, groups = np.arange(40) % 2, np.arange(40) // 2 % 4
    moments = Moments.of(np.zeros((40, 3)), y, groups, max_groups=None)
    assert held_out_r_squared(moments) == pytest.approx(0, abs=EXACT)


@pytest.mark.parametrize("estimator", [held_out_evidence, held_out_r_squared, lambda m: jackknife(m, len)])
def test_errors(estimator):
    with pytest.raises(ValueError, match="groups is missing"):
        estimator(Moments.of(np.eye(4), list("aabb")))
    with pytest.raises(ValueError, match=r"groups has 1 group\(s\)"):
        estimator(Moments.of(np.eye(4), list("aabb"), ["x"] * 4))


@pytest.mark.parametrize("estimator", [held_out_evidence, held_out_r_squared])
def test_one_class_left(estimator):
    moments = Moments.of(np.eye(4), list("aabb"), list("xxyy"), max_groups=None)
    with pytest.raises(ValueError, match="without group 'x', labels have one class only, 'b'"):
        estimator(moments)


def test_jackknife_of_the_mean_is_the_standard_error_of_the_mean():
    # groups of one sample each: the jackknife of a mean is exact
    values = np.random.default_rng(0).standard_normal(20)
    moments = Moments.of(values[:, None], groups=np.arange(20), max_groups=None)
    result = jackknife(moments, lambda m: float(m.mean[0]))
    np.testing.assert_allclose(result.standard_error, values.std(ddof=1) / np.sqrt(20), rtol=EXACT)
    np.testing.assert_allclose(result.score, values.mean(), rtol=EXACT)


def test_jackknife_equals_leaving_out_by_hand(tall):
    moments = grouped(tall)
    result = jackknife(moments, log_maximum_evidence)
    whole = log_maximum_evidence(Moments.of(tall.features, tall.labels))
    pseudo, sizes, without = [], [], []
    for name in np.unique(tall.groups):
        inside = tall.groups == name
        without.append(log_maximum_evidence(Moments.of(tall.features[~inside], tall.labels[~inside])))
        sizes.append(len(tall.labels) / inside.sum())
        pseudo.append(sizes[-1] * whole - (sizes[-1] - 1) * without[-1])
    np.testing.assert_allclose(result.replicates, without, rtol=1e-8)
    centre = np.sum(np.array(pseudo) / sizes)  # the groups' shares as weights
    variance = np.mean((np.array(pseudo) - centre) ** 2 / (np.array(sizes) - 1))
    np.testing.assert_allclose(result.standard_error, np.sqrt(variance), rtol=1e-6)
