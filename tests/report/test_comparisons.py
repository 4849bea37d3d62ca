"""Estimators against LogME and the best baseline: which cells are compared, and by what."""

from __future__ import annotations

import made_up
import pytest

from foretune.agreement import compare, holm
from foretune.report import comparisons

EXACT = 1e-12
VALUES = [0.9, 0.7, 0.5, 0.3, 0.1]
SCORES = {
    "logme": [1.0, 2.0, 3.0, 4.0, 5.0],
    "knn": [1.0, 2.0, 3.0, 5.0, 4.0],
    "depth": [5.0, 4.0, 3.0, 2.0, 1.0],
    "random": [2.0, 1.0, 5.0, 4.0, 3.0],
}
RHO = {"logme": 1.0, "knn": 0.9, "depth": -1.0, "random": 0.5}


def cell(estimator, task="asr", **changes):
    values = {
        "task": task,
        "estimator": estimator,
        "metric": "cer",
        "candidates": 5,
        "names": list("01234"),
        "scores": SCORES[estimator],
        "values": VALUES,
        "deviations": [None] * 5,
        "seeds": 1,
        "spearman": RHO[estimator],
        "p_value": 0.1,
        "smallest_p_value": 1 / 60,
    }
    return made_up.agreement(**(values | changes))


FAILED = cell("knn", status="failed", scores=[None] * 5, spearman=None)
SETTING = [cell(name) for name in SCORES]


def test_within_a_setting():
    goodness = [-value for value in VALUES]
    found = comparisons.within(SETTING, comparisons.logme(SETTING))
    tests = {name: compare(SCORES[name], SCORES["logme"], goodness) for name in ("knn", "depth", "random")}
    adjusted = holm({name: each.p_value for name, each in tests.items()})
    assert found == {name: (*each, adjusted[name], 1) for name, each in tests.items()}
    assert found["knn"].difference == pytest.approx(-0.1, rel=1e-9)


def test_the_best_baseline_is_that_of_the_setting():
    assert comparisons.best_baseline(SETTING).estimator == "random"
    again = [cell("depth", spearman=0.5), cell("random")]
    assert comparisons.best_baseline(again).estimator == "depth"  # the same: the first by name
    assert comparisons.best_baseline([cell("logme")]) is None
    assert comparisons.within(SETTING, None) == {}


def test_what_failed_is_not_compared():
    assert comparisons.within([cell("logme"), FAILED], cell("logme")) == {}
    assert comparisons.logme([FAILED]) is None


def test_across_settings():
    settings = [[cell(name, task) for name in ("logme", "knn", "random")] for task in ("a", "b", "c")]
    found = comparisons.across(settings, comparisons.logme)
    # three differences of one sign: two of eight ways to turn signs are as extreme; two tests
    assert found["knn"] == (pytest.approx(-0.1, rel=1e-9), 0.25, 0.5, 3)
    assert found["random"] == (pytest.approx(-0.5, rel=1e-9), 0.25, 0.5, 3)
    assert comparisons.across([[cell("knn")]], comparisons.logme) == {}


def test_settings_are_those_by_the_default_policy():
    models = {"setting": "models", "model": "all"}
    given = [
        cell("logme", **models, layer_policy="last"),
        cell("logme", **models, layer_policy="best"),
        cell("knn", "b"),
        cell("logme", "b"),
        cell("logme", protocol="probe"),
    ]
    # layers that were probed, whatever that is, would be a setting too
    assert comparisons.by_setting(given) == [[given[4]], [given[0]], [given[2], given[3]]]


def test_the_table_has_signs_and_needs_two_settings():
    given = [cell(name, task) for name in ("logme", "knn", "random") for task in ("a", "b")]
    order = ["logme", "knn", "random"]
    rows = [
        [part.strip() for part in line.strip("|").split("|")]
        for line in comparisons.table(given, order).splitlines()
    ]
    assert rows[2] == ["logme", *"––––", "+0.50", "0.50", "1.0", "2"]
    assert rows[3] == ["knn", "-0.10", "0.50", "1.0", "2", "+0.40", "0.50", "1.0", "2"]
    assert rows[4] == ["*random*", "-0.50", "0.50", "1.0", "2", *"––––"]
    assert comparisons.table(SETTING, list(SCORES)) is None
    assert comparisons.table([cell("knn", "a"), cell("knn", "b")], ["knn"]) is None
