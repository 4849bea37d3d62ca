"""Held-out discriminants from moments, against refitting Gaussians on the samples."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from foretune.estimators import Moments
from foretune.estimators.discriminant_information import LEAST_SHARE, discriminant_information


def refitted(features, labels, groups):
    """The definition: Gaussians fitted to the others' rows, log densities summed row by row."""
    total = 0.0
    dimension = features.shape[1]
    for name in np.unique(groups):
        inside = groups == name
        X, y = features[~inside], labels[~inside]
        mean = X.mean(axis=0)
        shrunk, share = ledoit_wolf(X)  # (1 − a) Σ + a (tr Σ / D) I
        T = shrunk + LEAST_SHARE * np.trace(np.cov(X.T, bias=True)) / dimension * np.eye(dimension)
        W = T.copy()
        for label in np.unique(y):
            away = X[y == label].mean(axis=0) - mean
            W -= (1 - share) * np.mean(y == label) * np.outer(away, away)
        for x, label in zip(features[inside], labels[inside], strict=True):
            centre = X[y == label].mean(axis=0) if np.any(y == label) else mean
            total += multivariate_normal(centre, W).logpdf(x) - multivariate_normal(mean, T).logpdf(x)
    return total / len(features)


def of(case):
    return discriminant_information(Moments.of(case.features, case.labels, case.groups, max_groups=None))


def test_equals_refitting_without_each_group(case):
    np.testing.assert_allclose(of(case), refitted(case.features, case.labels, case.groups), rtol=1e-9)


def test_a_class_that_the_others_lack_lies_about_their_mean(tall):
    groups = np.where(tall.labels == 0, "alone", tall.groups)
    moments = Moments.of(tall.features, tall.labels, groups, max_groups=None)
    expected = refitted(tall.features, tall.labels, groups)
    np.testing.assert_allclose(discriminant_information(moments), expected, rtol=1e-9)


def test_much_gaussian_data_gives_half_the_log_ratio_of_determinants():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200_000)
    features = rng.standard_normal((200_000, 2))
    features[:, 0] += 2 * labels  # variance within 1, in all 2
    groups = rng.integers(0, 4, 200_000)
    moments = Moments.of(features, labels, groups)
    assert discriminant_information(moments) == pytest.approx(0.5 * np.log(2), abs=0.01)


def test_noise_tells_nothing():
    rng = np.random.default_rng(1)
    moments = Moments.of(rng.standard_normal((4000, 5)), rng.integers(0, 3, 4000), rng.integers(0, 8, 4000))
    assert discriminant_information(moments) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_rotating_and_scaling_change_nothing(case, scale):
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((case.features.shape[1],) * 2))[0]
    moments = Moments.of(scale * case.features @ rotation, case.labels, case.groups, max_groups=None)
    np.testing.assert_allclose(discriminant_information(moments), of(case), rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="groups is missing"):
        discriminant_information(Moments.of(np.eye(4), list("aabb")))
    with pytest.raises(ValueError, match="without group 'x', labels have one class only, 'b'"):
        discriminant_information(Moments.of(np.eye(4), list("aabb"), list("xxyy"), max_groups=None))
    with pytest.raises(ValueError, match="features are the same for every sample"):
        discriminant_information(Moments.of(np.ones((4, 2)), list("abab"), list("xxyy"), max_groups=None))
