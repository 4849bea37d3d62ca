"""Standard errors of all scores at once, and of scores that leave out groups themselves."""

import numpy as np
import pytest

from foretune.estimators import ESTIMATORS, Inputs, Moments, jackknife, standard_errors
from foretune.estimators.held_out_evidence import held_out_evidence
from foretune.estimators.logme import log_maximum_evidence

FROM_MOMENTS = sorted(
    name
    for name, each in ESTIMATORS.items()
    if "moments" in each.needs and each.needs.isdisjoint({"samples", "source", "metadata"})
)


def moments_of(case, **settings):
    return Moments.of(case.features, case.labels, case.groups, max_groups=None, **settings)


def test_many_at_once_are_those_of_each_by_itself(case):
    moments = moments_of(case, class_gram=True)
    functions = {
        name: lambda m, name=name: ESTIMATORS[name].score(Inputs(moments=m)) for name in FROM_MOMENTS
    }
    errors = standard_errors(moments, functions)
    assert len(errors) >= 15
    for name, function in functions.items():
        assert errors[name] == pytest.approx(jackknife(moments, function).standard_error, rel=1e-12), name
        assert errors[name] >= 0


def test_errors_by_group_make_the_covariances_of_scores(tall):
    moments = moments_of(tall)
    mean, other = (jackknife(moments, lambda m, i=i: float(m.mean[i])) for i in (0, 1))
    for each in (mean, other):
        assert np.hypot.reduce(each.group_errors) == pytest.approx(each.standard_error, rel=1e-12)
    both = jackknife(moments, lambda m: float(m.mean[0] + m.mean[1]))
    covariance = (both.standard_error**2 - mean.standard_error**2 - other.standard_error**2) / 2
    assert mean.group_errors @ other.group_errors == pytest.approx(covariance, rel=1e-8)


def test_scores_that_leave_out_groups_are_refitted_without_each_group(tall):
    moments = moments_of(tall)
    replicates = jackknife(moments, held_out_evidence).replicates
    for name, value in zip(np.unique(tall.groups), replicates, strict=True):
        rest = tall.groups != name
        again = Moments.of(tall.features[rest], tall.labels[rest], tall.groups[rest], max_groups=None)
        assert value == pytest.approx(held_out_evidence(again), rel=1e-8)


def test_left_out_groups_leave_the_moments_alone(tall):
    moments = moments_of(tall)
    before = moments.scatter.copy()
    rest = moments.leave_out(moments.groups[0])
    assert rest.groups == moments.groups[1:]
    rest.update(tall.features, tall.labels, tall.groups)
    np.testing.assert_array_equal(moments.scatter, before)
    with pytest.raises(ValueError, match="no group 'nobody'"):
        moments.leave_out("nobody")


def test_what_lacks_a_pair_of_groups_is_computed_once_for_both_orders(tall):
    moments = moments_of(tall)
    a, b = moments.groups[:2]
    pairs = {}
    without_a, without_b = moments.leave_out(a, pairs), moments.leave_out(b, pairs)
    both = without_a.without(b)
    assert without_b.without(a) is both
    assert list(pairs) == [frozenset([a, b])]
    alone = moments.leave_out(b).without(a)
    assert alone is not both
    np.testing.assert_allclose(alone.scatter, both.scatter, rtol=1e-9, atol=1e-9)
    without_b.update(tall.features, tall.labels, tall.groups)  # no longer what the others share
    assert without_b.without(a).n == both.n + np.sum(tall.groups != a)


def test_what_cannot_be_had_is_none(tall):
    def refuses(_):
        raise ValueError("no")

    functions = {"refuses": refuses, "infinite": lambda m: np.inf, "logme": log_maximum_evidence}
    errors = standard_errors(moments_of(tall), functions)
    assert errors["refuses"] is None
    assert errors["infinite"] is None
    assert errors["logme"] > 0
    ungrouped = Moments.of(tall.features, tall.labels)
    assert standard_errors(ungrouped, functions) == dict.fromkeys(functions)
    one_group = Moments.of(tall.features, tall.labels, ["x"] * len(tall.labels))
    assert standard_errors(one_group, functions) == dict.fromkeys(functions)


def test_errors_cover_the_score_of_the_population():
    # the mean of 12 groups: 95 % of intervals of 1.96 standard errors hold the truth in nearly 95 % of draws
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        offsets = np.repeat(rng.standard_normal(12), 5)  # samples of a group are alike
        values = offsets + 0.1 * rng.standard_normal(60)
        moments = Moments.of(values[:, None], groups=np.repeat(np.arange(12), 5), max_groups=None)
        result = jackknife(moments, lambda m: float(m.mean[0]))
        held += abs(result.score) < 1.96 * result.standard_error
    assert 0.88 <= held / 300 <= 0.97
