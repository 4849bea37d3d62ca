"""What the estimators cost: time and memory over samples N, features D and classes C.

By default a size of each kind that takes a moment; `--full` measures the sizes that claims are made for (some
minutes, and 4 GB of memory). Each comparison runs both sides in turn, in one process; the ratios, not the
seconds, carry over to other machines, and stand in `extra_info`.

Gates here are on memory, on values and, with `--full`, on ratios of times measured side by side.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from foretune.estimators import ESTIMATORS, Inputs, Metadata, Moments, Reservoir, Samples
from foretune.estimators.logme import log_maximum_evidence

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

Array = NDArray[np.floating[Any]]

BATCH = 8192
"""Rows of a batch of the stream."""

KEPT = 2048
"""Rows that the reservoir keeps, as scoring does."""

SPEED_UP = 3.0
"""Least ratio of the published algorithm's time to ours, at N = 100,000, D = 768, C = 40.

The aim was 6, and 3.6 to 3.8 was measured on two hyper-threads of one core: of the published
algorithm's 4.6 s the symmetric product FᵀF in float64 takes 0.62 s and an eigendecomposition 0.15 s, which
any exact method needs too, so that 6 is the most that could be had. Products in float32 take half of that,
and are not exact: they would lose every direction under a ten-millionth of the largest.
"""

MEMORY_SHARE = 0.1
"""Largest ratio of our memory beyond the input to the published algorithm's, at the same size."""

PRODUCT_SHARE = 0.7
"""Least rate of the update, in rows a second, as a share of that of the bare matrix product FᵀF."""


class Size(NamedTuple):
    """How many samples, features and classes."""

    samples: int
    dimension: int
    classes: int

    def __str__(self) -> str:
        return f"N{self.samples}-D{self.dimension}-C{self.classes}"


