"""t-SNE's affinities and descent, against their definitions and scikit-learn's objective."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.manifold import TSNE

from foretune.estimators.tsne import EARLY, EXAGGERATION, affinities, embed

RTOL = 1e-9
SINGLE = 1e-3  # a few steps in single precision


def clusters(n=60, dimension=5, apart=4.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dimension)) + apart * (np.arange(n) % 3 == 0)[:, None]


def conditional(X, i, beta):
    weights = [0.0 if j == i else math.exp(-beta * float(np.sum((X[i] - x) ** 2))) for j, x in enumerate(X)]
    return [weight / math.fsum(weights) for weight in weights]


def entropy(p):
    return -math.fsum(each * math.log(each) for each in p if each > 0)


def defined(X, perplexity):
    """The affinities, by bisection, one sample at a time."""
    rows = []
    for i in range(len(X)):
        low, high = -6.0, 4.0
        for _ in range(80):
            middle = (low + high) / 2
            if entropy(conditional(X, i, math.exp(middle))) > math.log(perplexity):
                low = middle
            else:
                high = middle
        rows.append(conditional(X, i, math.exp(low)))
    p = np.array(rows)
    return (p + p.T) / (2 * len(X))


def divergence(P, Y):
    q = np.array([[0.0 if i == j else 1 / (1 + np.sum((a - b) ** 2)) for j, b in enumerate(Y)]
                  for i, a in enumerate(Y)])  # fmt: skip
    q /= q.sum()
    off = ~np.eye(len(P), dtype=bool)
    return float(np.sum(P[off] * np.log(P[off] / q[off])))


@pytest.mark.parametrize(("n", "dimension"), [(25, 3), (12, 40)])
def test_affinities_equal_their_definition(n, dimension):
    X = clusters(n, dimension)
    np.testing.assert_allclose(affinities(X, 5.0), defined(X, 5.0), rtol=1e-7, atol=1e-11)


def test_affinities_do_not_depend_on_scale_or_order():
    X = clusters()
    P = affinities(X, 9.0)
    np.testing.assert_allclose(affinities(1024 * X, 9.0), P, rtol=RTOL)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(affinities(X[order], 9.0), P[order][:, order], rtol=1e-7, atol=1e-14)
    assert P.sum() == pytest.approx(1)


def test_the_first_steps_equal_their_definition():
    X = clusters(20, 4)
    P = EXAGGERATION * affinities(X, 5.0)
    u, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    Y = u[:, :2] * s[:2]
    Y *= 1e-4 / np.std(Y[:, 0])
    update, gains = np.zeros_like(Y), np.ones_like(Y)
    for _ in range(6):
        near = [[0.0 if i == j else 1 / (1 + np.sum((a - b) ** 2)) for j, b in enumerate(Y)]
                for i, a in enumerate(Y)]  # fmt: skip
        total = sum(map(sum, near))
        gradient = np.array(
            [
                4 * sum((P[i, j] - near[i][j] / total) * near[i][j] * (Y[i] - Y[j]) for j in range(len(Y)))
                for i in range(len(Y))
            ]
        )
        gains = np.maximum(np.where(update * gradient < 0, gains + 0.2, gains * 0.8), 0.01)
        update = 0.5 * update - 50.0 * gains * gradient
        Y = Y + update
    np.testing.assert_allclose(embed(X, perplexity=5.0, steps=6), Y, rtol=SINGLE, atol=SINGLE * Y.std())


@pytest.mark.parametrize("seed", range(3))
def test_neighbours_are_kept_as_well_as_by_scikit_learn(seed):
    X = clusters(80, 6, apart=1.0, seed=seed)
    P = affinities(X, 12.0)
    ours = divergence(P, embed(X, perplexity=12.0))
    other = TSNE(perplexity=12.0, init="pca", max_iter=500, method="exact", random_state=0).fit_transform(X)
    assert ours < 1.2 * divergence(P, other.astype(float))
    assert ours < 0.7 * divergence(P, embed(X, perplexity=12.0, steps=EARLY // 10))


def test_limits():
    duplicates = np.repeat(clusters(4, 3), 10, axis=0)
    assert np.isfinite(embed(duplicates, perplexity=5.0)).all()
    on_a_line = np.arange(30.0)[:, None] * np.ones(3)
    assert np.isfinite(embed(on_a_line, perplexity=5.0)).all()
    one_feature = clusters(30, 1)
    assert np.array_equal(
        embed(one_feature, perplexity=5.0, seed=1), embed(one_feature, perplexity=5.0, seed=1)
    )
    assert not np.array_equal(
        embed(one_feature, perplexity=5.0, seed=1), embed(one_feature, perplexity=5.0, seed=2)
    )
