from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from foretune.estimators import Samples
from foretune.estimators.sliced_wasserstein import (
    _distance,
    sliced_wasserstein,
    sliced_wasserstein_by_time,
    standardise,
)

EXACT = 1e-9


def draw(samples, dimension, shift=0.0, seed=0):
    return Samples.of(np.random.default_rng(seed).standard_normal((samples, dimension)) + shift)


def test_one_feature_worked_by_hand():
    # standardised: source -1, 1; target 1, 3. In one dimension every direction is ±1: each point moves by 2
    source, target = Samples.of([[0.0], [2.0]]), Samples.of([[2.0], [4.0]])
    assert sliced_wasserstein(source, target) == pytest.approx(-2)
    assert sliced_wasserstein(source, target, order=1) == pytest.approx(-2)


@pytest.mark.parametrize(("samples", "dimension"), [(40, 5), (20, 50)])
def test_equals_its_definition(samples, dimension):
    source, target = draw(samples, dimension), draw(samples + 11, dimension, shift=0.3, seed=1)
    x = (source.features - source.features.mean(axis=0)) / source.features.std(axis=0)
    y = (target.features - source.features.mean(axis=0)) / source.features.std(axis=0)
    directions = np.random.default_rng(7).standard_normal((dimension, 30))
    directions /= np.linalg.norm(directions, axis=0)
    distances = [wasserstein_distance(x @ v, y @ v) for v in directions.T]
    score = sliced_wasserstein(source, target, projections=30, order=1, seed=7)
    np.testing.assert_allclose(score, -np.mean(distances), rtol=EXACT)


def test_features_of_any_rank_equal_the_definition(case):
    source, target = case.features[::2], case.features[1::2] + 0.2
    mean, deviation = source.mean(axis=0), source.std(axis=0)
    directions = np.random.default_rng(3).standard_normal((source.shape[1], 50))
    squares = []
    for v in (directions / np.linalg.norm(directions, axis=0)).T:
        x, y = (
            sorted(sum(a * b for a, b in zip((row - mean) / deviation, v, strict=True)) for row in rows)
            for rows in (source, target)
        )
        squares.append(np.mean([(a - b) ** 2 for a, b in zip(x, y, strict=True)]))
    score = sliced_wasserstein(Samples.of(source), Samples.of(target), seed=3)
    np.testing.assert_allclose(score, -np.sqrt(np.mean(squares)), rtol=EXACT)


def test_second_order_equals_its_definition():
    source, target = draw(40, 3), draw(40, 3, shift=0.3, seed=1)
    x, y = standardise(source.features, target.features)
    directions = np.random.default_rng(0).standard_normal((3, 50))
    directions /= np.linalg.norm(directions, axis=0)
    squares = (np.sort(x @ directions, axis=0) - np.sort(y @ directions, axis=0)) ** 2
    np.testing.assert_allclose(sliced_wasserstein(source, target), -np.sqrt(squares.mean()), rtol=EXACT)


def test_order_scale_and_place_of_the_features_do_not_matter():
    source, target = draw(50, 8), draw(60, 8, shift=1.0, seed=1)
    score = sliced_wasserstein(source, target)
    scales = np.geomspace(1e-2, 1e2, 8)
    for other in (
        sliced_wasserstein(Samples.of(source.features[::-1]), Samples.of(target.features[::-1])),
        sliced_wasserstein(Samples.of(source.features * scales), Samples.of(target.features * scales)),
        sliced_wasserstein(Samples.of(source.features + 5), Samples.of(target.features + 5)),
    ):
        np.testing.assert_allclose(other, score, rtol=EXACT)


def test_farther_is_worse_and_the_same_is_best():
    source = draw(200, 10)
    scores = [sliced_wasserstein(source, draw(200, 10, shift, seed=1)) for shift in (0.0, 0.5, 1.0, 4.0)]
    assert scores == sorted(scores, reverse=True)
    assert sliced_wasserstein(source, source) == 0


