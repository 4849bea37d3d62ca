from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from foretune.estimators import Moments
from foretune.estimators.gbc import FLOOR, diagonal_gbc, full_gbc

EXACT = 1e-9


def bhattacharyya(means, covariances):
    total = 0.0
    for i in range(len(means)):
        for j in range(len(means)):
            if i != j:
                pooled = (covariances[i] + covariances[j]) / 2
                d = means[i] - means[j]
                logs = [np.linalg.slogdet(c)[1] for c in (pooled, covariances[i], covariances[j])]
                total += np.exp(-d @ np.linalg.solve(pooled, d) / 8 - (logs[0] - (logs[1] + logs[2]) / 2) / 2)
    return -total


def diagonal_definition(F, y):
    floor = FLOOR * F.var(axis=0)
    classes = [F[y == c] for c in np.unique(y)]
    return bhattacharyya([c.mean(axis=0) for c in classes], [np.diag(c.var(axis=0) + floor) for c in classes])


def full_definition(F, y, components):
    values, vectors = np.linalg.eigh(np.cov(F.T, bias=True))
    kept = np.flatnonzero(values > 1e-11 * values.max())[::-1][:components]
    X = F @ vectors[:, kept]
    floor = FLOOR * np.atleast_2d(np.cov(X.T, bias=True))
    classes = [X[y == c] for c in np.unique(y)]
    covariances = [np.atleast_2d(np.cov(c.T, bias=True)) + floor for c in classes]
    return bhattacharyya([c.mean(axis=0) for c in classes], covariances)


def test_one_feature_worked_by_hand():
    # class means ±2, class variances 1, overall variance 5
    moments = Moments.of([[-3.0], [-1.0], [1.0], [3.0]], list("aabb"), class_gram=True)
    expected = -2 * np.exp(-(4**2) / (1 + 5 * FLOOR) / 8)
    assert diagonal_gbc(moments) == pytest.approx(expected, rel=EXACT)
    assert full_gbc(moments) == pytest.approx(expected, rel=EXACT)


def test_diagonal_equals_its_definition(case):
    score = diagonal_gbc(Moments.of(case.features, case.labels))
    np.testing.assert_allclose(score, diagonal_definition(case.features, case.labels), rtol=EXACT)


@pytest.mark.parametrize("components", [3, 64])
def test_full_equals_its_definition(case, components):
    score = full_gbc(Moments.of(case.features, case.labels, class_gram=True), components=components)
    expected = full_definition(case.features, case.labels, min(components, len(case.labels) - 1))
    np.testing.assert_allclose(score, expected, rtol=EXACT)


@pytest.mark.parametrize("components", [5, 12])
def test_full_equals_its_definition_where_classes_overlap(faint, components):
    score = full_gbc(Moments.of(faint.features, faint.labels, class_gram=True), components=components)
    expected = full_definition(faint.features, faint.labels, min(components, len(faint.labels) - 1))
    assert score < -1e-6
    np.testing.assert_allclose(score, expected, rtol=EXACT)


def test_invariances(case):
    F, y = case.features, case.labels
    order = np.random.default_rng(2).permutation(len(y))
    for estimator in (diagonal_gbc, full_gbc):
        score = estimator(Moments.of(F, y, class_gram=True))
        for features, labels in ((F[order], y[order]), (F, 3 - y), (F * 1e-8, y), (F * 1e8, y), (F + 10, y)):
            other = estimator(Moments.of(features, labels, class_gram=True))
            np.testing.assert_allclose(other, score, rtol=1e-6)


def test_full_does_not_depend_on_the_basis(tall):
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((7, 7)))
    assert subspace_angles(rotation[:, :1], np.eye(7)[:, :1])[0] > 0.1
    score = full_gbc(Moments.of(tall.features, tall.labels, class_gram=True))
    rotated = full_gbc(Moments.of(tall.features @ rotation, tall.labels, class_gram=True))
    np.testing.assert_allclose(rotated, score, rtol=1e-8)


@pytest.mark.parametrize("estimator", [diagonal_gbc, full_gbc])
def test_limits(estimator):
    constant = Moments.of(np.ones((6, 2)), list("aabbcc"), class_gram=True)
    assert estimator(constant) == -6  # nothing tells three classes apart
    singletons = Moments.of([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], list("abc"), class_gram=True)
    assert estimator(singletons) == pytest.approx(0, abs=1e-100)
    with pytest.raises(ValueError, match="one class only"):
        estimator(Moments.of(np.eye(2), [1, 1], class_gram=True))


def test_full_needs_class_grams(tall):
    with pytest.raises(ValueError, match="no Gram matrices of classes"):
        full_gbc(Moments.of(tall.features, tall.labels))
