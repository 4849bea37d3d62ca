"""The estimators by name: ours, and those that other packages bring."""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .inputs import Inputs

NEEDS = {
    "moments": "moments of the target features",
    "samples": "a sample of the target features",
    "labels": "labels= of the target samples",
    "source": "source= features of the pre-training data",
    "source_labels": "source_labels= of the source samples",
    "posteriors": "posteriors= of the candidate's own classifier",
    "metadata": "metadata= of the candidate",
    "other_tasks": "metadata= with other_tasks, the share of candidates beaten on other tasks",
    "class_gram": "moments made with class_gram=True",
    "groups": "groups= of the samples, such as speakers (moments made with grouped=True)",
}
"""What an estimator may need, and how a message asks for it."""


class UnknownEstimatorError(ValueError):
    """No estimator has this name; the message suggests the nearest."""


class MissingInputError(ValueError):
    """The estimator needs something that was not given; the message says what to pass."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way of scoring a layer for a task before any fine-tuning; higher predicts better transfer.

    Attributes:
        name: as given to `--estimator`.
        title: in words.
        needs: keys of `NEEDS`.
        compute: from inputs that have what is needed to a score.
        reference: the paper.
        complexity: time and memory in N samples, D features, C classes.
    """

    name: str
    title: str
    needs: frozenset[str]
    compute: Callable[[Inputs], float]
    reference: str = ""
    complexity: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(self.needs - set(NEEDS))
        if unknown:
            raise ValueError(f"estimator {self.name}: unknown need {unknown[0]!r}; known: {', '.join(NEEDS)}")

    @property
    def direction(self) -> Literal["higher"]:
        """Which scores predict better transfer: of every estimator the higher, distances being negated."""
        return "higher"

    def score(self, inputs: Inputs) -> float:
        """Return the score.

        Raises:
            MissingInputError: something that is needed is missing; the message says what to pass.
            ValueError: the inputs cannot be scored, or the score is not a finite number.
        """
        for need, what in NEEDS.items():
            if need in self.needs and not _has(inputs, need, self.needs):
                raise MissingInputError(f"estimator {self.name} needs {what}")
        value = float(self.compute(inputs))
        if not math.isfinite(value):
            raise ValueError(f"estimator {self.name} gives {value}; the features are degenerate for it")
        return value


def _has(inputs: Inputs, need: str, needs: frozenset[str]) -> bool:
    moments, samples = inputs.moments, inputs.samples
    checks: dict[str, Callable[[], bool]] = {
        "labels": lambda: (
            (samples is not None and samples.labels is not None)
            if "samples" in needs
            else (moments is not None and bool(moments.classes))
        ),
        "source_labels": lambda: inputs.source is not None and inputs.source.labels is not None,
        "other_tasks": lambda: inputs.metadata is not None and inputs.metadata.other_tasks is not None,
        "class_gram": lambda: moments is not None and moments.has_class_gram,
        "groups": lambda: (
            (samples is not None and samples.groups is not None)
            if "samples" in needs
            else (moments is not None and moments.grouped)
        ),
    }
    check = checks.get(need)
    value: Any = check() if check else getattr(inputs, need) is not None
    return bool(value)


ESTIMATORS: dict[str, Estimator] = {}
"""Every estimator by name: ours, and after `load_plugins` those of other packages."""


def register(estimator: Estimator) -> Estimator:
    """Add an estimator to the registry.

    Raises:
        ValueError: there is another one of that name.
    """
    if ESTIMATORS.setdefault(estimator.name, estimator) is not estimator:
        raise ValueError(f"two estimators are named {estimator.name!r}; rename one of them")
    return estimator


@functools.cache
def load_plugins() -> None:
    """Register the estimators that installed packages name in the entry points `foretune.estimators`.

    Raises:
        TypeError: an entry point is not an Estimator.
        ValueError: one takes the name of another estimator.
    """
    for entry in importlib.metadata.entry_points(group="foretune.estimators"):
        estimator = entry.load()
        if not isinstance(estimator, Estimator):
            raise TypeError(f"entry point {entry.name} = {entry.value} is not an Estimator")
        register(estimator)


def get_estimator(name: str) -> Estimator:
    """Return an estimator by name.

    Raises:
        UnknownEstimatorError: there is none; the message suggests the nearest names.
    """
    load_plugins()
    if name not in ESTIMATORS:
        near = difflib.get_close_matches(name.lower(), ESTIMATORS, n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(ESTIMATORS)}"
        raise UnknownEstimatorError(f"no estimator is named {name!r}; {hint}")
    return ESTIMATORS[name]
