from __future__ import annotations

import numpy as np
import pytest
import torch

from foretune.estimators import Moments

EXACT = 1e-12
STREAMED = 1e-10
SINGLE_PRECISION = 1e-5


def statistics(moments):
    """Return every array a Moments offers."""
    arrays = {
        name: np.asarray(getattr(moments, name))
        for name in (
            "n",
            "counts",
            "mean",
            "sums",
            "centred_sums",
            "class_means",
            "second_moments",
            "class_variances",
            "gram",
            "scatter",
            "fourth_moment",
        )
    }
    if moments.has_class_gram:
        for label in moments.classes:
            arrays[f"class scatter {label}"] = moments.class_scatter(label)
    return arrays


def assert_same(moments, others, rtol):
    assert moments.classes == others.classes
    expected = statistics(others)
    for name, value in statistics(moments).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], rtol=rtol, atol=rtol * scale, err_msg=name)


def test_two_samples_worked_by_hand():
    moments = Moments.of([[1.0, 2.0], [3.0, 6.0]], ["b", "a"])
    assert moments.n == 2
    assert moments.classes == ("a", "b")
    np.testing.assert_allclose(moments.counts, [1, 1])
    np.testing.assert_allclose(moments.mean, [2, 4])
    np.testing.assert_allclose(moments.sums, [[3, 6], [1, 2]])
    np.testing.assert_allclose(moments.gram, [[10, 20], [20, 40]])
    np.testing.assert_allclose(moments.scatter, [[2, 4], [4, 8]])
    np.testing.assert_allclose(moments.second_moments, [[9, 36], [1, 4]])
    np.testing.assert_allclose(moments.class_variances, [[0, 0], [0, 0]], atol=EXACT)
    np.testing.assert_allclose(moments.fourth_moment, 50)  # ‖(1, 2)‖⁴ = 25, twice
    np.testing.assert_allclose(moments.spectrum.values, [0, 50], atol=EXACT)


