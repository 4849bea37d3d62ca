"""Sums that gather on an accelerator equal those of the host."""

import numpy as np
import pytest
import torch

from foretune.estimators import Moments, moments
from foretune.estimators.device_sums import PANEL, DeviceSums, on_accelerator
from foretune.estimators.labels import Encoded
from foretune.estimators.validation import all_finite, as_tensor, bounded

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.cuda),
]


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    """A device whose tensors `Moments` treats as on an accelerator; the CPU stands in where there is none."""
    monkeypatch.setattr(moments, "on_accelerator", lambda features: isinstance(features, torch.Tensor))
    return torch.device(request.param)


def data(rows, dimension, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, dimension)) * rng.uniform(0.1, 3, dimension) + 5
    return features, rng.integers(0, 5, rows), rng.integers(0, 12, rows)


def assert_equal_statistics(one, other, rtol=1e-10):
    assert one.n == other.n
    assert one.classes == other.classes
    assert one.groups == other.groups
    for name in (
        "counts",
        "mean",
        "sums",
        "centred_sums",
        "second_moments",
        "class_variances",
        "gram",
        "scatter",
    ):
        expected = getattr(other, name)
        np.testing.assert_allclose(
            getattr(one, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name
        )
    assert one.fourth_moment == pytest.approx(other.fourth_moment, rel=rtol)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("class_gram", [False, True])
@pytest.mark.parametrize("dimension", [1, 7, PANEL, 2 * PANEL + 3])
def test_batches_on_a_device_give_what_arrays_give(device, grouped, class_gram, dimension):
    features, labels, groups = data(900, dimension)
    host = Moments.of(features, labels, groups if grouped else None, max_groups=4, class_gram=class_gram)
    streamed = Moments(dimension, grouped=grouped, max_groups=4, class_gram=class_gram)
    for rows in np.split(np.arange(900), [1, 300, 301, 700]):
        batch = torch.from_numpy(features[rows]).to(device)
        streamed.update(batch, labels[rows], groups[rows] if grouped else None)
    assert_equal_statistics(streamed, host)
    if class_gram:
        for label in host.classes:
            expected = host.class_scatter(label)
            np.testing.assert_allclose(
                streamed.class_scatter(label), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max()
            )


def test_reading_between_updates_and_batches_from_both_sides_change_nothing(device):
    features, labels, _ = data(300, 6)
    mixed = Moments(6)
    mixed.update(torch.from_numpy(features[:100]).to(device), labels[:100])
    assert mixed.n == 100
    mixed.update(features[100:200], labels[100:200])
    mixed.update(torch.from_numpy(features[200:]).to(device), labels[200:])
    assert_equal_statistics(mixed, Moments.of(features, labels))
    shards = Moments.of(features[:150], labels[:150])
    other = Moments(6)
    other.update(torch.from_numpy(features[150:]).to(device), labels[150:])
    assert_equal_statistics(shards + other, Moments.of(features, labels))


def test_without_labels(device):
    features, _, _ = data(50, 4)
    streamed = Moments(4)
    streamed.update(torch.from_numpy(features).to(device))
    np.testing.assert_allclose(streamed.scatter, Moments.of(features).scatter, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_other_types_are_taken_as_they_are_of_arrays(device, dtype):
    features, labels, _ = data(60, 5)
    tensor = torch.from_numpy(features).to(dtype)
    streamed = Moments(5)
    streamed.update(tensor.to(device), labels)
    expected = Moments.of(tensor.double().numpy(), labels)
    np.testing.assert_allclose(streamed.scatter, expected.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e80])
def test_what_is_not_finite_is_named_and_nothing_is_added(device, value):
    features, labels, _ = data(20, 3)
    features[17, 2] = value
    streamed = Moments(3)
    with pytest.raises(ValueError, match=r"features\[17, 2\]"):
        streamed.update(torch.from_numpy(features).to(device), labels)
    assert streamed.n == 0


def test_shapes_are_checked(device):
    with pytest.raises(ValueError, match="features has dimension 4, 3 was expected"):
        Moments(3).update(torch.zeros(2, 4, device=device), [0, 1])
    with pytest.raises(ValueError, match="labels has 1 values, features 2 rows"):
        Moments(3).update(torch.zeros(2, 3, device=device), [0])


def test_a_gram_matrix_takes_half_the_products():
    sums = DeviceSums(4 * PANEL, False, np.zeros(4 * PANEL), torch.device("cpu"))
    sums.add(torch.ones(1, 4 * PANEL), None, 0)
    computed = sum(panel.numel() for panel in sums._grams[-1])
    assert computed == 10 * PANEL**2  # of 16


def test_tensors_of_the_host_are_not_on_an_accelerator():
    assert not on_accelerator(torch.zeros(1))
    assert not on_accelerator(np.zeros(1))
    assert on_accelerator(torch.zeros(1, device="meta"))
    assert as_tensor(torch.zeros(1, requires_grad=True)).requires_grad is False


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e80])
def test_one_look_at_all_layers_sees_what_is_not_finite(device, value):
    layers = [torch.zeros(4, 3, dtype=torch.float64, device=device) for _ in range(3)]
    assert bounded([*layers, torch.zeros(0, 3, device=device)])
    layers[1][2, 0] = value
    assert not bounded(layers)


def test_of_the_host_nothing_is_said():
    assert not all_finite([torch.zeros(2, 2)])
    assert not all_finite([np.zeros((2, 2))])


def test_labels_that_have_been_encoded_are_those_they_were_made_of():
    features, labels, groups = data(90, 4)
    encoded = Moments(4, grouped=True)
    encoded.update(features, Encoded.of(labels, "labels"), Encoded.of(groups, "groups"), finite=True)
    assert_equal_statistics(encoded, Moments.of(features, labels, groups))
    with pytest.raises(ValueError, match="labels has 2 values, features 90 rows"):
        Moments(4).update(features, Encoded.of(["a", "b"], "labels"))
