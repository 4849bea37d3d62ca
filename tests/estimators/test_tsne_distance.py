from __future__ import annotations

import numpy as np
import pytest

from foretune.estimators import Samples
from foretune.estimators.tsne import embed
from foretune.estimators.tsne_distance import tsne_distance


def draw(samples, dimension, shift=0.0, seed=0):
    return Samples.of(np.random.default_rng(seed).standard_normal((samples, dimension)) + shift)


def definition(source, target, seed):
    """The distance of the medians, in an embedding of both sets together."""
    joint = np.vstack([source, target])
    X = joint - joint.mean(axis=0)
    places = embed(X / np.sqrt(np.mean(X**2)), perplexity=min(30, (len(X) - 1) / 3), seed=seed)
    middle = places.mean(axis=0)
    radius = np.sqrt(sum(np.sum((place - middle) ** 2) for place in places) / len(places))
    first, second = (np.median(part, axis=0) for part in np.split(places, [len(source)]))
    return -np.hypot(*(first - second)) / radius


@pytest.mark.parametrize(("samples", "dimension", "rank"), [(30, 4, 4), (12, 40, 40), (20, 9, 3)])
def test_equals_its_definition(samples, dimension, rank):
    rng = np.random.default_rng(2)
    mixing = rng.standard_normal((rank, dimension))
    source, target = (rng.standard_normal((samples, rank)) @ mixing + shift for shift in (0.0, 0.5))
    score = tsne_distance(Samples.of(source), Samples.of(target), seed=5)
    np.testing.assert_allclose(score, definition(source, target, 5), rtol=1e-9)


def test_far_sets_are_farther_apart_than_near_ones():
    source = draw(25, 6)
    # an embedding is chaotic: of near sets, the mean over draws
    near = np.mean([tsne_distance(source, draw(25, 6, 0.0, seed=seed)) for seed in range(1, 9)])
    far = tsne_distance(source, draw(25, 6, 20.0, seed=1))
    assert far < near <= 0
    # two separate clusters, scaled to root mean square radius 1, lie about 2 apart
    assert -2.3 < far < -1.5
    assert near > -0.6


def test_seeded_and_bounded():
    source, target = draw(100, 4), draw(100, 4, 1.0, seed=1)
    score = tsne_distance(source, target, limit=20)
    # at most 20 of each count: rows that the draw leaves out change nothing
    kept = source.subsample(20, 0).features
    assert tsne_distance(Samples.of(kept), target, limit=20) == score


def test_scale_does_not_matter():
    source, target = draw(12, 4), draw(12, 4, 1.0, seed=1)
    scaled = [Samples.of(s.features * 1024.0) for s in (source, target)]
    assert tsne_distance(*scaled) == pytest.approx(tsne_distance(source, target), rel=1e-6)


def test_limits():
    constant = Samples.of(np.ones((5, 3)))
    assert tsne_distance(constant, constant) == 0
    one_feature = tsne_distance(draw(12, 1), draw(12, 1, 9.0, seed=1))
    assert -2.3 < one_feature < -1


def test_errors():
    with pytest.raises(ValueError, match="source has dimension 3, features 4"):
        tsne_distance(draw(5, 3), draw(5, 4))
    with pytest.raises(ValueError, match="at least 4 samples, source and target together have 3"):
        tsne_distance(draw(1, 3), draw(2, 3))
