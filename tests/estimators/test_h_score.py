from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from foretune.estimators import Moments
from foretune.estimators.h_score import h_score, ledoit_wolf_shrinkage, regularised_h_score

EXACT = 1e-9


def between(F, y):
    means = np.array([F[y == label].mean(axis=0) for label in y])
    return np.cov(means.T, bias=True)


def test_one_feature_worked_by_hand():
    # means 0.5 and 2.5 about 1.5: between variance 1, total variance 1.25
    moments = Moments.of([[0.0], [1.0], [2.0], [3.0]], list("aabb"))
    assert h_score(moments) == pytest.approx(0.8, rel=EXACT)


def test_equals_its_definition(case):
    F, y = case.features, case.labels
    expected = np.trace(np.linalg.pinv(np.cov(F.T, bias=True), rcond=1e-11, hermitian=True) @ between(F, y))
    np.testing.assert_allclose(h_score(Moments.of(F, y)), expected, rtol=EXACT)


def test_shrinkage_is_ledoit_and_wolfs(case):
    expected = ledoit_wolf(case.features)[1]
    np.testing.assert_allclose(ledoit_wolf_shrinkage(Moments.of(case.features)), expected, rtol=EXACT)


def test_regularised_equals_its_definition(case):
    covariance, alpha = ledoit_wolf(case.features)
    expected = (1 - alpha) * np.trace(np.linalg.solve(covariance, between(case.features, case.labels)))
    score = regularised_h_score(Moments.of(case.features, case.labels))
    np.testing.assert_allclose(score, expected, rtol=EXACT)


@pytest.mark.parametrize("estimator", [h_score, regularised_h_score])
def test_invariances(case, estimator):
    F, y = case.features, case.labels
    score = estimator(Moments.of(F, y))
    rng = np.random.default_rng(2)
    order = rng.permutation(len(y))
    rotation, _ = np.linalg.qr(rng.standard_normal((F.shape[1], F.shape[1])))
    for other in (
        Moments.of(F[order], y[order]),
        Moments.of(F, 3 - y),
        Moments.of(F @ rotation, y),
        Moments.of(F * 1e-8, y),
        Moments.of(F * 1e8, y),
        Moments.of(F + 10, y),
    ):
        np.testing.assert_allclose(estimator(other), score, rtol=1e-7)


def test_noise_with_few_samples_looks_perfect_only_without_shrinkage():
    rng = np.random.default_rng(0)
    moments = Moments.of(rng.standard_normal((50, 300)), np.arange(50) % 5)
    assert h_score(moments) == pytest.approx(4)
    assert regularised_h_score(moments) < 1


@pytest.mark.parametrize("estimator", [h_score, regularised_h_score])
def test_limits(estimator):
    assert estimator(Moments.of(np.ones((6, 3)), list("aabbcc"))) == 0
    with pytest.raises(ValueError, match="one class only"):
        estimator(Moments.of(np.eye(2), [1, 1]))


def test_no_deviation_from_a_sphere_needs_no_shrinkage():
    assert ledoit_wolf_shrinkage(Moments.of(np.ones((4, 2)))) == 0
    assert ledoit_wolf_shrinkage(Moments.of([[0.0], [1.0], [5.0]])) == 0
