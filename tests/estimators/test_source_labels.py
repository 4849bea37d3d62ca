"""LEEP, NCE, NLEEP, OTCE: estimators that go through other classes than the target's; and PARC."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr

from foretune.estimators import Samples
from foretune.estimators.leep import leep
from foretune.estimators.nce import negative_conditional_entropy
from foretune.estimators.nleep import nleep
from foretune.estimators.otce import otce
from foretune.estimators.parc import parc

EXACT = 1e-9


def labelled(y):
    return Samples.of(np.zeros((len(y), 1)), y)


def draw_posteriors(rows, columns, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(columns, 0.3), size=rows)


def leep_definition(y, theta):
    classes = np.unique(y)
    joint = {(c, z): theta[y == c, z].sum() / len(y) for c in classes for z in range(theta.shape[1])}
    total = 0.0
    for i in range(len(y)):
        p = 0.0
        for z in range(theta.shape[1]):
            marginal = sum(joint[c, z] for c in classes)
            if marginal > 0:
                p += joint[y[i], z] / marginal * theta[i, z]
        total += np.log(p)
    return total / len(y)


def test_leep_worked_by_hand():
    # the source class is the target class
    assert leep(labelled(list("aab")), np.array([[1.0, 0], [1, 0], [0, 1]])) == pytest.approx(0, abs=EXACT)
    # it tells nothing: P(y | z) is the frequency of y
    score = leep(labelled(list("aaab")), np.full((4, 2), 0.5))
    assert score == pytest.approx(0.75 * np.log(0.75) + 0.25 * np.log(0.25), rel=EXACT)


def test_nce_worked_by_hand():
    theta = np.eye(2)[[0, 0, 0, 1]]
    # class 0 of the source: a, a, b; class 1: b
    expected = (2 * np.log(2 / 3) + np.log(1 / 3)) / 4
    assert negative_conditional_entropy(labelled(list("aabb")), theta) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("columns", [2, 30])
def test_leep_equals_its_definition(columns):
    y, theta = np.random.default_rng(1).integers(0, 4, 50), draw_posteriors(50, columns)
    np.testing.assert_allclose(leep(labelled(y), theta), leep_definition(y, theta), rtol=EXACT)


def test_leep_is_no_less_than_nce_for_certain_classifiers():
    y, theta = (
        np.random.default_rng(1).integers(0, 4, 50),
        np.eye(6)[np.random.default_rng(2).integers(0, 6, 50)],
    )
    score = negative_conditional_entropy(labelled(y), theta)
    np.testing.assert_allclose(leep(labelled(y), theta), score, rtol=EXACT)
    assert -np.log(4) < score < 0


@pytest.mark.parametrize("estimator", [leep, negative_conditional_entropy])
def test_source_classes_without_probability_change_nothing(estimator):
    y, theta = np.random.default_rng(1).integers(0, 4, 50), draw_posteriors(50, 6)
    padded = np.hstack([np.zeros((50, 3)), theta, np.zeros((50, 2))])
    np.testing.assert_allclose(estimator(labelled(y), padded), estimator(labelled(y), theta), rtol=EXACT)


@pytest.mark.parametrize("estimator", [leep, negative_conditional_entropy])
def test_posteriors_are_checked(estimator):
    samples = labelled([0, 1])
    with pytest.raises(ValueError, match=r"posteriors has shape \(3, 2\); it must be \(2, Z\)"):
        estimator(samples, np.full((3, 2), 0.5))
    with pytest.raises(ValueError, match=r"posteriors\[1\] is no distribution"):
        estimator(samples, np.array([[0.5, 0.5], [0.5, 0.6]]))
    with pytest.raises(ValueError, match=r"posteriors\[0\] is no distribution"):
        estimator(samples, np.array([[1.5, -0.5], [0.5, 0.5]]))
    with pytest.raises(ValueError, match=r"posteriors\[0\] is no distribution"):
        estimator(samples, np.array([[np.nan, 1.0], [0.5, 0.5]]))
    with pytest.raises(ValueError, match="one class only"):
        estimator(labelled([1, 1]), np.full((2, 2), 0.5))


def test_nleep_tells_signal_from_noise():
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    noise = rng.standard_normal((90, 6))
    scores = [nleep(Samples.of(noise + s * np.eye(6)[y], y)) for s in (0, 4, 20)]
    assert scores == sorted(scores)
    assert scores[2] == pytest.approx(0, abs=1e-6)  # a component for each class
    assert scores[0] > -np.log(3)


def test_nleep_is_seeded_and_free_of_scale(tall):
    samples = Samples.of(tall.features, tall.labels)
    score = nleep(samples, seed=3)
    assert nleep(samples, seed=3) == score
    assert nleep(Samples.of(tall.features * 1024, tall.labels), seed=3) == pytest.approx(score, rel=1e-6)
    with pytest.raises(ValueError, match="features are the same"):
        nleep(Samples.of(np.ones((4, 2)), list("aabb")))


def test_parc_equals_its_definition(case):
    X = (case.features - case.features.mean(axis=0)) / case.features.std(axis=0)
    Y = (case.labels[:, None] == np.unique(case.labels)).astype(float)
    pairs = np.tril_indices(len(Y), -1)
    expected = spearmanr((1 - np.corrcoef(X))[pairs], (1 - np.corrcoef(Y)).round(9)[pairs]).statistic
    np.testing.assert_allclose(parc(Samples.of(case.features, case.labels)), expected, rtol=1e-9)


def test_parc_limits_and_invariances(tall):
    F, y = tall.features, tall.labels
    score = parc(Samples.of(F, y))
    order = np.random.default_rng(0).permutation(len(y))
    scales = np.geomspace(1e-3, 1e3, 7)
    for features, labels in ((F[order], y[order]), (F, 3 - y), (F * 1e-8, y), (F * scales, y), (F + 3, y)):
        np.testing.assert_allclose(parc(Samples.of(features, labels)), score, rtol=1e-6)
    assert parc(Samples.of(np.eye(3), list("abc"))) == 0  # all pairs alike
    assert -1 <= parc(Samples.of(np.hstack([F, np.ones((120, 1))]), y)) <= 1
    with pytest.raises(ValueError, match="features has one column"):
        parc(Samples.of(F[:, :1], y))


def test_otce_equals_its_definition():
    # as many source as target samples: the optimal coupling is an assignment
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal((25, 3)), rng.standard_normal((25, 3)) + 0.5
    z, y = rng.integers(0, 3, 25), rng.integers(0, 2, 25)
    x = (source - source.mean(axis=0)) / source.std(axis=0)
    t = (target - source.mean(axis=0)) / source.std(axis=0)
    cost = ((x[:, None] - t) ** 2).mean(axis=2)
    rows, columns = linear_sum_assignment(cost)
    entropy = 0.0
    for a in range(3):
        for b in range(2):
            p = np.mean((z[rows] == a) & (y[columns] == b))
            entropy -= p * np.log(p / np.mean(z == a)) if p else 0.0
    expected = -(0.7 * np.sqrt(cost[rows, columns].mean()) + 0.4 * entropy)
    score = otce(Samples.of(source, z), Samples.of(target, y), distance_weight=0.7, entropy_weight=0.4)
    np.testing.assert_allclose(score, expected, rtol=1e-7)


def test_otce_limits_and_errors():
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((20, 3)), np.arange(20) % 2
    same = Samples.of(F, y)
    assert otce(same, same) == pytest.approx(0, abs=1e-6)
    assert otce(same, Samples.of(F + 1, y)) < otce(same, same)
    with pytest.raises(ValueError, match="source has dimension 2, features 3"):
        otce(Samples.of(F[:, :2], y), same)
    with pytest.raises(ValueError, match="the samples have no labels"):
        otce(Samples.of(F), same)
