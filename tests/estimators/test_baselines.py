from __future__ import annotations

import numpy as np
import pytest

from foretune.estimators import Inputs, Metadata, Moments, get_estimator
from foretune.estimators.baselines import feature_norm, random_score

HUBERT = Metadata("hubert", layer=3, depth=3, parameters=1000, dimension=96, other_tasks=0.75)


@pytest.mark.parametrize(
    ("name", "value"), [("parameters", 1000.0), ("depth", 3.0), ("dimension", 96.0), ("other_tasks", 0.75)]
)
def test_metadata_is_the_score(name, value):
    assert get_estimator(name).score(Inputs(metadata=HUBERT)) == value


def test_random_is_seeded_by_name_layer_and_seed():
    score = random_score(HUBERT, seed=1)
    assert score == random_score(Metadata("hubert", layer=3), seed=1)
    assert get_estimator("random").score(Inputs(metadata=HUBERT, seed=1)) == score
    others = {
        random_score(HUBERT, seed=2),
        random_score(Metadata("hubert", layer=4), seed=1),
        random_score(Metadata("wav2vec2", layer=3), seed=1),
    }
    assert len(others | {score}) == 4


def test_random_is_uniform():
    draws = np.array([random_score(Metadata(f"model{i}")) for i in range(1000)])
    assert 0 <= draws.min() < 0.02
    assert 0.98 < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 1000)


def test_feature_norm_worked_by_hand():
    assert feature_norm(Moments.of([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx(np.sqrt(13))


def test_feature_norm_equals_its_definition(case):
    expected = np.sqrt(np.mean(np.sum(case.features**2, axis=1)))
    np.testing.assert_allclose(feature_norm(Moments.of(case.features)), expected, rtol=1e-9)


def test_feature_norm_needs_samples():
    with pytest.raises(ValueError, match="hold no samples"):
        feature_norm(Moments(2))
