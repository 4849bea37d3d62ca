"""No NaN and no warning, whatever the features: a finite number, or an error that names the argument."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foretune.estimators import ESTIMATORS, Metadata, score

METADATA = Metadata("model", layer=2, depth=2, parameters=10, dimension=7, other_tasks=0.5)
SLOW = {"tsne_distance", "nleep"}
ARGUMENTS = re.compile(r"\b(features|labels|groups|source|source_labels|posteriors)\b")

COLUMNS = ("keep", "keep", "keep", "zero", "constant", "copy", "small", "large")


@st.composite
def degenerate(draw):
    """Return the arguments of `score`: few samples, of any scale, with features that say nothing."""
    rows, dimension = draw(st.sampled_from([2, 2, 3, 4, 7, 12, 24])), draw(st.integers(1, 8))
    fates = draw(st.lists(st.sampled_from(COLUMNS), min_size=dimension, max_size=dimension))
    return arguments(
        rows,
        fates,
        seed=draw(st.integers(0, 2**32 - 1)),
        offset=draw(st.sampled_from([0.0, 1.0, 1e6])),
        exponent=draw(st.integers(-8, 8)),
        classes=draw(st.integers(1, 6)),
        groups=draw(st.integers(1, 5)),
        twins=draw(st.booleans()),
        single=draw(st.booleans()),
    )


def arguments(rows, fates, *, seed, offset, exponent, classes, groups, twins, single):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, len(fates))) + offset
    for column, fate in enumerate(fates):
        if fate == "copy":
            features[:, column] = features[:, 0]
        else:
            features[:, column] *= {"zero": 0.0, "constant": 0.0, "small": 1e-8, "large": 1e8}.get(fate, 1.0)
            features[:, column] += 0.1 if fate == "constant" else 0.0
    if twins:
        features[-1] = features[0]
    features *= 10.0**exponent
    labels = rng.integers(0, classes, rows)
    labels[0], labels[-1] = 7, 8  # at least two classes, these with one sample
    return {
        "features": features.astype(np.float32) if single else features,
        "labels": labels,
        "groups": rng.integers(0, groups, rows),
        "source": features[::-1] + rng.integers(0, 2) * np.abs(features).max() * rng.random(features.shape),
        "source_labels": np.arange(rows) % 3,
        "posteriors": np.eye(4)[rng.integers(0, 4, rows)] if twins else rng.dirichlet(np.full(4, 0.05), rows),
        "metadata": METADATA,
    }


PLAIN = {"offset": 0.0, "exponent": 0, "classes": 2, "groups": 3, "twins": False, "single": False}
TWO = arguments(2, ["keep"], seed=0, **PLAIN)
SAME_TWO = arguments(2, ["keep", "copy"], seed=0, **PLAIN | {"twins": True, "offset": 1e6})
# without the second sample's group, the others are equal up to the rounding of the subtraction
LEFT_EQUAL = arguments(3, ["keep"], seed=1, **PLAIN | {"twins": True}) | {
    "features": [[125.73022], [-132.104863], [125.73022]],
    "groups": [0, 1, 2],
}


def finite_or_refused(name, data):
    try:
        value = score(estimator=name, **data)
    except ValueError as error:
        # LinAlgError is a ValueError too, and not a clear one
        assert type(error) is ValueError, error  # noqa: PT017
        assert ARGUMENTS.search(str(error)), error  # noqa: PT017
    else:
        assert math.isfinite(value)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in SLOW])
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(degenerate())
@example(TWO)
@example(SAME_TWO)
@example(LEFT_EQUAL)
def test_a_finite_number_or_a_clear_error(name, data):
    finite_or_refused(name, data)


@pytest.mark.parametrize("name", sorted(SLOW))
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(degenerate())
@example(TWO)
@example(SAME_TWO)
def test_a_finite_number_or_a_clear_error_of_slow_ones(name, data):
    finite_or_refused(name, data)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_inputs_and_score_agree(name, tall, inputs_for):
    rng = np.random.default_rng(0)
    data = {
        "features": tall.features[:40],
        "labels": tall.labels[:40],
        "groups": tall.groups[:40],
        "source": tall.features[40:90] + 0.3,
        "source_labels": tall.labels[40:90],
        "posteriors": rng.dirichlet(np.ones(5), 40),
    }
    by_inputs = ESTIMATORS[name].score(inputs_for(name, **data))
    assert score(estimator=name, metadata=METADATA, **data) == by_inputs


@pytest.mark.parametrize("name", ["logme", "held_out_evidence", "ridge", "h_score", "knn", "lda", "gbc"])
@pytest.mark.parametrize("rows", [2, 3])
def test_very_few_samples(name, rows):
    """One sample a class: what can be said of it, is said; what cannot, is refused by name."""
    features, labels = np.random.default_rng(0).standard_normal((rows, 5)), list(range(rows))
    if name in {"held_out_evidence", "ridge"} and rows == 2:
        with pytest.raises(ValueError, match="without group 0, labels have one class only, 1"):
            score(features, labels, name, groups=[0, 1])
    else:
        assert math.isfinite(score(features, labels, name, groups=list(range(rows))))
