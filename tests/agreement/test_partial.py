"""Spearman's correlation with a covariate held fixed: formula, naive permutation test, undefined cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from foretune.agreement import partial_spearman, spearman
from foretune.tasks.errors import InputError

EXACT = 1e-9
CASES = [
    ([1, 5, 2, 4, 3], [2, 5, 1, 3, 4], [1, 2, 3, 4, 5]),
    ([3, 1, 2, 6, 5, 4], [10, 10, 30, 20, 60, 50], [1, 1, 2, 2, 3, 3]),  # with ties
    ([0.3, 0.1, 0.2, 0.9], [4, 1, 2, 3], [7, 9, 7, 8]),
]


def from_pairs(x, y, z):
    """The formula of a partial correlation from the three pairwise ones."""
    xy, xz, yz = (scipy.stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    return (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))


def naive_p_value(x, y, z):
    """Freedman and Lane: permute what regression leaves of y, add the fit, and regress anew."""
    a, b, c = (scipy.stats.rankdata(each) for each in (x, y, z))
    design = np.column_stack([np.ones(len(c)), c])

    def left(values):
        return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]

    def correlation(values):
        u, v = left(a), left(values)
        square = (u @ u) * (v @ v)
        return u @ v / math.sqrt(square) if square > EXACT else 0.0

    fitted, rest = b - left(b), left(b)
    observed = abs(correlation(b))
    null = [abs(correlation(fitted + rest[list(order)])) for order in itertools.permutations(range(len(b)))]
    return sum(each >= observed - EXACT for each in null) / len(null)


@pytest.mark.parametrize(("x", "y", "z"), CASES)
def test_equals_the_formula_and_the_naive_test(x, y, z):
    found = partial_spearman(x, y, z)
    assert found.rho == pytest.approx(from_pairs(x, y, z), rel=EXACT)
    assert found.p_value == pytest.approx(naive_p_value(x, y, z), rel=EXACT)
    assert found.p_value_error == 0.0


@pytest.mark.parametrize(("x", "y", "z"), CASES)
def test_symmetric_and_blind_to_increasing_functions(x, y, z):
    found = partial_spearman(x, y, z).rho
    assert partial_spearman(y, x, z).rho == pytest.approx(found, rel=EXACT)
    assert partial_spearman(np.exp(x), y, np.log(z)).rho == pytest.approx(found, rel=EXACT)
    assert partial_spearman(x, -np.array(y), z).rho == pytest.approx(-found, rel=EXACT)


def test_a_constant_covariate_holds_nothing_fixed():
    x, y, _ = CASES[0]
    plain, found = spearman(x, y), partial_spearman(x, y, [3] * 5)
    assert (found.rho, found.p_value) == pytest.approx((plain.rho, plain.p_value), rel=EXACT)


def test_more_candidates_than_can_be_permuted():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(3, 9))
    x = x + y  # they agree, whatever z
    found = partial_spearman(x, y, z, draws=4000, seed=1)
    assert found.rho == pytest.approx(from_pairs(x, y, z), rel=EXACT)
    again = partial_spearman(x, y, z, draws=4000, seed=2)
    assert found.p_value != again.p_value
    assert abs(found.p_value - again.p_value) < 4 * math.hypot(found.p_value_error, again.p_value_error)
    assert found.p_value == partial_spearman(x, y, z, draws=4000, seed=1).p_value


def test_scores_that_only_know_the_size_have_nothing_left():
    size = np.array([1, 2, 3, 4, 5, 6])
    noise = np.array([0.4, -0.3, 0.1, -0.4, 0.3, -0.1])
    assert spearman(size + noise, size - noise).rho > 0.8
    assert partial_spearman(10 * size, size + 3 * noise, size) is None  # the score is the size
    assert partial_spearman(size + 3 * noise, size**2, size) is None  # the value rises with size throughout


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2, 3], [1, 3, 2]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2, 3, 4], [5, 5, 5, 5])]
)
def test_not_defined(x, y):
    assert partial_spearman(x, y, range(len(x))) is None


def test_lengths():
    with pytest.raises(InputError, match="4 candidates, but values: 5"):
        partial_spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4])


def test_rejects_as_often_as_it_should_when_only_size_connects_the_two():
    rng = np.random.default_rng(0)
    studies, rejected = 400, 0
    for _ in range(studies):
        size = rng.normal(size=12)
        found = partial_spearman(size + rng.normal(size=12), size + rng.normal(size=12), size, draws=399)
        rejected += found.p_value <= 0.05
    # 5 %, and 3 binomial standard errors of 400 studies (1.1 %)
    assert 0.017 <= rejected / studies <= 0.083
