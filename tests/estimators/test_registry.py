from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from foretune.estimators import (
    ESTIMATORS,
    Estimator,
    Inputs,
    Metadata,
    MissingInputError,
    Moments,
    Samples,
    UnknownEstimatorError,
    get_estimator,
    register,
    registry,
)


def constant(value):
    return Estimator("constant", "a constant", frozenset(), lambda inputs: value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_declared_in_full(name):
    estimator = get_estimator(name)
    assert estimator.name == name
    assert estimator.title
    assert estimator.complexity
    assert estimator.needs <= set(registry.NEEDS)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if ESTIMATORS[name].needs])
def test_every_estimator_says_what_it_misses(name):
    with pytest.raises(MissingInputError, match=f"estimator {name} needs "):
        get_estimator(name).score(Inputs())


@pytest.mark.parametrize(
    ("name", "near"),
    [("logmee", "logme"), ("LogME", "logme"), ("sliced_waserstein", "sliced_wasserstein")],
)
def test_unknown_name_suggests_the_nearest(name, near):
    with pytest.raises(UnknownEstimatorError, match=f"no estimator is named '{name}'; did you mean .*{near}"):
        get_estimator(name)


def test_name_like_no_other_lists_all():
    with pytest.raises(UnknownEstimatorError, match="known: logme, "):
        get_estimator("%%%")


@pytest.mark.parametrize(
    ("needs", "inputs", "match"),
    [
        ({"moments", "labels"}, Inputs(moments=Moments.of([[1.0]])), "needs labels="),
        ({"samples", "labels"}, Inputs(samples=Samples.of([[1.0]])), "needs labels="),
        ({"samples", "groups"}, Inputs(samples=Samples.of([[1.0]], [0])), "needs groups="),
        ({"moments", "groups"}, Inputs(moments=Moments.of([[1.0]], [0])), "grouped=True"),
        ({"moments", "class_gram"}, Inputs(moments=Moments.of([[1.0]], [0])), "class_gram=True"),
        ({"samples", "source"}, Inputs(samples=Samples.of([[1.0]])), "source= features"),
        ({"source_labels"}, Inputs(source=Samples.of([[1.0]])), "source_labels="),
        ({"posteriors"}, Inputs(samples=Samples.of([[1.0]])), "posteriors="),
        ({"metadata"}, Inputs(), "metadata="),
        ({"metadata", "other_tasks"}, Inputs(metadata=Metadata("m")), "with other_tasks"),
    ],
)
def test_what_is_missing_is_named(needs, inputs, match):
    estimator = Estimator("probe", "a probe", frozenset(needs), lambda inputs: 1.0)
    with pytest.raises(MissingInputError, match=match):
        estimator.score(inputs)


def test_score_is_a_python_float():
    assert type(constant(np.float32(2)).score(Inputs())) is float


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_an_error(value):
    with pytest.raises(ValueError, match="the features are degenerate"):
        constant(value).score(Inputs())


def test_unknown_need_is_refused():
    with pytest.raises(ValueError, match="unknown need 'sample'"):
        Estimator("x", "x", frozenset({"sample"}), lambda inputs: 0.0)


@pytest.fixture
def entry_point(monkeypatch):
    """Pretend that another package is installed, with an entry point of ours."""

    class Entry:
        name = value = "plugin:ESTIMATOR"

        def __init__(self, loaded):
            self.load = lambda: loaded

    def install(loaded):
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Entry(loaded)])
        registry.load_plugins.cache_clear()

    yield install
    ESTIMATORS.pop("constant", None)
    monkeypatch.undo()
    registry.load_plugins.cache_clear()


def test_other_packages_bring_estimators(entry_point):
    entry_point(constant(3.0))
    assert get_estimator("constant").score(Inputs(metadata=Metadata("m"))) == 3.0


def test_duplicate_names_raise(entry_point):
    clash = Estimator("logme", "not ours", frozenset(), lambda inputs: 0.0)
    entry_point(clash)
    with pytest.raises(ValueError, match="two estimators are named 'logme'"):
        get_estimator("logme")
    with pytest.raises(ValueError, match="two estimators are named 'logme'"):
        register(clash)
    assert register(ESTIMATORS["logme"]) is ESTIMATORS["logme"]  # the same one again is none


def test_entry_point_must_be_an_estimator(entry_point):
    entry_point(lambda inputs: 0.0)
    with pytest.raises(TypeError, match="is not an Estimator"):
        get_estimator("logme")
