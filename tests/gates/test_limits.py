"""Limits: what may be written, what it allows, and for which cells."""

from __future__ import annotations

import inspect
import math

import pytest

from foretune import commands
from foretune.gates import DEFAULT_LIMITS, SHORTEST, Limits
from foretune.gates.limits import Limit
from foretune.tasks.errors import InputError

RHO = "embedded.asr.layers.ctc.logme"


@pytest.mark.parametrize(
    ("text", "old", "least", "most"),
    [
        ("spearman=-0.05", 0.9, 0.85, math.inf),
        ("spearman=-10%", 0.9, 0.81, math.inf),
        ("spearman=-10%", -0.5, -0.55, math.inf),  # a share of the size: it may fall from -0.5 to -0.55
        ("regret=+0.01", 0.02, -math.inf, 0.03),
        ("time=+50%", 4.0, -math.inf, 6.0),
        ("time=+.5", 4.0, -math.inf, 4.5),
        ("score=0.1", 1.0, 0.9, 1.1),
        ("score=10%", -2.0, -2.2, -1.8),
        ("spearman=0", 0.9, 0.9, math.inf),
    ],
)
def test_what_a_limit_allows(text, old, least, most):
    found = Limit.parse(text).range(old)
    assert (found.least, found.most) == pytest.approx((least, most))
    assert found.holds(old)


def test_the_limit_itself_holds_whatever_the_rounding():
    found = Limit.parse("spearman=-0.1").range(0.8)
    assert found.least > 0.7  # by a rounding error
    assert found.holds(0.7)
    assert not found.holds(0.6999)


def test_intervals_are_those_of_the_earlier_run():
    limit = Limit.parse("spearman=utterance-interval")
    assert limit.range(0.9, (0.7, 0.95))[:2] == (0.7, math.inf)
    assert limit.range(0.9) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spearman", "write MEASURE=CHANGE"),
        ("rho=-0.05", "no measure 'rho'; there are spearman"),
        ("spearman=+0.05", "higher is better: say how far it may fall"),
        ("spearman=0.8", "higher is better: say how far it may fall"),
        ("time=50%", "lower is better: say how far it may rise"),
        ("time=-50%", "lower is better"),
        ("score=-0.1", "it holds in both directions"),
        ("spearman=-nan", "is no change"),
        ("spearman=-1e3", "is no change"),
        ("regret=interval", "only spearman has intervals"),
    ],
)
def test_what_is_no_limit(text, message):
    with pytest.raises(InputError, match=message):
        Limit.parse(text)


def test_of_several_limits_the_last_that_fits_counts():
    limits = Limits.parse(["spearman=-0.05,spearman@*.tsne_distance=none", "spearman@*.asr.*=-0.02"])
    assert str(limits.of("spearman", RHO)) == "spearman@*.asr.*=-0.02"
    assert str(limits.of("spearman", "embedded.er.layers.ctc.logme")) == "spearman=-0.05"
    assert limits.of("spearman", "embedded.er.layers.ctc.tsne_distance") is None
    assert limits.of("time", RHO) is None


def test_limits_are_written_as_they_were_read():
    text = "spearman=-0.05, time@*.logme=+50%, score=1%, spearman=interval, regret=none"
    assert str(Limits.parse([text])) == text


def test_defaults():
    assert Limits.parse([]) == Limits.parse(DEFAULT_LIMITS)
    assert inspect.signature(commands.compare).parameters["shortest"].default == SHORTEST
