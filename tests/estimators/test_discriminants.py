"""Estimators on samples that classify: shrunk LDA, nearest neighbours, SFDA, PACTran."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from foretune.estimators import Samples, knn
from foretune.estimators.knn import nearest_neighbours
from foretune.estimators.lda import held_out_discriminant
from foretune.estimators.pactran import pactran_gaussian
from foretune.estimators.sfda import sfda

EXACT = 1e-9
ALL = [held_out_discriminant, nearest_neighbours, sfda, pactran_gaussian]


def samples_of(case):
    return Samples.of(case.features, case.labels, case.groups)


def log_posteriors(X, y, means, covariance, priors):
    """Return ln p(own class | x) for Gaussian classes: −ln Σ_c p_c N_c / p_y N_y, (N,)."""
    logs = np.array(
        [multivariate_normal(m, covariance).logpdf(X) + np.log(p) for m, p in zip(means, priors, strict=True)]
    )
    others = [[logs[c, i] - logs[y[i], i] for c in range(len(means)) if c != y[i]] for i in range(len(y))]
    return -np.log1p(np.exp(others).sum(axis=1))


def lda_definition(F, y, groups):
    X = (F - F.mean(axis=0)) / np.sqrt(F.var(axis=0).sum())
    names = sorted(set(groups))
    total = 0.0
    for name in names:
        inside = groups == name
        A, a = X[~inside], y[~inside]
        means = np.array([A[a == c].mean(axis=0) for c in np.unique(y)])
        covariance = ledoit_wolf(A - means[a], assume_centered=True)[0] + 1e-9 / F.shape[1] * np.eye(
            F.shape[1]
        )
        priors = (np.bincount(a) + 1) / (len(a) + len(means))
        total += log_posteriors(X[inside], y[inside], means, covariance, priors).sum()
    return total / len(y)


def knn_definition(F, y, groups, neighbours):
    X = F - F.mean(axis=0)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    hits = 0
    for i in range(len(y)):
        others = np.flatnonzero(groups != groups[i])
        nearest = others[np.argsort(-(X[others] @ X[i]))[:neighbours]]
        votes = {
            c: (np.sum(y[nearest] == c), (X[nearest] @ X[i])[y[nearest] == c].sum()) for c in set(y[nearest])
        }
        most = max(count for count, _ in votes.values())
        # of classes with most votes, the nearer one on average
        winner = max((c for c in votes if votes[c][0] == most), key=lambda c: votes[c][1] / votes[c][0])
        hits += winner == y[i]
    return hits / len(y)


def sfda_definition(F, y, strength=5.0):
    X = (F - F.mean(axis=0)) / np.sqrt(F.var(axis=0).sum())
    classes = np.unique(y)

    def discriminate(X, shrinkage):
        means = np.array([X[y == c].mean(axis=0) for c in classes])
        within = np.cov((X - means[y]).T, bias=True)
        size = X.shape[1]
        lam = np.exp(-strength * np.linalg.eigvalsh(within)[-1]) if shrinkage is None else shrinkage
        covariance = (1 - lam) * within + (lam * np.trace(within) + 1e-9) / size * np.eye(size)
        return log_posteriors(X, y, means, covariance, np.bincount(y) / len(y)), lam

    logs, lam = discriminate(X, None)
    p = np.exp(logs)
    others = np.array([X[y != c].mean(axis=0) for c in classes])
    mixed = p[:, None] * X + (1 - p[:, None]) * others[y]
    return discriminate(mixed, lam)[0].mean()


def pactran_definition(F, y, factor=1.0, prior=10.0):
    """Minimise the penalised loss by Newton's method, its Hessian formed in full."""
    n, size = F.shape
    classes = y.max() + 1
    X = (F - F.mean(axis=0)) / np.sqrt(F.var(axis=0).mean())
    A, Y = np.hstack([X, np.ones((n, 1))]), np.eye(classes)[y]
    penalty = np.r_[np.full(size, 1 / (n * factor)), 0.0]
    level = np.tile(np.eye(size + 1)[size], classes)
    theta = np.zeros((classes, size + 1))
    for _ in range(30):
        p = softmax(A @ theta.T, axis=1)
        gradient = (p - Y).T @ A / n + penalty * theta
        curvature = [[p[:, a] * ((a == b) - p[:, b]) for b in range(classes)] for a in range(classes)]
        hessian = np.block([[(A.T * weights) @ A / n for weights in row] for row in curvature])
        hessian += np.diag(np.tile(penalty, classes))
        hessian += np.outer(level, level)  # one level added to all biases changes nothing: hold their sum
        theta -= np.linalg.solve(hessian, gradient.ravel()).reshape(theta.shape)
    p = softmax(A @ theta.T, axis=1)
    loss = -np.sum(Y * log_softmax(A @ theta.T, axis=1)) / n + np.sum(penalty * theta**2) / 2
    trace = sum(np.trace((A.T * (p[:, c] * (1 - p[:, c]))) @ A) for c in range(classes)) / n
    parameters = size * classes
    flatness = prior / size * parameters / (2 * n * factor) * np.log(1 + n * factor * trace / parameters)
    return -(loss + flatness)