def test_seed_decides_the_directions():
    source, target = draw(50, 8), draw(60, 8, seed=1)
    assert sliced_wasserstein(source, target, seed=3) == sliced_wasserstein(source, target, seed=3)
    assert sliced_wasserstein(source, target, seed=3) != sliced_wasserstein(source, target, seed=4)


def test_feature_that_is_constant_in_the_source_is_measured_on_the_typical_scale():
    x, y = standardise(np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[2.0, 6.0]]))
    typical = np.sqrt(1 / 2)
    np.testing.assert_allclose(x, [[-1, 0], [1, 0]])
    np.testing.assert_allclose(y, [[0, 1 / typical]])


def test_float32_is_computed_in_float64():
    source, target = draw(50, 8), draw(60, 8, seed=1)
    single = [Samples.of(s.features.astype(np.float32)) for s in (source, target)]
    np.testing.assert_allclose(sliced_wasserstein(*single), sliced_wasserstein(source, target), rtol=1e-5)


def test_by_time_worked_by_hand():
    # one feature, standardised by source mean 0 and deviation 1; step 0 moves by 1, step 1 by 3
    source = [np.array([[-1.0], [1.0]]), np.array([[1.0], [-1.0]])]
    target = [np.array([[0.0], [4.0]]), np.array([[2.0], [2.0]]), np.array([[1.0]])]
    assert sliced_wasserstein_by_time(source, target[:2]) == pytest.approx(-2)
    # a third step that one target utterance has alone does not count
    longer = [np.vstack([target[0], [[9.0]]]), target[1]]
    assert sliced_wasserstein_by_time(source, longer) == pytest.approx(-2)


def test_by_time_of_one_step_is_pooled():
    source, target = draw(30, 4), draw(20, 4, 1.0, seed=1)
    by_time = sliced_wasserstein_by_time(
        [row[None] for row in source.features], [row[None] for row in target.features]
    )
    np.testing.assert_allclose(by_time, sliced_wasserstein(source, target), rtol=EXACT)


def test_by_time_errors():
    with pytest.raises(ValueError, match="source or target has no utterance"):
        sliced_wasserstein_by_time([], [np.ones((2, 1))])
    with pytest.raises(ValueError, match="no time step has 2 utterances"):
        sliced_wasserstein_by_time([np.eye(2)], [np.eye(2)])


def test_errors():
    with pytest.raises(ValueError, match="source has dimension 3, features 4; take one layer"):
        sliced_wasserstein(draw(5, 3), draw(5, 4))
    with pytest.raises(ValueError, match="the source features are all constant"):
        sliced_wasserstein(Samples.of(np.ones((5, 3))), draw(5, 3))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("sources", "targets"), [(30, 30), (30, 20), (7, 31), (1, 5), (12, 18)])
def test_equals_pot_on_the_same_directions(sources, targets, order):
    import ot

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((sources, 4)), rng.standard_normal((targets, 4)) + 0.5
    directions = np.random.default_rng(3).standard_normal((4, 50))
    directions /= np.linalg.norm(directions, axis=0)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions, p=order)
    assert _distance(x, y, 50, order, seed=3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("sources", "targets"), [(5, 5), (6, 4), (3, 8)])
def test_one_dimension_equals_the_optimal_assignment(sources, targets):
    # every sample in as many copies as make the sets equal in size: all assignments, by their cost
    from scipy.optimize import linear_sum_assignment

    rng = np.random.default_rng(1)
    x, y = rng.standard_normal(sources), rng.standard_normal(targets)
    many = np.lcm(sources, targets)
    costs = (np.repeat(x, many // sources)[:, None] - np.repeat(y, many // targets)) ** 2
    expected = np.sqrt(costs[linear_sum_assignment(costs)].mean())
    assert _distance(x[:, None], y[:, None], 1, 2, seed=0) == pytest.approx(expected, rel=1e-12)