def test_equals_definitions(case):
    F, y = case.features, case.labels
    moments = Moments.of(F, y, class_gram=True)
    centred = F - F.mean(axis=0)
    np.testing.assert_allclose(moments.gram, F.T @ F, rtol=EXACT, atol=1e-10)
    np.testing.assert_allclose(moments.scatter, centred.T @ centred, rtol=EXACT, atol=1e-10)
    np.testing.assert_allclose(moments.fourth_moment, np.sum(np.sum(centred**2, axis=1) ** 2), rtol=EXACT)
    for row, label in enumerate(moments.classes):
        own = F[y == label]
        np.testing.assert_allclose(moments.sums[row], own.sum(axis=0), rtol=1e-9)
        np.testing.assert_allclose(moments.centred_sums[row], centred[y == label].sum(axis=0), atol=1e-10)
        np.testing.assert_allclose(moments.class_means[row], own.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(moments.second_moments[row], (own**2).sum(axis=0), rtol=EXACT)
        np.testing.assert_allclose(moments.class_variances[row], own.var(axis=0), rtol=1e-9)
        scatter = np.cov(own.T, bias=True) * len(own)
        np.testing.assert_allclose(moments.class_scatter(label), scatter, rtol=1e-9, atol=1e-10)


def test_variance_survives_features_far_from_zero(tall):
    far = tall.features + 1e8
    exact = Moments.of(tall.features).scatter
    np.testing.assert_allclose(Moments.of(far).scatter, exact, rtol=1e-6)
    naive = far.T @ far - len(far) * np.outer(far.mean(axis=0), far.mean(axis=0))
    assert np.abs(naive - exact).max() > 1  # what raw sums would have left of it


@pytest.mark.parametrize("class_gram", [False, True])
@pytest.mark.parametrize("cuts", [[1], [3, 7], list(range(1, 40))])
def test_any_batching_equals_whole(case, cuts, class_gram):
    whole = Moments.of(case.features, case.labels, class_gram=class_gram)
    streamed = Moments(case.features.shape[1], class_gram=class_gram)
    for rows in np.split(np.arange(len(case.labels)), cuts):
        streamed.update(case.features[rows], case.labels[rows])
    assert_same(streamed, whole, STREAMED)


def test_blocks_equal_whole():
    rng = np.random.default_rng(0)
    F, y = rng.standard_normal((10_000, 3)), rng.integers(0, 3, 10_000)
    moments = Moments.of(F, y)
    np.testing.assert_allclose(moments.gram, F.T @ F, rtol=STREAMED, atol=1e-8)
    np.testing.assert_allclose(moments.counts, np.bincount(y))


@pytest.mark.parametrize("class_gram", [False, True])
def test_sums_of_shards_equal_whole(case, class_gram):
    order = np.random.default_rng(1).permutation(len(case.labels))
    shards = [
        Moments.of(case.features[rows], case.labels[rows], class_gram=class_gram)
        for rows in np.array_split(order, 4)
    ]
    merged = shards[3] + shards[1] + shards[0] + shards[2]
    assert_same(merged, Moments.of(case.features, case.labels, class_gram=class_gram), STREAMED)


def test_shards_with_different_classes_merge():
    first, second = Moments.of([[1.0], [2.0]], ["x", "y"]), Moments.of([[4.0], [8.0]], ["z", "x"])
    merged = first + second
    assert merged.classes == ("x", "y", "z")
    np.testing.assert_allclose(merged.sums, [[9], [2], [4]])
    assert_same(second + first, merged, EXACT)


@pytest.mark.parametrize("class_gram", [False, True])
def test_subtraction_undoes_addition(case, class_gram):
    half = len(case.labels) // 2
    first = Moments.of(case.features[:half], case.labels[:half], class_gram=class_gram)
    second = Moments.of(case.features[half:], case.labels[half:], class_gram=class_gram)
    assert_same((first + second) - second, first, 1e-9)


def test_subtracting_a_whole_class_leaves_no_trace_of_it():
    F = np.random.default_rng(0).standard_normal((6, 3))
    rest = Moments.of(F, list("aabbcc"), class_gram=True) - Moments.of(F[2:4], list("bb"), class_gram=True)
    assert rest.classes == ("a", "c")
    with pytest.raises(ValueError, match="no samples of class 'b'"):
        rest.class_scatter("b")


def test_empty_moments_are_neutral():
    moments = Moments.of([[1.0, 2.0]], ["a"])
    assert_same(Moments(2) + moments, moments, EXACT)
    assert_same(moments + Moments(2), moments, EXACT)
    assert Moments(2).n == 0
    assert Moments(2).classes == ()
    np.testing.assert_array_equal(Moments(2).gram, np.zeros((2, 2)))


def test_groups_are_kept_apart(case):
    moments = Moments.of(case.features, case.labels, case.groups, max_groups=None)
    assert moments.groups == tuple(sorted(set(case.groups)))
    for name in moments.groups:
        inside = case.groups == name
        assert_same(moments.group(name), Moments.of(case.features[inside], case.labels[inside]), STREAMED)
        rest = Moments.of(case.features[~inside], case.labels[~inside])
        assert_same(moments.without(name), rest, 1e-8)
    whole = Moments.of(case.features, case.labels)
    assert_same(moments, whole, STREAMED)
    assert_same(moments.pooled(), whole, STREAMED)


def test_groups_hash_into_few(case):
    moments = Moments.of(case.features, case.labels, case.groups, max_groups=3)
    assert 1 < len(moments.groups) <= 3
    assert_same(moments, Moments.of(case.features, case.labels), STREAMED)
    again = Moments(case.features.shape[1], grouped=True, max_groups=3)
    for i in range(len(case.labels)):
        again.update(case.features[i : i + 1], case.labels[i : i + 1], case.groups[i : i + 1])
    assert again.groups == moments.groups
    for key in moments.groups:
        assert_same(again.group(key), moments.group(key), STREAMED)


def test_few_groups_keep_their_names(case):
    assert Moments.of(case.features, case.labels, case.groups).groups == tuple(sorted(set(case.groups)))


def test_merging_hashes_where_there_are_too_many(case):
    whole = Moments.of(case.features, case.labels, case.groups, max_groups=3)
    shards = [
        Moments.of(case.features[rows], case.labels[rows], case.groups[rows], max_groups=3)
        for rows in (np.flatnonzero(case.groups == name) for name in sorted(set(case.groups)))
    ]
    assert shards[0].groups == ("speaker0",)
    merged = shards[0]
    for shard in shards[1:]:
        merged = merged + shard
    assert merged.groups == whole.groups
    for key in whole.groups:
        assert_same(merged.group(key), whole.group(key), STREAMED)
    rest = merged - shards[0]
    outside = case.groups != "speaker0"
    assert_same(rest, Moments.of(case.features[outside], case.labels[outside]), 1e-8)


def test_a_group_taken_out_is_a_copy(tall):
    moments = Moments.of(tall.features, tall.labels, tall.groups, max_groups=None)
    before = moments.gram.copy()
    key = moments.groups[0]
    for taken in (moments.group(key), moments.pooled(), moments + Moments(7, grouped=True, max_groups=None)):
        taken.update(tall.features, tall.labels, tall.groups)
    np.testing.assert_array_equal(moments.pooled().gram, before)


def test_reading_does_not_freeze(tall):
    moments = Moments(7)
    for rows in np.array_split(np.arange(120), 3):
        moments.update(tall.features[rows], tall.labels[rows])
        assert moments.spectrum.values.shape == (7,)
        assert moments.centred_spectrum.values.shape == (7,)
    assert_same(moments, Moments.of(tall.features, tall.labels), STREAMED)


def test_labels_of_any_type():
    F = np.arange(8.0).reshape(4, 2)
    mixed = Moments.of(F, [("a", 1), "b", 3, ("a", 1)])
    assert mixed.classes == (3, "b", ("a", 1))
    by_tensor = Moments.of(F, torch.tensor([5, 4, 4, 5]))
    assert by_tensor.classes == (4, 5)
    assert_same(by_tensor, Moments.of(F, [5, 4, 4, 5]), EXACT)
    assert Moments.of(F, np.array(["x", "y", "x", "y"])).classes == ("x", "y")


def test_declared_classes_without_samples_are_left_out():
    moments = Moments(1, classes=["never", "a", "b"])
    moments.update([[1.0], [2.0]], ["b", "a"])
    assert moments.classes == ("a", "b")
    np.testing.assert_allclose(moments.sums, [[2], [1]])


def test_no_labels():
    moments = Moments.of([[1.0, 0.0], [0.0, 2.0]], class_gram=True)
    assert moments.classes == ()
    np.testing.assert_allclose(moments.gram, [[1, 0], [0, 4]], atol=EXACT)
    rest = moments - Moments.of([[1.0, 0.0]], class_gram=True)
    np.testing.assert_allclose(rest.gram, [[0, 0], [0, 4]], atol=EXACT)


def test_constant_features_have_no_scatter():
    moments = Moments.of(np.full((50, 3), 7.25), np.arange(50) % 2)
    np.testing.assert_array_equal(moments.scatter, np.zeros((3, 3)))
    np.testing.assert_array_equal(moments.class_variances, np.zeros((2, 3)))


@pytest.mark.parametrize(
    "cast",
    [np.float32, torch.as_tensor, lambda F: torch.as_tensor(F).float(), np.asfortranarray],
    ids=["float32", "tensor", "float32 tensor", "column-major"],
)
def test_dtypes(case, cast):
    moments = Moments.of(cast(case.features), case.labels)
    assert moments.gram.dtype == np.float64
    assert_same(moments, Moments.of(case.features, case.labels), SINGLE_PRECISION)


def test_half_precision_and_gradients():
    F = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for tensor in (F.bfloat16(), F.half(), F.requires_grad_()):
        np.testing.assert_allclose(Moments.of(tensor).gram, [[10, 14], [14, 20]], rtol=EXACT)


@pytest.mark.parametrize(
    ("features", "labels", "match"),
    [
        (np.zeros(3), [0, 1, 2], r"features has shape \(3,\)"),
        (np.zeros((3, 4)), [0, 1, 2], "features has dimension 4, 2 was expected"),
        ([[0.0, 1.0], [np.nan, 1.0]], [0, 1], r"features\[1, 0\] is nan"),
        ([[0.0, 1.0], [1.0, -np.inf]], [0, 1], r"features\[1, 1\] is -inf"),
        (np.full((2, 2), 1e100), [0, 1], r"features\[0, 0\] is 1e\+100; scale the features down"),
        (np.zeros((2, 2)), [0, 1, 2], "labels has 3 values, features 2 rows"),
        (np.zeros((2, 2)), [0, None], r"labels\[1\] is None"),
        (np.zeros((2, 2)), [0.0, np.nan], r"labels\[1\] is nan"),
        (np.zeros((2, 2)), [0, [1]], r"labels\[1\] is a list, which is not hashable"),
        (np.zeros((2, 2)), np.zeros((2, 1)), r"labels has shape \(2, 1\)"),
        (np.zeros((2, 2)), None, "labels were given with some batches and not with others"),
        (np.array([["a", "b"]]), ["a"], "features has dtype <U1"),
    ],
)
def test_bad_batches_name_the_argument_and_change_nothing(features, labels, match):
    moments = Moments.of([[1.0, 2.0], [2.0, 1.0]], [0, 1])
    before = statistics(moments)
    with pytest.raises(ValueError, match=match):
        moments.update(features, labels)
    for name, value in statistics(moments).items():
        np.testing.assert_array_equal(value, before[name])


def test_nan_far_into_a_batch_is_located():
    F = np.zeros((9000, 2), dtype=np.float32)
    F[8000, 1] = np.nan
    with pytest.raises(ValueError, match=r"features\[8000, 1\] is nan"):
        Moments.of(F)


def test_unknown_label_is_named():
    moments = Moments(1, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"labels\[2\] = 'c' is not among the classes"):
        moments.update(np.zeros((3, 1)), ["a", "b", "c"])


def test_bad_settings():
    with pytest.raises(ValueError, match="dimension is 0"):
        Moments(0)
    with pytest.raises(ValueError, match="max_groups is 0"):
        Moments(1, max_groups=0)
    with pytest.raises(ValueError, match="has no columns"):
        Moments.of(np.zeros((2, 0)))
    with pytest.raises(ValueError, match="groups is missing"):
        Moments(1, grouped=True).update([[1.0]], [0])
    with pytest.raises(ValueError, match="no Gram matrices of classes"):
        Moments.of([[1.0]], [0]).class_scatter(0)
    with pytest.raises(ValueError, match="no group 'x'"):
        Moments(1, grouped=True).group("x")


def test_bad_arithmetic():
    one = Moments.of([[1.0]], ["a"])
    with pytest.raises(ValueError, match="dimension 1 and 2 do not combine"):
        one + Moments(2)
    with pytest.raises(ValueError, match="different settings"):
        one + Moments(1, class_gram=True)
    with pytest.raises(ValueError, match="with labels and moments without"):
        one + Moments.of([[1.0]])
    with pytest.raises(ValueError, match="negative count of samples"):
        one - Moments.of([[1.0], [2.0]], ["a", "a"])
    with pytest.raises(ValueError, match="negative count of class 'b'"):
        one - Moments.of([[1.0]], ["b"])


def test_moments_made_for_some_classes_take_no_others():
    closed, opened = Moments(2, classes="ab"), Moments(2)
    closed.update(np.eye(2), ["a", "b"])
    opened.update(np.eye(2), ["a", "c"])
    for one, other in ((closed, opened), (opened, closed)):
        with pytest.raises(ValueError, match="classes: 'c' is not among those"):
            one + other
    assert (closed + Moments.of(np.eye(2), ["b", "b"])).counts.tolist() == [1, 3]


def test_subtracting_a_group_that_was_never_added_names_it():
    moments = Moments.of(np.eye(2), ["a", "b"], ["x", "y"], max_groups=None)
    with pytest.raises(ValueError, match="negative count of samples of group 'z'"):
        moments - Moments.of(np.eye(2), ["a", "b"], ["x", "z"], max_groups=None)
