"""Whether the seeds of fine-tuning agree on a setting, by cases worked by hand."""

from __future__ import annotations

import statistics

import pytest

from foretune.ground_truth import Outcome
from foretune.seeds import SeedAgreement, pooled, seed_agreement

EXACT = 1e-12


def agreement(*runs, first=0):
    return seed_agreement(
        [
            Outcome(
                statistics.fmean(values),
                statistics.stdev(values) if len(values) > 1 else None,
                len(values),
                1.0,
                by_seed=dict(enumerate(values, start=first)),
            )
            for values in runs
        ]
    )


def test_both_figures_by_hand():
    found = agreement([0.1, 0.1, 0.1], [0.2, 0.2, 0.3], [0.3, 0.3, 0.2])
    assert found.spread == pytest.approx(0.8 / 3 - 0.1, rel=EXACT)
    # variances 0, 1/300 and 1/300
    assert found.deviation == pytest.approx((2 / 900) ** 0.5, rel=EXACT)
    # seeds 0 and 1: ρ = 1; either with seed 2: 1 - 6 · 2 / 24 = 0.5; of their mean r = 2/3: 3 r / (1 + 2 r)
    assert found.split_half == pytest.approx(6 / 7, rel=EXACT)
    assert (found.near, found.mixed, found.disagree) == (True, True, True)
    assert str(found) == "spread 3.5 deviations, split-half 0.86"


def test_one_candidate_far_off_hides_the_others_from_the_spread():
    found = agreement([-1.0, -1.0, -1.0], [0.2, 0.2, 0.3], [0.3, 0.3, 0.2])
    assert found.ratio > 20
    assert (found.near, found.mixed, found.disagree) == (False, True, True)


def test_seeds_that_agree():
    found = agreement([0.1, 0.11, 0.1], [0.2, 0.2, 0.21], [0.3, 0.3, 0.31])
    assert found.split_half == 1.0
    assert not found.disagree


@pytest.mark.parametrize(("ratio", "halves", "disagree"), [(5, 0.9, False), (4.9, 1, True), (9, 0.89, True)])
def test_limits(ratio, halves, disagree):
    assert SeedAgreement(float(ratio), 1.0, halves).disagree == disagree


def test_one_seed_and_equal_runs_cannot_disagree():
    one = agreement([0.1], [0.2], [0.3])
    assert (one.deviation, one.ratio, one.split_half, one.disagree) == (None, None, None, False)
    assert not agreement([1.0, 1.0], [1.0, 1.0], [1.0, 1.0]).disagree


def test_five_seeds_are_split_into_halves_of_two():
    runs = [[0.0] * 5, [1.0, 1.0, 1.0, 1.0, 3.0], [2.0, 2.0, 2.0, 2.0, 0.0]]
    # halves without seed 4 rank 0, 1, 2, those with it 0, 2, 1: ρ = 0.5, in 12 of 15 pairs of halves
    mean = (3 + 12 * 0.5) / 15
    assert agreement(*runs).split_half == pytest.approx(2.5 * mean / (1 + 1.5 * mean), rel=EXACT)


def test_candidates_with_more_seeds_count_more():
    # variances 0.01 with two degrees of freedom and 0.04 with four
    assert pooled([0.1, 0.2], [3, 5]) == pytest.approx((0.18 / 6) ** 0.5, rel=EXACT)
    assert pooled([0.1, 0.2], [3, 3]) == pytest.approx((0.05 / 2) ** 0.5, rel=EXACT)
    assert pooled([0.1, None], [3, 1]) == pytest.approx(0.1, rel=EXACT)
    assert pooled([None], [1]) is None


def test_only_seeds_that_all_candidates_have_are_split():
    three = [[0.1, 0.1, 0.1], [0.2, 0.2, 0.3], [0.3, 0.3, 0.2]]
    mixed = agreement([*three[0], 0.1, 0.1], *three[1:])
    assert mixed.split_half == agreement(*three).split_half
