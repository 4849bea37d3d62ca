from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.estimators import Moments
from foretune.estimators.logme import log_maximum_evidence
from foretune.estimators.target_moments import TargetMoments, log_maximum_evidence_of_targets

EXACT = 1e-9


def moments_of(features, targets):
    moments = TargetMoments(np.shape(features)[1], 1 if np.ndim(targets) == 1 else np.shape(targets)[1])
    moments.update(features, targets)
    return moments


def test_one_hot_targets_are_classes(case):
    targets = (case.labels[:, None] == np.arange(4)).astype(float)
    score = log_maximum_evidence_of_targets(moments_of(case.features, targets))
    expected = log_maximum_evidence(Moments.of(case.features, case.labels))
    np.testing.assert_allclose(score, expected, rtol=EXACT)


def test_regression_is_the_greatest_marginal_likelihood(tall):
    # no precisions have more evidence, and some on a grid have nearly as much
    rng = np.random.default_rng(0)
    F = tall.features
    t = F @ rng.standard_normal(F.shape[1]) + rng.standard_normal(len(F))
    score = log_maximum_evidence_of_targets(moments_of(F, t))
    grid = []
    for alpha in np.geomspace(0.1, 10, 15):
        for beta in np.geomspace(0.1, 10, 15):
            covariance = np.eye(len(F)) / beta + F @ F.T / alpha
            determinant = np.linalg.slogdet(2 * np.pi * covariance)[1]
            grid.append(-0.5 * (determinant + t @ np.linalg.solve(covariance, t)) / len(F))
    assert max(grid) <= score < max(grid) + 2e-2


def test_streaming_equals_whole(case):
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((len(case.labels), 3))
    whole = log_maximum_evidence_of_targets(moments_of(case.features, targets))
    first = moments_of(torch.as_tensor(case.features[:17]), torch.as_tensor(targets[:17]))
    second = moments_of(case.features[17:], targets[17:])
    np.testing.assert_allclose(log_maximum_evidence_of_targets(first + second), whole, rtol=EXACT)


def test_targets_that_never_occur_change_nothing(tall):
    targets = np.hstack([(tall.labels[:, None] == np.arange(4)).astype(float), np.zeros((120, 2))])
    score = log_maximum_evidence_of_targets(moments_of(tall.features, targets))
    np.testing.assert_allclose(
        score, log_maximum_evidence(Moments.of(tall.features, tall.labels)), rtol=EXACT
    )


def test_errors():
    with pytest.raises(ValueError, match="targets is 0"):
        TargetMoments(2, 0)
    with pytest.raises(ValueError, match="targets has 2 rows, features 3 rows"):
        moments_of(np.eye(3), np.ones(2))
    with pytest.raises(ValueError, match=r"targets\[1, 0\] is nan"):
        moments_of(np.eye(2), [0.0, np.nan])
    with pytest.raises(ValueError, match="hold no samples"):
        log_maximum_evidence_of_targets(TargetMoments(2, 1))
    with pytest.raises(ValueError, match="targets are all 0"):
        log_maximum_evidence_of_targets(moments_of(np.eye(2), np.zeros(2)))