SMALL = [Size(2_000, 64, 10)]
FULL = [
    *(Size(samples, 256, 40) for samples in (1_000, 10_000, 100_000, 1_000_000)),
    *(Size(10_000, dimension, 40) for dimension in (64, 1024)),
    *(Size(10_000, 256, classes) for classes in (2, 1000)),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the sizes."""
    full = metafunc.config.getoption("full")
    if "size" in metafunc.fixturenames:
        metafunc.parametrize("size", FULL if full else SMALL, ids=str)
    if "compared" in metafunc.fixturenames:
        size = Size(100_000, 768, 40) if full else Size(4_000, 96, 10)
        metafunc.parametrize("compared", [size], ids=str)
    if "dtype" in metafunc.fixturenames:
        metafunc.parametrize("dtype", ["float32", "float64"])


# --- what is measured


def batch_of(size: Size, number: int, rows: int, dtype: str = "float32") -> tuple[Array, NDArray[np.intp]]:
    """Return a batch of the stream: classes about their own means, in features of unequal scale."""
    rng = np.random.default_rng(number)
    means = np.random.default_rng(2**32 - 1).standard_normal((size.classes, size.dimension))
    labels = rng.integers(0, size.classes, rows)
    features = rng.standard_normal((rows, size.dimension), dtype=np.float32)
    features *= np.linspace(0.2, 3, size.dimension, dtype=np.float32)
    features += means[labels].astype(np.float32) * 0.3
    return features.astype(dtype, copy=False), labels


class Accumulated(NamedTuple):
    """What one pass left, and what it took beyond making the samples."""

    inputs: Inputs
    class_moments: Moments
    seconds: float


@cache
def accumulated(size: Size) -> Accumulated:
    """Stream a size's samples, in batches, into what the estimators need."""
    moments = Moments(size.dimension, grouped=True)
    class_moments = Moments(size.dimension, class_gram=True)
    reservoir, source = Reservoir(KEPT), Reservoir(KEPT, seed=1)
    seconds = 0.0
    for number, start in enumerate(range(0, size.samples, BATCH)):
        features, labels = batch_of(size, number, min(BATCH, size.samples - start))
        groups = np.arange(start, start + len(labels)) // 50
        if number * BATCH < 100_000:  # a Gram matrix a class: enough of them at the larger sizes
            class_moments.update(features, labels)
        begin = time.perf_counter()
        moments.update(features, labels, groups)
        reservoir.update(features, labels, groups)
        seconds += time.perf_counter() - begin
        source.update(features * 1.1 + 0.1, labels, groups)
    samples = reservoir.samples()
    posteriors = np.random.default_rng(0).dirichlet(np.ones(size.classes), len(samples))
    inputs = Inputs(
        moments=moments,
        samples=samples,
        source=source.samples(),
        posteriors=posteriors,
        metadata=Metadata("bench", 1, 1, 10, size.dimension, 0.5),
    )
    return Accumulated(inputs, class_moments, seconds)


def published_logme(features: Array, labels: NDArray[np.intp], classes: int) -> float:
    """LogME by the algorithm of the published code, written anew.

    In float64: the SVD of FᵀF, the left singular vectors by another product with F, and for each class by
    itself the projection of its labels on them and a fixed point of at most 11 steps.
    """
    F = features.astype(np.float64)
    samples, dimension = F.shape
    _, squared, rows = np.linalg.svd(F.T @ F)
    singular = np.sqrt(squared)
    singular = singular[singular > 1e-10]
    left = (F @ rows.T)[:, : len(singular)] / singular
    sigma = singular**2
    evidences = []
    for code in range(classes):
        t = (labels == code).astype(np.float64)
        x2 = (left.T @ t) ** 2
        rest = float(t.sum() - x2.sum())
        alpha = beta = 1.0
        for _ in range(11):
            ratio = alpha / beta
            gamma = float((sigma / (sigma + ratio)).sum())
            weights = float((sigma * x2 / (sigma + ratio) ** 2).sum())
            residual = float((x2 / (1 + sigma / ratio) ** 2).sum()) + rest
            alpha, beta = gamma / (weights + 1e-5), (samples - gamma) / (residual + 1e-5)
            if abs(alpha / beta - ratio) / ratio <= 1e-3:
                break
        total = dimension * np.log(alpha) + samples * np.log(beta) - np.log(alpha + beta * sigma).sum()
        total -= beta * residual + alpha * weights + samples * np.log(2 * np.pi)
        evidences.append(total / samples / 2)
    return float(np.mean(evidences))


def our_logme(features: Array, labels: NDArray[np.intp], *, reference: bool = False) -> float:
    """LogME from moments, exact."""
    return log_maximum_evidence(Moments.of(features, labels), reference=reference)


# --- how


def best_of(rounds: int, *sides: Callable[[], object]) -> list[float]:
    """Return the least time of each side, in seconds, the sides taking turns."""
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, taken in zip(sides, times, strict=True):
            start = time.perf_counter()
            side()
            taken.append(time.perf_counter() - start)
    return [min(taken) for taken in times]


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most memory that a call held at once beyond what was there before (NumPy's, in bytes)."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- tests


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_score(name: str, size: Size, benchmark: BenchmarkFixture) -> None:
    """Time and memory of one score, from what one pass over the samples left."""
    made, each = accumulated(size), ESTIMATORS[name]
    inputs = made.inputs
    if "class_gram" in each.needs:
        inputs = Inputs(moments=made.class_moments, samples=inputs.samples)

    def score() -> float:
        if inputs.moments is not None:
            inputs.moments._cache.clear()  # each estimator pays for its own eigendecomposition
        return each.score(inputs)

    if "class_gram" in each.needs and size.classes > 100:
        pytest.skip("a Gram matrix for each of so many classes takes GB; for such tasks use other estimators")
    score()  # what is imported, or made once in a process, is no part of a score
    begin = time.process_time()
    value = benchmark.pedantic(score, rounds=1)
    cpu_seconds = time.process_time() - begin
    assert np.isfinite(value)
    benchmark.extra_info.update(
        {
            "estimator": name,
            **size._asdict(),
            "cpu_seconds": cpu_seconds,  # of all threads; beside other work these tell more than the time
            "peak_bytes": peak_bytes(score),
            "accumulate_seconds": made.seconds,
        }
    )


def test_memory_of_a_stream_does_not_grow(benchmark: BenchmarkFixture) -> None:
    """Ten times the samples, the same memory."""
    size = Size(0, 128, 10)

    def stream(batches: int) -> None:
        moments, reservoir = Moments(size.dimension, grouped=True), Reservoir(64)
        for number in range(batches):
            features, labels = batch_of(size, number, 512)
            groups = np.arange(512) // 25 + 21 * number
            moments.update(features, labels, groups)
            reservoir.update(features, labels, groups)

    stream(1)  # what is made once in a process counts for neither
    # the collector may come at any moment, and what it has not freed yet counts: the least of a few
    short = min(peak_bytes(lambda: stream(10)) for _ in range(3))
    long = min(peak_bytes(lambda: stream(100)) for _ in range(3))
    benchmark.extra_info.update({"peak_bytes": long, "peak_bytes_of_a_tenth": short})
    benchmark.pedantic(stream, args=(5,), rounds=1)
    assert long < 1.05 * short


def test_moments_of_twelve_layers_and_eight_groups_fit_into_a_gigabyte(benchmark: BenchmarkFixture) -> None:
    """Twelve layers of 768 features, eight jackknife groups each, phones for classes."""
    size = Size(0, 768, 40)
    layers = [Moments(size.dimension, grouped=True, max_groups=8) for _ in range(12)]
    features, labels = batch_of(size, 0, 512)
    groups = np.arange(512) % 8

    def update() -> None:
        for moments in layers:
            moments.update(features, labels, groups)

    held = peak_bytes(lambda: benchmark.pedantic(update, rounds=1))
    benchmark.extra_info["peak_bytes"] = held
    assert held < 1e9


def test_logme_against_the_published_algorithm(
    compared: Size, dtype: str, benchmark: BenchmarkFixture, pytestconfig: pytest.Config
) -> None:
    """Faster, in a small part of the memory, and in `reference` mode the same number."""
    features, labels = batch_of(compared, 0, compared.samples, dtype)
    published = published_logme(features, labels, compared.classes)
    assert our_logme(features, labels, reference=True) == pytest.approx(published, rel=1e-6)

    ours_seconds, published_seconds = best_of(
        3,
        lambda: our_logme(features, labels),
        lambda: published_logme(features, labels, compared.classes),
    )
    ours_bytes = peak_bytes(lambda: our_logme(features, labels))
    published_bytes = peak_bytes(lambda: published_logme(features, labels, compared.classes))
    benchmark.pedantic(our_logme, args=(features, labels), rounds=1)
    speed_up, share = published_seconds / ours_seconds, ours_bytes / published_bytes
    benchmark.extra_info.update(
        {
            **compared._asdict(),
            "dtype": dtype,
            "speed_up": speed_up,
            "memory_share": share,
            "peak_bytes": ours_bytes,
        }
    )
    if pytestconfig.getoption("full"):
        assert speed_up >= SPEED_UP
        assert share < MEMORY_SHARE


def test_update_against_a_matrix_product(
    compared: Size, dtype: str, benchmark: BenchmarkFixture, pytestconfig: pytest.Config
) -> None:
    """Rows a second of the update, against the bare product FᵀF of float64 rows."""
    features, labels = batch_of(compared, 0, min(compared.samples, 20_000), dtype)
    double = torch.from_numpy(features.astype(np.float64))
    update_seconds, product_seconds = best_of(
        5,
        lambda: Moments.of(features, labels),
        lambda: double.T @ double,
    )
    benchmark.pedantic(Moments.of, args=(features, labels), rounds=1)
    share = product_seconds / update_seconds
    benchmark.extra_info.update({**compared._asdict(), "dtype": dtype, "product_share": share})
    if pytestconfig.getoption("full"):
        assert share >= PRODUCT_SHARE


@pytest.mark.parametrize("sources", [KEPT, KEPT // 3])
def test_sliced_wasserstein_against_pot(
    sources: int, benchmark: BenchmarkFixture, pytestconfig: pytest.Config
) -> None:
    """POT's own call, on features that are standardised already, gives the same value and is no faster."""
    import ot

    from foretune.estimators.sliced_wasserstein import sliced_wasserstein, standardise

    size = Size(KEPT, 256, 10)
    source = Samples.of(batch_of(size, 0, sources)[0])
    target = Samples.of(batch_of(size, 1, KEPT)[0] + 0.2)
    x, y = standardise(source.features, target.features)
    directions = np.random.default_rng(0).standard_normal((size.dimension, 50))
    directions /= np.linalg.norm(directions, axis=0)

    def pot() -> float:
        return -float(ot.sliced_wasserstein_distance(x, y, projections=directions))

    ours_seconds, pot_seconds = best_of(5, lambda: sliced_wasserstein(source, target), pot)
    value = benchmark.pedantic(sliced_wasserstein, args=(source, target), rounds=1)
    assert value == pytest.approx(pot(), rel=1e-12)
    benchmark.extra_info["speed_up"] = pot_seconds / ours_seconds
    if pytestconfig.getoption("full"):
        assert pot_seconds >= ours_seconds
