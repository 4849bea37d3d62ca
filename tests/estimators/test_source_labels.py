"""LEEP, NCE, NLEEP, OTCE: estimators that go through other classes than the target's; and PARC."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.stats import norm, spearmanr
from sklearn.mixture import GaussianMixture

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


def nce_definition(y, z):
    total = 0.0
    for i in range(len(y)):
        same = [y[j] for j in range(len(y)) if z[j] == z[i]]
        total += np.log(same.count(y[i]) / len(same))
    return total / len(y)


def nleep_definition(F, y, components_per_class, energy, seed):
    """PCA by the covariance, posteriors of the fitted components one density at a time, LEEP by loops."""
    X = (F - F.mean(axis=0)) / np.sqrt(F.var(axis=0).sum())
    values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
    kept = 1
    while values[::-1][:kept].sum() < energy * values.sum() * (1 - 1e-12):
        kept += 1
    Z = X @ vectors[:, ::-1][:, :kept]
    size = min(components_per_class * len(np.unique(y)), len(y) // 2)
    mixture = GaussianMixture(size, covariance_type="diag", reg_covar=1e-6, random_state=seed).fit(Z)
    theta = np.zeros((len(y), size))
    for i in range(len(y)):
        for v in range(size):
            deviations = np.sqrt(mixture.covariances_[v])
            logs = norm.logpdf(Z[i], mixture.means_[v], deviations).sum()
            theta[i, v] = mixture.weights_[v] * np.exp(logs)
    return leep_definition(y, theta / theta.sum(axis=1, keepdims=True))


def otce_definition(source, z, target, y):
    """The optimal coupling as the linear programme that it is, standardised by the source."""
    deviation = source.std(axis=0)
    x, t = (source - source.mean(axis=0)) / deviation, (target - source.mean(axis=0)) / deviation
    n, m = len(x), len(t)
    cost = np.array([[np.mean((x[i] - t[j]) ** 2) for j in range(m)] for i in range(n)])
    sums = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    masses = np.r_[np.full(n, 1 / n), np.full(m, 1 / m)]
    plan = linprog(cost.ravel(), A_eq=sums[:-1], b_eq=masses[:-1], method="highs-ds").x.reshape(n, m)
    entropy = 0.0
    for a in np.unique(z):
        for b in np.unique(y):
            p = plan[z == a][:, y == b].sum()
            if p > 1e-15:
                entropy -= p * np.log(p / plan[z == a].sum())
    return -(np.sqrt(np.sum(plan * cost)) + entropy)


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


@pytest.mark.parametrize("columns", [2, 7, 60])
def test_nce_equals_its_definition(columns):
    y, theta = np.random.default_rng(1).integers(0, 4, 50), draw_posteriors(50, columns)
    score = negative_conditional_entropy(labelled(y), theta)
    np.testing.assert_allclose(score, nce_definition(y, theta.argmax(axis=1)), rtol=EXACT)


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


@pytest.mark.parametrize(("components_per_class", "energy"), [(5, 0.8), (2, 0.3)])
def test_nleep_equals_its_definition(faint, components_per_class, energy):
    score = nleep(
        Samples.of(faint.features, faint.labels),
        components_per_class=components_per_class,
        energy=energy,
        seed=3,
    )
    expected = nleep_definition(faint.features, faint.labels, components_per_class, energy, seed=3)
    assert expected < -1e-3
    np.testing.assert_allclose(score, expected, rtol=EXACT)


def test_nleep_is_never_above_its_limit(case):
    # each component is of one class: rounding may bring a probability of 1 above 1
    apart = case.features + 1e3 * case.labels[:, None]
    assert -1e-9 < nleep(Samples.of(apart, case.labels)) <= 0


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
    np.testing.assert_allclose(score, expected, rtol=EXACT)


@pytest.mark.parametrize(("source_rows", "target_rows"), [(30, 21), (18, 24)])
def test_otce_equals_a_linear_programme(case, source_rows, target_rows):
    source, z = case.features[:source_rows] + 0.3, case.labels[:source_rows] % 3
    target, y = case.features[-target_rows:], case.labels[-target_rows:]
    score = otce(Samples.of(source, z), Samples.of(target, y))
    np.testing.assert_allclose(score, otce_definition(source, z, target, y), rtol=EXACT)


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