def test_neighbours_worked_by_hand():
    # directions 0°, 10°, 90°, 100° about their mean; each sample's nearest in the other group is of its class
    angles = np.deg2rad([0, 180, 10, 190])
    F = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    samples = Samples.of(F, list("abab"), [1, 1, 2, 2])
    assert nearest_neighbours(samples, neighbours=1) == 1
    # with both samples of the other group voting, the nearer one decides the tie
    assert nearest_neighbours(samples, neighbours=2) == 1
    assert nearest_neighbours(samples, neighbours=9) == 1
    assert nearest_neighbours(Samples.of(F, list("abba"), [1, 1, 2, 2]), neighbours=1) == 0


def test_own_group_has_no_vote():
    # copies in the same group would make every neighbour right
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((20, 5)), rng.integers(0, 2, 20)
    twins = np.repeat(F, 6, axis=0)
    score = nearest_neighbours(Samples.of(twins, np.repeat(y, 6), np.repeat(np.arange(20), 6)), neighbours=6)
    single = nearest_neighbours(Samples.of(F, y, np.arange(20)), neighbours=1)
    assert score == single < 1


@pytest.mark.parametrize("neighbours", [1, 5])
def test_neighbours_equal_their_definition(case, neighbours):
    expected = knn_definition(case.features, case.labels, case.groups, neighbours)
    assert nearest_neighbours(samples_of(case), neighbours=neighbours) == pytest.approx(expected, rel=EXACT)


def test_neighbours_are_the_same_in_blocks(case, monkeypatch):
    whole = nearest_neighbours(samples_of(case))
    monkeypatch.setattr(knn, "BLOCK_ROWS", 7)
    assert nearest_neighbours(samples_of(case)) == whole


def test_lda_equals_its_definition(case):
    expected = lda_definition(case.features, case.labels, case.groups)
    np.testing.assert_allclose(held_out_discriminant(samples_of(case)), expected, rtol=EXACT)


def test_sfda_equals_its_definition(case):
    expected = sfda_definition(case.features, case.labels)
    assert expected < 0
    np.testing.assert_allclose(sfda(samples_of(case)), expected, rtol=EXACT)


def test_sfda_tells_good_features_from_better_ones():
    # every posterior rounds to 1
    rng = np.random.default_rng(0)
    y = np.arange(60) % 4
    noise = rng.standard_normal((60, 90))
    scores = [sfda(Samples.of(noise + s * np.eye(90)[y], y)) for s in (6, 8, 10)]
    assert -1e-9 < scores[0] < scores[1] < scores[2] < 0


def test_pactran_equals_its_definition(case):
    expected = pactran_definition(case.features, case.labels)
    np.testing.assert_allclose(pactran_gaussian(samples_of(case)), expected, rtol=EXACT)


@pytest.mark.parametrize("estimator", ALL)
def test_invariances(case, estimator):
    F, y, g = case.features, case.labels, case.groups
    before = F.copy()
    score = estimator(Samples.of(F, y, g))
    np.testing.assert_array_equal(F, before)
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
        np.testing.assert_allclose(estimator(Samples.of(features, labels, groups)), score, rtol=1e-4)


@pytest.mark.parametrize("estimator", ALL)
def test_informative_features_score_higher(estimator):
    rng = np.random.default_rng(0)
    y, groups = np.arange(120) % 3, np.arange(120) // 3 % 6
    noise = rng.standard_normal((120, 10))
    scores = [estimator(Samples.of(noise + s * np.eye(10)[y], y, groups)) for s in (0, 1.5, 4)]
    assert scores == sorted(scores)
    assert scores[0] < scores[2]


@pytest.mark.parametrize("estimator", ALL)
def test_limits(estimator):
    perfect = estimator(Samples.of(np.eye(2)[np.arange(20) % 2], np.arange(20) % 2, np.arange(20) // 4))
    assert np.isfinite(perfect)
    with pytest.raises(ValueError, match="features are the same for every sample"):
        estimator(Samples.of(np.ones((4, 2)), list("aabb"), list("xyxy")))
    with pytest.raises(ValueError, match="labels has one class only"):
        estimator(Samples.of(np.eye(2), [1, 1], [0, 1]))
    with pytest.raises(ValueError, match="the samples have no labels"):
        estimator(Samples.of(np.eye(2), groups=[0, 1]))


@pytest.mark.parametrize("estimator", [held_out_discriminant, nearest_neighbours])
def test_groups_are_needed(estimator):
    with pytest.raises(ValueError, match="the samples have no groups"):
        estimator(Samples.of(np.eye(2), [0, 1]))
    with pytest.raises(ValueError, match=r"groups has 1 group\(s\)"):
        estimator(Samples.of(np.eye(2), [0, 1], ["x", "x"]))


def test_class_of_a_left_out_group_only():
    rng = np.random.default_rng(0)
    samples = Samples.of(rng.standard_normal((30, 4)), np.repeat([0, 1, 2], 10), np.repeat(list("abc"), 10))
    assert np.isfinite(held_out_discriminant(samples))
