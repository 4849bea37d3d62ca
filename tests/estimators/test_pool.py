from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from foretune.estimators import Samples
from foretune.estimators.pool import etran_parts, ncti_parts, rank

ALL = [etran_parts, ncti_parts]


def candidate(strength, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(90) % 3
    return Samples.of(rng.standard_normal((90, 8)) + strength * np.eye(8)[y], y)


def test_places_in_a_pool_worked_by_hand():
    parts = {1: (0.0, 5.0), 2: (1.0, 5.0), 3: (4.0, 5.0)}
    pool = [Samples.of(np.ones((size, 1))) for size in parts]
    # the second part is the same for all and adds nothing
    np.testing.assert_allclose(rank(pool, lambda samples: parts[len(samples)]), [0, 0.25, 1])


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
    np.testing.assert_allclose(etran_parts(samples)[1], expected, rtol=1e-7)
    np.testing.assert_allclose(ncti_parts(samples)[2], expected, rtol=1e-7)


def test_energy_is_the_mean_log_sum(tall):
    F = tall.features / np.sqrt(np.mean(tall.features**2))
    expected = np.mean(np.log(np.exp(F).sum(axis=1)))
    np.testing.assert_allclose(etran_parts(Samples.of(tall.features, tall.labels))[0], expected, rtol=1e-9)


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
