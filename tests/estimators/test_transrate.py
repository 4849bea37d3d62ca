from __future__ import annotations

import numpy as np
import pytest

from foretune.estimators import Moments
from foretune.estimators.transrate import transrate

EXACT = 1e-9


def rate(Z, epsilon):
    return 0.5 * np.linalg.slogdet(np.eye(Z.shape[1]) + Z.T @ Z / (len(Z) * epsilon))[1]


def definition(F, y, epsilon=1e-4):
    Z = F - F.mean(axis=0)
    Z /= np.sqrt(np.sum(Z**2) / len(Z))
    return rate(Z, epsilon) - sum(np.mean(y == c) * rate(Z[y == c], epsilon) for c in np.unique(y))


def test_one_feature_worked_by_hand():
    # ±1, one class each: the centred features have the same rate with and without the classes
    moments = Moments.of([[-1.0], [1.0]], ["a", "b"], class_gram=True)
    assert transrate(moments, epsilon=1.0) == pytest.approx(0, abs=EXACT)
    # classes at (±1, 0) and (0, ±1): variances ½ in two directions, 1 in one; R = ln 1.5, R_c = ½ ln 2
    F = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    moments = Moments.of(F, list("aabb"), class_gram=True)
    assert transrate(moments, epsilon=1.0) == pytest.approx(np.log(1.5) - 0.5 * np.log(2), rel=EXACT)


def test_equals_its_definition(case):
    moments = Moments.of(case.features, case.labels, class_gram=True)
    np.testing.assert_allclose(transrate(moments), definition(case.features, case.labels), rtol=EXACT)


def test_classes_count_by_their_share():
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((90, 5)), np.repeat([0, 1, 2], [60, 20, 10])
    F[:, 0] += y
    np.testing.assert_allclose(transrate(Moments.of(F, y, class_gram=True)), definition(F, y), rtol=EXACT)


def test_invariances(case):
    F, y = case.features, case.labels
    score = transrate(Moments.of(F, y, class_gram=True))
    order = np.random.default_rng(2).permutation(len(y))
    for features, labels in ((F[order], y[order]), (F, 3 - y), (F * 1e-8, y), (F * 1e8, y), (F + 10, y)):
        other = transrate(Moments.of(features, labels, class_gram=True))
        np.testing.assert_allclose(other, score, rtol=1e-7)


def test_limits_and_errors():
    assert transrate(Moments.of(np.ones((4, 2)), list("aabb"), class_gram=True)) == 0
    with pytest.raises(ValueError, match="no Gram matrices of classes"):
        transrate(Moments.of(np.eye(4), list("aabb")))
    with pytest.raises(ValueError, match="one class only"):
        transrate(Moments.of(np.eye(2), [1, 1], class_gram=True))
