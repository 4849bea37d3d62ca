from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from foretune.estimators import Samples
from foretune.estimators.pool import etran_parts, ncti_parts, rank

EXACT = 1e-9
ALL = [etran_parts, ncti_parts]


def discriminate_definition(F, y, shrinkage=0.1):
    """Return posteriors and outputs of discriminants in the span of the samples, from its covariances."""
    values, vectors = np.linalg.eigh(np.cov(F.T, bias=True))
    X = (F - F.mean(axis=0)) @ vectors[:, values > 1e-12 * values[-1]] / np.sqrt(values.sum())
    size, priors = X.shape[1], np.bincount(y) / len(y)

    def shrunk(covariance):
        return (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size)

    means = np.array([X[y == c].mean(axis=0) for c in np.unique(y)])
    within = sum(p * shrunk(np.cov(X[y == c].T, bias=True)) for c, p in enumerate(priors))
    logs = [multivariate_normal(m, within).logpdf(X) + np.log(p) for m, p in zip(means, priors, strict=True)]
    whitener = np.linalg.inv(np.linalg.cholesky(within)).T  # within = I after it
    between = whitener.T @ (shrunk(np.cov(X.T, bias=True)) - within) @ whitener
    axes = np.linalg.eigh(between)[1][:, ::-1][:, : len(means) - 1]
    return softmax(np.array(logs).T, axis=1), X @ whitener @ axes


def ncti_definition(F, y):
    posteriors, outputs = discriminate_definition(F, y)
    spread = sum(np.linalg.svd(posteriors[y == c], compute_uv=False).sum() for c in np.unique(y))
    simplex = np.linalg.svd(outputs, compute_uv=False).sum()
    return -np.log(spread), simplex, posteriors[np.arange(len(y)), y].mean()


def etran_definition(F, y):
    scale = np.sqrt(np.mean(F**2))
    energy = np.mean([np.log(sum(np.exp(value / scale) for value in row)) for row in F])
    return energy, discriminate_definition(F, y)[0][np.arange(len(y)), y].mean()


def rank_definition(parts):
    scores = [0.0] * len(parts)
    for part in zip(*parts, strict=True):
        for i, value in enumerate(part):
            scores[i] += (value - min(part)) / (max(part) - min(part))
    return scores


DEFINITIONS = [(etran_parts, etran_definition), (ncti_parts, ncti_definition)]


def candidate(strength, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(90) % 3
    return Samples.of(rng.standard_normal((90, 8)) + strength * np.eye(8)[y], y)


def test_places_in_a_pool_worked_by_hand():
    parts = {1: (0.0, 5.0), 2: (1.0, 5.0), 3: (4.0, 5.0)}
    pool = [Samples.of(np.ones((size, 1))) for size in parts]
    # the second part is the same for all and adds nothing
    np.testing.assert_allclose(rank(pool, lambda samples: parts[len(samples)]), [0, 0.25, 1])


@pytest.mark.parametrize(("parts", "definition"), DEFINITIONS)
def test_parts_equal_their_definitions(faint, parts, definition):
    score = parts(Samples.of(faint.features, faint.labels))
    np.testing.assert_allclose(score, definition(faint.features, faint.labels), rtol=EXACT)


@pytest.mark.parametrize(("parts", "definition"), DEFINITIONS)
def test_ranks_equal_their_definition(case, parts, definition):
    rng = np.random.default_rng(0)
    pool = [case.features + noise * rng.standard_normal(case.features.shape) for noise in (1.0, 3.0, 9.0)]
    expected = rank_definition([definition(features, case.labels) for features in pool])
    ranks = rank([Samples.of(features, case.labels) for features in pool], parts)
    np.testing.assert_allclose(ranks, expected, rtol=EXACT, atol=1e-12)


@pytest.mark.parametrize("parts", ALL)
def test_stronger_signal_ranks_higher(parts):
    scores = rank([candidate(s, seed=4) for s in (0.0, 1.5, 5.0)], parts)
    assert scores[0] < scores[2]
    assert scores.min() >= 0


def test_classification_equals_sklearns(tall):
    X = tall.features - tall.features.mean(axis=0)
    X /= np.sqrt(np.mean(np.sum(X**2, axis=1)))
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1).fit(X, tall.labels)
    expected = lda.predict_proba(X)[np.arange(120), tall.labels].mean()
    samples = Samples.of(tall.features, tall.labels)
    np.testing.assert_allclose(etran_parts(samples)[1], expected, rtol=EXACT)
    np.testing.assert_allclose(ncti_parts(samples)[2], expected, rtol=EXACT)


def test_energy_is_the_mean_log_sum(tall):
    F = tall.features / np.sqrt(np.mean(tall.features**2))
    expected = np.mean(np.log(np.exp(F).sum(axis=1)))
    np.testing.assert_allclose(etran_parts(Samples.of(tall.features, tall.labels))[0], expected, rtol=1e-9)


@pytest.mark.parametrize("parts", ALL)
def test_features_that_tell_nothing_change_no_discriminant(faint, parts):
    more = np.hstack([faint.features, np.zeros_like(faint.features)])
    score, other = (parts(Samples.of(features, faint.labels)) for features in (faint.features, more))
    np.testing.assert_allclose(other[1:], score[1:], rtol=EXACT)  # the energy is of all features


@pytest.mark.parametrize("parts", ALL)
def test_scale_and_order_do_not_matter(case, parts):
    F, y = case.features, case.labels
    score = parts(Samples.of(F, y))
    for features, labels in ((F * 1e-8, y), (F * 1e8, y), (F[::-1], y[::-1]), (F, 3 - y)):
        np.testing.assert_allclose(parts(Samples.of(features, labels)), score, rtol=1e-6)


@pytest.mark.parametrize("parts", ALL)
def test_errors(parts):
    with pytest.raises(ValueError, match=r"pool has 1 candidate\(s\)"):
        rank([candidate(1.0)], parts)
    with pytest.raises(ValueError, match="3 rows of 3 classes; discriminants need more"):
        parts(Samples.of(np.eye(3), list("abc")))
    with pytest.raises(ValueError, match="features are the same"):
        parts(Samples.of(np.ones((6, 2)), list("aabbcc")))
    with pytest.raises(ValueError, match="one class only"):
        parts(Samples.of(np.eye(2), [1, 1]))
