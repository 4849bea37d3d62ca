"""What cannot be scored is refused by name and first offending index, wherever it enters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.estimators import ESTIMATORS, Metadata, Moments, Reservoir, Samples, score

FEATURES = np.random.default_rng(0).standard_normal((6, 3))
LABELS = np.array(["a", "b", "a", "b", "a", "b"])
GROUPS = np.array([0, 0, 1, 1, 2, 2])
POSTERIORS = np.full((6, 2), 0.5)


def with_value(array, where, value):
    changed = np.array(array, dtype=object if isinstance(value, list) or value is None else None)
    changed[where] = value
    return changed


def reservoir(features, labels=None, groups=None):
    Reservoir(100).update(features, labels, groups)


ENTRANCES = [Moments.of, Samples.of, reservoir, score]


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("cast", [np.asarray, torch.as_tensor, lambda F: np.asarray(F, dtype=np.float32)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers(entrance, cast, value):
    features = with_value(with_value(FEATURES, (3, 1), value), (5, 0), value)
    with pytest.raises(ValueError, match=rf"features\[3, 1\] is {value}"):
        entrance(cast(features), LABELS)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_the_first_of_several_faults_far_into_the_data(entrance):
    features = np.zeros((9000, 2))
    features[8500, 1], features[8600, 0] = np.nan, np.inf
    labels = np.arange(9000) % 2
    with pytest.raises(ValueError, match=r"features\[8500, 1\] is nan"):
        entrance(features, labels)


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("features", "match"),
    [
        (np.zeros(6), r"features has shape \(6,\); it must be \(N, D\)"),
        (np.zeros((6, 3, 2)), r"features has shape \(6, 3, 2\)"),
        (np.zeros((6, 0)), "features has no columns"),
        (np.full((6, 3), "x"), "features has dtype <U1; it must be numbers"),
        (np.full((6, 3), 1j), "features has dtype complex128"),
        ([[1.0], [None], [2.0], [3.0], [4.0], [5.0]], "features has dtype object"),
    ],
)
def test_features_of_another_kind(entrance, features, match):
    with pytest.raises(ValueError, match=match):
        entrance(features, LABELS)


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[:5], "labels has 5 values, features 6 rows"),
        (np.append(LABELS, "a"), "labels has 7 values, features 6 rows"),
        ([], "labels has 0 values, features 6 rows"),
        (np.zeros((6, 2)), r"labels has shape \(6, 2\); it must be one value per row"),
        (with_value(LABELS, 2, None), r"labels\[2\] is None"),
        (np.array([0, 1, np.nan, 1, np.nan, 0]), r"labels\[2\] is nan"),
        (with_value(LABELS, 4, ["a", "b"]), r"labels\[4\] is a list, which is not hashable"),
    ],
)
def test_labels(entrance, labels, match):
    with pytest.raises(ValueError, match=match):
        entrance(FEATURES, labels)


@pytest.mark.parametrize("entrance", [Moments.of, Samples.of, lambda F, y, g: score(F, y, "knn", groups=g)])
@pytest.mark.parametrize(
    ("groups", "match"),
    [
        (GROUPS[:5], "groups has 5 values, features 6 rows"),
        (with_value(GROUPS, 1, None), r"groups\[1\] is None"),
        (np.array([0.0, 1, 2, np.nan, 0, 0]), r"groups\[3\] is nan"),
        (np.zeros((6, 1)), r"groups has shape \(6, 1\)"),
    ],
)
def test_groups(entrance, groups, match):
    with pytest.raises(ValueError, match=match):
        entrance(FEATURES, LABELS, groups)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "labels" in ESTIMATORS[name].needs])
def test_a_single_class(name, inputs_for):
    data = {
        "groups": GROUPS,
        "source": FEATURES,
        "source_labels": LABELS,
        "posteriors": POSTERIORS,
    }
    with pytest.raises(ValueError, match="labels has one class only, 'z'; there must be at least two"):
        score(FEATURES, ["z"] * 6, name, metadata=Metadata("m"), **data)
    with pytest.raises(ValueError, match="labels has one class only, 'z'; there must be at least two"):
        ESTIMATORS[name].score(inputs_for(name, FEATURES, ["z"] * 6, **data))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "labels" in ESTIMATORS[name].needs])
def test_no_samples(name, inputs_for):
    data = {"groups": [], "source": FEATURES, "source_labels": LABELS, "posteriors": np.zeros((0, 2))}
    with pytest.raises(ValueError, match="features has no rows; there must be at least two samples"):
        score(np.zeros((0, 3)), [], name, metadata=Metadata("m"), **data)
    with pytest.raises(ValueError, match=r"features has no rows|hold no samples|needs labels="):
        ESTIMATORS[name].score(inputs_for(name, np.zeros((0, 3)), [], **data))


@pytest.mark.parametrize(
    ("name", "argument", "value", "match"),
    [
        ("otce", "source", with_value(FEATURES, (2, 1), np.nan), r"source\[2, 1\] is nan; source must be"),
        ("otce", "source", np.zeros(3), r"source has shape \(3,\)"),
        ("otce", "source", np.zeros((0, 3)), "source has no rows"),
        ("otce", "source", np.zeros((6, 2)), "source has dimension 2, features 3"),
        ("tsne_distance", "source", np.zeros((6, 2)), "source has dimension 2, features 3"),
        ("sliced_wasserstein", "source", np.zeros((6, 2)), "source has dimension 2, features 3"),
        ("sliced_wasserstein", "source", np.ones((6, 3)), "source features are all constant"),
        ("otce", "source_labels", LABELS[:4], "source_labels has 4 values, source 6 rows"),
        ("otce", "source_labels", with_value(LABELS, 3, None), r"source_labels\[3\] is None"),
        ("leep", "posteriors", np.zeros((5, 2)), r"posteriors has shape \(5, 2\); it must be \(6, Z\)"),
        ("leep", "posteriors", np.zeros((6, 0)), "posteriors has no columns"),
        ("nce", "posteriors", with_value(POSTERIORS, (4, 0), 0.6), r"posteriors\[4\] is no distribution"),
        ("nce", "posteriors", with_value(POSTERIORS, (1, 0), np.nan), r"posteriors\[1\] is no distribution"),
        ("leep", "posteriors", with_value(POSTERIORS, (2, 0), np.inf), r"posteriors\[2\] is no distribution"),
        ("leep", "posteriors", [["a", "b"]] * 6, "posteriors has dtype <U1; it must be numbers"),
    ],
)
def test_other_arguments_of_score(name, argument, value, match):
    data = {"source": FEATURES, "source_labels": LABELS, "posteriors": POSTERIORS} | {argument: value}
    with pytest.raises(ValueError, match=match):
        score(FEATURES, LABELS, name, groups=GROUPS, **data)


class TestBatches:
    """What a batch may not change."""

    @pytest.mark.parametrize("kind", [lambda: Moments(3), lambda: Reservoir(100)])
    def test_the_dimension(self, kind):
        stream = kind()
        stream.update(FEATURES, LABELS)
        with pytest.raises(ValueError, match="features has dimension 4, 3 was expected"):
            stream.update(np.zeros((2, 4)), ["a", "b"])

    def test_whether_there_are_labels(self):
        moments = Moments(3)
        moments.update(FEATURES)
        with pytest.raises(ValueError, match="labels were given with some batches and not with others"):
            moments.update(FEATURES, LABELS)

    def test_the_classes_where_they_are_declared(self):
        moments = Moments(3, classes=["a", "b"])
        moments.update(FEATURES, LABELS)
        with pytest.raises(ValueError, match=r"labels\[1\] = 'c' is not among the classes given"):
            moments.update(FEATURES[:4], ["a", "c", "d", "c"])
        assert moments.n == 6

    def test_groups_are_kept_throughout(self):
        moments = Moments(3, grouped=True)
        moments.update(FEATURES, LABELS, GROUPS)
        with pytest.raises(ValueError, match="groups is missing"):
            moments.update(FEATURES, LABELS)
        assert moments.n == 6


class TestSubtraction:
    """What was not added cannot be taken out."""

    def test_more_samples_than_there_are(self):
        with pytest.raises(ValueError, match="subtraction leaves a negative count of samples"):
            Moments.of(FEATURES[:2], LABELS[:2]) - Moments.of(FEATURES, LABELS)

    def test_more_of_a_class_than_there_is(self):
        with pytest.raises(ValueError, match="subtraction leaves a negative count of class 'b'"):
            Moments.of(FEATURES, LABELS) - Moments.of(FEATURES[:4], list("bbbb"))

    def test_a_class_that_never_was(self):
        with pytest.raises(ValueError, match="subtraction leaves a negative count of class 'z'"):
            Moments.of(FEATURES, LABELS) - Moments.of(FEATURES[:1], ["z"])

    def test_a_group_that_never_was(self):
        with pytest.raises(ValueError, match="subtraction leaves a negative count of samples"):
            Moments.of(FEATURES, LABELS, GROUPS) - Moments.of(FEATURES[:2], LABELS[:2], [9, 9])


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_features_whose_powers_overflow(entrance):
    with pytest.raises(ValueError, match=r"features\[1, 2\] is -1e\+200; scale (the )?features down"):
        entrance(with_value(FEATURES, (1, 2), -1e200), LABELS)


@pytest.mark.parametrize("name", ["knn", "lda", "sfda", "pactran", "nleep", "parc"])
def test_features_whose_squares_underflow(name):
    with pytest.raises(ValueError, match="features are the same for every sample"):
        score(FEATURES * 1e-160, LABELS, name, groups=GROUPS)


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_infinities_of_both_signs(entrance):
    features = with_value(with_value(FEATURES, (2, 0), -np.inf), (1, 1), np.inf)
    with pytest.raises(ValueError, match=r"features\[1, 1\] is inf"):
        entrance(features, LABELS)
