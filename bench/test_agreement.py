"""Do the intervals hold the truth as often as they say, and do the tests reject no more often?

Each test draws 500 synthetic studies whose truth is known, or 2,000 with `--full`, on which docs/agreement.md
reports. Of 2,000, 95 % intervals must hold the truth in 93 to 97 %, and 5 % tests reject 4 to 6 % of those
without an effect (two standard errors are 1.0 %); of 500, within one more percent. What other methods would
have done on some of the same studies is kept beside that, in `extra_info`.

Few candidates have few orders, and a test cannot reject at 5 % where no attainable p is near: with five
candidates the p-values start at 1/60 and 1/12. So tests are read as a randomised test reads them: between
two attainable p-values chance decides, such that without an effect exactly 5 % are rejected if the p-values
are right. The level that is reached without it is kept too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.stats

from foretune.agreement import (
    candidate_interval,
    compare,
    holm,
    mean_interval,
    partial_spearman,
    seed_interval,
    smooth_p_value,
    spearman,
    utterance_interval,
)
from foretune.agreement.ranks import rank_correlation as rho

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

    Array = NDArray[np.float64]

FULL, BRIEF = 2_000, 500
"""Studies of a test, with `--full` and without."""
LEVEL = 0.05
ROUNDING = 1e-9


@pytest.fixture
def studies(pytestconfig: pytest.Config) -> int:
    """How many studies to draw."""
    return FULL if pytestconfig.getoption("--full") else BRIEF


def beside_of(studies: int) -> int:
    """Return on how many studies other methods are tried."""
    return studies * 3 // 20


def covers(found: float, studies: int) -> bool:
    """Whether 95 % intervals hold the truth as often as they should."""
    return abs(found - 0.95) <= 0.02 + _more(studies)


def at_most(studies: int) -> float:
    """Return the largest share of studies without an effect that a 5 % test may reject."""
    return 0.06 + _more(studies)


def rejects(found: float, studies: int) -> bool:
    """Whether 5 % tests reject as often as they should."""
    return abs(found - LEVEL) <= 0.01 + _more(studies)


def _more(studies: int) -> float:
    """Return by how much two standard errors of so many studies are wider than those of all."""
    spread = 2 * math.sqrt(LEVEL * (1 - LEVEL))
    return spread / math.sqrt(studies) - spread / math.sqrt(FULL)


def correlated(n: int, r: float, studies: int) -> Iterator[tuple[Array, Array]]:
    """Draw scores and values of n candidates, jointly normal with correlation r."""
    rng = np.random.default_rng([n, round(100 * r)])
    for _ in range(studies):
        x = rng.normal(size=n)
        yield x, r * x + math.sqrt(1 - r * r) * rng.normal(size=n)


def population(r: float) -> float:
    """Return Spearman's ρ of a normal population."""
    return 6 / math.pi * math.asin(r / 2)


def holds(interval: Sequence[float], truth: float) -> bool:
    """Whether an interval holds the truth."""
    return interval[0] - ROUNDING <= truth <= interval[1] + ROUNDING


def rejections(p_values: Sequence[float]) -> tuple[float, float]:
    """Return the share of studies that are rejected at 5 % by a randomised test, and by a plain one."""
    attainable = sorted(set(p_values))
    below = dict(zip(attainable, [0.0, *attainable], strict=False))
    chances = [min(1.0, max(0.0, (LEVEL - below[p]) / (p - below[p]))) for p in p_values]
    return sum(chances) / len(chances), sum(p <= LEVEL for p in p_values) / len(p_values)


def mean_of(found: Sequence[bool]) -> float:
    """Return the share of what is true."""
    return sum(found) / len(found)


# --- intervals over candidates


