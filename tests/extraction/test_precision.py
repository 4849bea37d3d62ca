"""Half precision: near float32, and refused where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from foretune.extraction import LARGEST_DIFFERENCE, extract
from foretune.extraction.precision import CHECKED, relative_difference
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

HALF = {"bfloat16": 2**-7, "float16": 2**-9}  # relative spacing of the numbers, rounded up


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    return [
        Utterance(f"u{number}", rng.integers(-9_000, 9_000, 800 * (number + 1)).astype(np.int16))
        for number in range(4)
    ]


@pytest.fixture
def projecting(frame_statistics):
    """A candidate whose layers are matrix products, so that autocast changes them."""

    class Projecting(frame_statistics):
        def __init__(self, scale=1.0):
            super().__init__()
            self.module = nn.Linear(2, 2, bias=False)
            nn.init.constant_(self.module.weight, scale)

        def front_end_features(self, batch):
            features, lengths = super().front_end_features(batch)
            return self.module(features + 1), lengths

    return Projecting


def test_relative_difference_by_hand():
    exact = torch.tensor([[[3.0], [4.0], [float("nan")]]])
    near = torch.tensor([[[3.0], [4.5], [7.0]]])
    assert relative_difference(near, exact, torch.tensor([2])) == pytest.approx(0.1)
    assert relative_difference(exact, exact, torch.tensor([2])) == 0.0
    assert relative_difference(near * 0, exact * 0, torch.tensor([2])) == 0.0


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_near_float32_and_says_how_near(projecting, utterances, dtype):
    remarks = []
    half = list(extract(projecting(), utterances, dtype=dtype, batch_seconds=0.1, report=remarks.append))
    exact = list(extract(projecting(), utterances, batch_seconds=0.1))
    differences = []
    for one, other in zip(half, exact, strict=True):
        assert one.indices == other.indices
        layers = zip(one.states.layers, other.states.layers, strict=True)
        differences.append(max(relative_difference(*pair, other.states.lengths) for pair in layers))
    assert 0 < max(differences) < HALF[dtype]
    (remark,) = remarks  # of the first batch, once
    assert f"{dtype} differs by {differences[0]:.2g} from float32" in remark


def test_float32_is_not_checked(projecting, utterances):
    candidate, remarks = projecting(), []
    list(extract(candidate, utterances, report=remarks.append))
    assert (candidate.seen, remarks) == (4, [])


def test_what_overflows_is_refused(projecting, utterances):
    with pytest.raises(InputError, match=r"in float16 layer 0 differs by (nan|inf) from float32"):
        list(extract(projecting(scale=1e5), utterances, dtype="float16"))


def test_what_is_too_far_from_float32_is_refused(projecting, utterances):
    class Cancelling(projecting):
        def front_end_features(self, batch):
            features, lengths = super().front_end_features(batch)
            return features - self.module(torch.ones(2)), lengths  # leaves what bfloat16 has lost

    with pytest.raises(InputError, match=rf"{LARGEST_DIFFERENCE:g} is the most; use --dtype float32"):
        list(extract(Cancelling(), utterances, dtype="bfloat16"))


def test_the_caller_is_not_put_into_autocast(projecting, utterances):
    for _ in extract(projecting(), utterances, dtype="bfloat16"):
        assert not torch.is_autocast_enabled("cpu")


def test_an_unknown_precision_is_named(projecting, utterances):
    with pytest.raises(InputError, match="dtype float8: give float32, bfloat16 or float16"):
        list(extract(projecting(), utterances, dtype="float8"))


def test_a_few_of_the_longest_are_enough_to_check(projecting):
    speech = [Utterance(f"u{number}", np.full(1_600 + 160 * number, 99, np.int16)) for number in range(10)]
    candidate = projecting()
    list(extract(candidate, speech, dtype="bfloat16", batch_seconds=60.0))
    assert candidate.batch_sizes == [10, CHECKED]
