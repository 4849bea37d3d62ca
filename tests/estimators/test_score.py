from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.estimators import MissingInputError, UnknownEstimatorError, score


def test_arrays_tensors_and_label_types_agree(case):
    expected = score(case.features, case.labels)
    names = [f"class {label}" for label in case.labels]
    for features, labels in (
        (torch.as_tensor(case.features), torch.as_tensor(case.labels)),
        (case.features.tolist(), case.labels.tolist()),
        (case.features, names),
    ):
        assert score(features, labels) == pytest.approx(expected, rel=1e-9)
    assert score(torch.as_tensor(case.features).float(), case.labels) == pytest.approx(expected, rel=1e-3)


def test_estimator_by_name(tall):
    source = tall.features[:50]
    assert score(tall.features, tall.labels, "sliced_wasserstein", source=source) < 0
    assert score(tall.features, estimator="sliced_wasserstein", source=source) < 0
    assert score(tall.features, estimator="feature_norm") > 0


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"features": np.zeros((0, 3)), "labels": []}, "features has no rows"),
        ({"features": np.zeros(3), "labels": [1, 2, 3]}, r"features has shape \(3,\)"),
        ({"features": np.zeros((3, 2)), "labels": [1, 2]}, "labels has 2 values, features 3 rows"),
        ({"features": np.zeros((2, 2)), "labels": ["a", "a"]}, "labels has one class only, 'a'"),
        ({"features": [[1.0], [np.nan]], "labels": [0, 1]}, r"features\[1, 0\] is nan"),
        ({"features": [[1.0], [np.inf]], "labels": [0, 1]}, r"features\[1, 0\] is inf"),
        ({"features": np.eye(2), "labels": [0, 1], "groups": ["a"]}, "groups has 1 values"),
    ],
)
def test_bad_arrays(arguments, match):
    with pytest.raises(ValueError, match=match):
        score(**arguments)


def test_missing_and_unknown():
    with pytest.raises(MissingInputError, match="logme needs labels="):
        score(np.eye(3))
    with pytest.raises(MissingInputError, match="sliced_wasserstein needs source="):
        score(np.eye(3), [0, 1, 0], "sliced_wasserstein")
    with pytest.raises(MissingInputError, match="depth needs metadata="):
        score(np.eye(3), [0, 1, 0], "depth")
    with pytest.raises(UnknownEstimatorError, match="did you mean logme"):
        score(np.eye(3), [0, 1, 0], "logm")