def resampled(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """Return ρ of candidates drawn with replacement."""
    drawn = rng.integers(len(x), size=(400, len(x)))
    a, b = (scipy.stats.rankdata(each[drawn], axis=1) for each in (x, y))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return (a * b).sum(axis=1)[spread > 0] / spread[spread > 0]


def percentile(drawn: Array) -> tuple[float, float]:
    """Return the percentile bootstrap interval."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def accelerated(drawn: Array, x: Array, y: Array) -> tuple[float, float]:
    """Return the bias-corrected and accelerated bootstrap interval. Efron, 1987."""
    seen = rho(x, y)
    left = np.array([rho(np.delete(x, i), np.delete(y, i)) for i in range(len(x))])
    away = left.mean() - left
    acceleration = (away**3).sum() / (6 * max(float((away**2).sum()), ROUNDING) ** 1.5)
    below = np.mean(drawn < seen - ROUNDING) + np.mean(np.abs(drawn - seen) <= ROUNDING) / 2
    bias = scipy.stats.norm.ppf(np.clip(below, 0.001, 0.999))
    ends = bias + np.array([-1.96, 1.96])
    low, high = np.quantile(drawn, scipy.stats.norm.cdf(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def bonett_wright(x: Array, y: Array) -> tuple[float, float]:
    """Return the interval of Fisher's z with a standard error made for ranks. Bonett and Wright, 2000."""
    n = len(x)
    nearest = 1 - 6 / (n**3 - n)  # half a step from a perfect ranking, whose z is infinite
    seen = min(nearest, max(-nearest, rho(x, y)))
    error = math.sqrt((1 + seen**2 / 2) / (n - 3))
    return math.tanh(math.atanh(seen) - 1.96 * error), math.tanh(math.atanh(seen) + 1.96 * error)


@pytest.mark.parametrize("r", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("n", [9, 13])
def test_candidate_interval(n: int, r: float, studies: int, benchmark: BenchmarkFixture) -> None:
    truth = population(r)

    def covered() -> float:
        return mean_of([holds(candidate_interval(*pair) or (), truth) for pair in correlated(n, r, studies)])

    found = benchmark.pedantic(covered, rounds=1)
    rng = np.random.default_rng(0)
    beside: dict[str, list[bool]] = {"percentile": [], "accelerated": [], "bonett_wright": []}
    for x, y in correlated(n, r, beside_of(studies)):
        drawn = resampled(x, y, rng)
        beside["percentile"].append(holds(percentile(drawn), truth))
        beside["accelerated"].append(holds(accelerated(drawn, x, y), truth))
        beside["bonett_wright"].append(holds(bonett_wright(x, y), truth))
    benchmark.extra_info |= {"coverage": found} | {name: mean_of(each) for name, each in beside.items()}
    assert covers(found, studies)


SETTINGS = {
    "weak and strong": [
        *((9, r) for r in (0.2, 0.6, 0.9)),
        *((13, r) for r in (0, 0.3, 0.5, 0.7, 0.8, 0.95)),
    ],
    "strong": [(9, r) for r in (0.7, 0.75, 0.8, 0.85, 0.9)],
    "three": [(9, 0.5), (13, 0.6), (13, 0.3)],
}


@pytest.mark.parametrize("kinds", ["weak and strong", "strong", "three"])
def test_mean_interval(kinds: str, studies: int, benchmark: BenchmarkFixture) -> None:
    """The mean over settings of 9 and of 13 candidates."""
    settings = SETTINGS[kinds]
    truth = math.fsum(population(r) for _, r in settings) / len(settings)

    def covered() -> float:
        found = []
        for pairs in zip(*(correlated(n, r, studies) for n, r in settings), strict=True):
            interval = mean_interval([rho(*pair) for pair in pairs], [n for n, _ in settings])
            found.append(holds(interval, truth))
        return mean_of(found)

    found = benchmark.pedantic(covered, rounds=1)
    benchmark.extra_info["coverage"] = found
    assert covers(found, studies)


# --- intervals over seeds and utterances


def noisy(n: int, r: float, noise: float, seeds: int, studies: int) -> Iterator[tuple[Array, Array, Array]]:
    """Draw scores, true values, and the runs of each candidate, (n, seeds)."""
    rng = np.random.default_rng(n)
    for true, scores in correlated(n, r, studies):
        yield scores, true, true[:, None] + noise * rng.normal(size=(n, seeds))


@pytest.mark.parametrize(("n", "r"), [(9, 0.9), (13, 0.5)])
def test_seed_interval(n: int, r: float, studies: int, benchmark: BenchmarkFixture) -> None:
    """Three seeds, whose deviation is 0.7 of that between candidates."""

    def covered() -> float:
        found = []
        for scores, true, runs in noisy(n, r, 0.7, 3, studies):
            deviations = runs.std(axis=1, ddof=1).tolist()
            interval = seed_interval(scores, runs.mean(axis=1), deviations, [3] * n, draws=100)
            found.append(holds(interval or (), rho(scores, true)))
        return mean_of(found)

    found = benchmark.pedantic(covered, rounds=1)
    beside, rng = [], np.random.default_rng(0)
    for (scores, true, runs), _ in zip(noisy(n, r, 0.7, 3, studies), range(beside_of(studies)), strict=False):
        drawn = np.take_along_axis(runs[None], rng.integers(3, size=(400, n, 3)), axis=2).mean(axis=2)
        ranks = scipy.stats.rankdata(drawn, axis=1) - (n + 1) / 2
        again = ranks @ (scipy.stats.rankdata(scores) - (n + 1) / 2) / (n * (n * n - 1) / 12)
        beside.append(holds(percentile(again), rho(scores, true)))
    benchmark.extra_info |= {"coverage": found, "resampled_seeds": mean_of(beside)}
    assert covers(found, studies)


def test_utterance_interval(studies: int, benchmark: BenchmarkFixture) -> None:
    """Eight groups of utterances, whose errors candidates share in part."""
    n, rng = 13, np.random.default_rng(1)

    def covered() -> float:
        found = []
        for true, values in correlated(n, 0.8, studies):
            groups = rng.normal(size=8) + rng.normal(size=(n, 8))  # each group's score, less the true one
            observed = true + groups.mean(axis=1)
            errors = (groups - groups.mean(axis=1, keepdims=True)) / math.sqrt(8 * 7)
            found.append(
                holds(utterance_interval(observed, values, errors, draws=100) or (), rho(true, values))
            )
        return mean_of(found)

    found = benchmark.pedantic(covered, rounds=1)
    benchmark.extra_info["coverage"] = found
    assert covers(found, studies)


# --- tests


@pytest.mark.parametrize("n", [5, 9, 13])
def test_spearman(n: int, studies: int, benchmark: BenchmarkFixture) -> None:
    """Exact p-values, and the asymptotic ones beside them."""
    p_values = benchmark.pedantic(
        lambda: [spearman(*pair).p_value for pair in correlated(n, 0.0, studies)], rounds=1
    )
    found, plain = rejections(p_values)
    asymptotic = [scipy.stats.spearmanr(*pair).pvalue <= LEVEL for pair in correlated(n, 0.0, studies)]
    benchmark.extra_info |= {"rejected": found, "without_chance": plain, "asymptotic": mean_of(asymptotic)}
    assert rejects(found, studies)
    assert plain <= at_most(studies)


def test_partial_spearman(studies: int, benchmark: BenchmarkFixture) -> None:
    """Scores and values that have nothing in common but size; Spearman's own p beside it."""
    n = 12

    def sized() -> Iterator[tuple[Array, Array, Array]]:
        rng = np.random.default_rng(0)
        for _ in range(studies):
            size = rng.normal(size=n)
            yield size + rng.normal(size=n), size + rng.normal(size=n), size

    def p_values() -> list[float]:
        found = [partial_spearman(*study, draws=999) for study in sized()]
        return [each.p_value for each in found if each is not None]

    found, _ = rejections(benchmark.pedantic(p_values, rounds=1))
    plain = [spearman(x, y).p_value <= LEVEL for x, y, _ in sized()]
    benchmark.extra_info |= {"rejected": found, "size_not_held_fixed": mean_of(plain)}
    assert rejects(found, studies)


def test_smooth_p_value(studies: int, benchmark: BenchmarkFixture) -> None:
    """Curves over layers that change slowly; beside them random walks, which a shift does not leave alike."""
    n, rng = 13, np.random.default_rng(0)
    kernel = np.fft.fft(np.exp(-np.minimum(np.arange(n), n - np.arange(n)) / 2.0))

    def smooth() -> Array:
        return np.real(np.fft.ifft(np.fft.fft(rng.normal(size=n)) * kernel))

    curves = [(smooth(), smooth()) for _ in range(studies)]
    p_values = benchmark.pedantic(lambda: [smooth_p_value(*pair) for pair in curves], rounds=1)
    found, without_chance = rejections(p_values)
    walks = rng.normal(size=(studies, 2, n)).cumsum(axis=2)
    benchmark.extra_info |= {
        "rejected": found,
        "without_chance": without_chance,
        "plain_test": mean_of([spearman(*pair).p_value <= LEVEL for pair in curves]),
        "walks": rejections([smooth_p_value(*pair) for pair in walks])[0],
        "walks_plain_test": mean_of([spearman(*pair).p_value <= LEVEL for pair in walks]),
    }
    assert rejects(found, studies)


@pytest.mark.parametrize("r", [0.0, 0.3, 0.8])
def test_compare(r: float, studies: int, benchmark: BenchmarkFixture) -> None:
    """Two estimators that agree with the values as well as each other."""
    n, rng = 9, np.random.default_rng(0)

    def p_values() -> list[float]:
        noise = math.sqrt(1 - r * r)
        return [
            compare(x, r * y + noise * rng.normal(size=n), y).p_value for y, x in correlated(n, r, studies)
        ]

    found, without_chance = rejections(benchmark.pedantic(p_values, rounds=1))
    benchmark.extra_info |= {"rejected": found, "without_chance": without_chance}
    assert rejects(found, studies)


def test_holm(studies: int, benchmark: BenchmarkFixture) -> None:
    """Ten estimators that are as good as their rival: at least one rejection, with and without Holm."""
    n, estimators, rng = 11, 10, np.random.default_rng(0)

    def families() -> list[list[float]]:
        found = []
        for y, rival in correlated(n, 0.5, max(60, studies // 16)):
            others = 0.5 * y + math.sqrt(0.75) * rng.normal(size=(estimators, n))
            found.append([compare(other, rival, y).p_value for other in others])
        return found

    p_values = benchmark.pedantic(families, rounds=1)
    adjusted = [min(holm(dict(enumerate(each))).values()) <= LEVEL for each in p_values]
    benchmark.extra_info |= {
        "any_rejected": mean_of(adjusted),
        "uncorrected": mean_of([min(each) <= LEVEL for each in p_values]),
    }
    assert mean_of(adjusted) <= at_most(studies)  # a bound
    assert benchmark.extra_info["uncorrected"] > 3 * LEVEL
