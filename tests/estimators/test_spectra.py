"""RankMe and α-ReQ: estimators of the spectrum, without labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from foretune.estimators import Moments
from foretune.estimators.alpha_req import alpha_req, decay_exponent
from foretune.estimators.rankme import rankme

EXACT = 1e-9


def test_rankme_worked_by_hand():
    assert rankme(Moments.of(np.eye(5))) == pytest.approx(5, rel=EXACT)
    assert rankme(Moments.of(np.ones((5, 3)))) == pytest.approx(1, rel=EXACT)
    # singular values 3 and 1
    expected = np.exp(entropy([0.75, 0.25]))
    assert rankme(Moments.of([[3.0, 0.0], [0.0, 1.0]])) == pytest.approx(expected, rel=EXACT)


def test_rankme_equals_its_definition(case):
    s = np.linalg.svd(case.features, compute_uv=False)
    expected = np.exp(entropy(s[s > 1e-9 * s[0]]))
    np.testing.assert_allclose(rankme(Moments.of(case.features)), expected, rtol=EXACT)


def test_decay_of_a_power_law():
    # orthogonal centred columns with variances i^(-2)
    n, size = 64, 8
    waves = np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * np.arange(1, size + 1) / n)
    F = waves * np.arange(1.0, size + 1) ** -1
    assert decay_exponent(Moments.of(F)) == pytest.approx(2, rel=1e-8)
    assert alpha_req(Moments.of(F)) == pytest.approx(-1, rel=1e-8)


def test_decay_equals_a_fitted_line(case):
    values = np.linalg.eigvalsh(np.cov(case.features.T))[::-1]
    values = values[values > 1e-11 * values[0]]
    slope = np.polyfit(np.log(np.arange(1, len(values) + 1)), np.log(values), 1)[0]
    np.testing.assert_allclose(decay_exponent(Moments.of(case.features)), -slope, rtol=EXACT)


@pytest.mark.parametrize("estimator", [rankme, alpha_req])
def test_invariances(case, estimator):
    F = case.features
    score = estimator(Moments.of(F))
    size = F.shape[1]
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))
    for other in (F[::-1], F @ rotation, F * 1e-8, F * 1e8):
        np.testing.assert_allclose(estimator(Moments.of(other)), score, rtol=1e-6)


def test_limits_and_errors():
    assert rankme(Moments.of(np.zeros((3, 2)))) == 0
    with pytest.raises(ValueError, match="hold no samples"):
        rankme(Moments(3))
    with pytest.raises(ValueError, match="fewer than two directions"):
        alpha_req(Moments.of([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
