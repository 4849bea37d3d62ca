"""CKA, canonical correlations and LFC: kernels and subspaces of features against those of labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orth

from foretune.estimators import Moments
from foretune.estimators.cca import canonical_correlations, mean_cca, projection_weighted_cca
from foretune.estimators.cka import linear_cka
from foretune.estimators.lfc import label_feature_correlation

EXACT = 1e-9
ALL = [linear_cka, mean_cca, projection_weighted_cca, label_feature_correlation]


def one_hot(y):
    return (y[:, None] == np.unique(y)).astype(float)


def cka_definition(F, y):
    H = np.eye(len(y)) - 1 / len(y)
    K, L = H @ F @ F.T @ H, H @ one_hot(y) @ one_hot(y).T @ H
    return np.sum(K * L) / np.linalg.norm(K) / np.linalg.norm(L)


def correlations_definition(F, y):
    """Cosines of the principal angles between the columns of centred features and labels, and variates."""
    X, Y = F - F.mean(axis=0), one_hot(y) - one_hot(y).mean(axis=0)
    U, V = orth(X, rcond=1e-9), orth(Y, rcond=1e-9)
    left, rho, _ = np.linalg.svd(U.T @ V, full_matrices=False)
    return rho, np.abs((U @ left).T @ X).sum(axis=1)


def lfc_definition(F, y):
    K = F @ F.T
    Y = np.where(y[:, None] == y, 1.0, -1.0)
    return np.corrcoef(K.ravel(), Y.ravel())[0, 1]


def test_worked_by_hand():
    # the feature is the label
    same = Moments.of([[0.0], [0.0], [1.0]], list("aab"))
    for estimator in (linear_cka, mean_cca, projection_weighted_cca):
        assert estimator(same) == pytest.approx(1, rel=EXACT)
    # K = ffᵀ with f = (1, −1) is the label kernel itself
    assert label_feature_correlation(Moments.of([[1.0], [-1.0]], list("ab"))) == pytest.approx(1, rel=EXACT)
    # f = (1, 0, 0, 1) does not vary with the labels a a b b
    apart = Moments.of([[1.0], [0.0], [0.0], [1.0]], list("aabb"))
    for estimator in ALL:
        assert estimator(apart) == pytest.approx(0, abs=EXACT)


def test_cka_equals_its_definition(case):
    score = linear_cka(Moments.of(case.features, case.labels))
    np.testing.assert_allclose(score, cka_definition(case.features, case.labels), rtol=EXACT)


def test_correlations_equal_principal_angles(case):
    rho, weights = correlations_definition(case.features, case.labels)
    moments = Moments.of(case.features, case.labels)
    np.testing.assert_allclose(canonical_correlations(moments).values, rho, rtol=EXACT)
    np.testing.assert_allclose(mean_cca(moments), rho.mean(), rtol=EXACT)
    # with fewer samples than features all correlations are 1: variates are not unique, but need not be
    expected = rho @ weights / weights.sum()
    np.testing.assert_allclose(projection_weighted_cca(moments), expected, rtol=EXACT)


def test_lfc_equals_its_definition(case):
    score = label_feature_correlation(Moments.of(case.features, case.labels))
    np.testing.assert_allclose(score, lfc_definition(case.features, case.labels), rtol=EXACT)


@pytest.mark.parametrize("estimator", ALL)
def test_invariances(case, estimator):
    F, y = case.features, case.labels
    score = estimator(Moments.of(F, y))
    order = np.random.default_rng(2).permutation(len(y))
    for features, labels in ((F[order], y[order]), (F, 3 - y), (F * 1e-8, y), (F * 1e8, y)):
        np.testing.assert_allclose(estimator(Moments.of(features, labels)), score, rtol=1e-7)


@pytest.mark.parametrize("estimator", [linear_cka, mean_cca, label_feature_correlation])
def test_rotation_does_not_matter(case, estimator):
    size = case.features.shape[1]
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))
    score = estimator(Moments.of(case.features, case.labels))
    rotated = estimator(Moments.of(case.features @ rotation, case.labels))
    np.testing.assert_allclose(rotated, score, rtol=1e-8)


@pytest.mark.parametrize("estimator", [linear_cka, mean_cca, projection_weighted_cca])
def test_place_does_not_matter(case, estimator):
    score = estimator(Moments.of(case.features, case.labels))
    moved = estimator(Moments.of(case.features + 5, case.labels))
    np.testing.assert_allclose(moved, score, rtol=1e-7)


@pytest.mark.parametrize("estimator", ALL)
def test_limits(estimator):
    assert estimator(Moments.of(np.zeros((4, 2)), list("aabb"))) == 0
    assert estimator(Moments.of(np.full((4, 2), 0.3), list("aabb"))) == 0
    with pytest.raises(ValueError, match="one class only"):
        estimator(Moments.of(np.eye(2), [1, 1]))
    with pytest.raises(ValueError, match="labels is missing"):
        estimator(Moments.of(np.eye(2)))
