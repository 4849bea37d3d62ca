"""Gates: how well an estimator must agree with the ground truth, or the benchmark fails.

A TOML file with one table a cell, `[TASK.layers.MODEL.ESTIMATOR]` or `[TASK.models.ESTIMATOR]`, and
in it `least_spearman`, `largest_p_value`, both or neither, and a `reason`, which is required
where an agreement is not gated or its gate is low. A cell that the file does not name is not gated.
Where layers were fine-tuned each alone, `single-layer` stands in the place of `layers`; where models were
not fine-tuned but probed, `probe` in that of `models`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foretune.tasks.errors import InputError

LOW = 0.5
"""A least Spearman's ρ below this needs a reason."""

PROTOCOLS = {"single-layer": "layers", "probe": "models"}
"""Other ways to fine-tune than the whole encoder up to a layer, settings of their own; and what they rank."""


class Gate(BaseModel):
    """The thresholds of one cell.

    Attributes:
        least_spearman: ρ must be at least this; None: not gated.
        largest_p_value: p must be at most this; None: not gated.
        reason: why a threshold is low or absent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    least_spearman: Annotated[float, Field(ge=-1, le=1)] | None = None
    largest_p_value: Annotated[float, Field(gt=0, le=1)] | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _says_why(self) -> Gate:
        low = self.least_spearman is None or self.least_spearman < LOW
        if low and not self.reason:
            raise ValueError(f"least_spearman is absent or below {LOW}: give the reason")
        return self

    def complaint(self, spearman: float | None, p_value: float | None, error: str = "") -> str:
        """Return the violations as one line for whoever reads the failed test."""
        broken = "; ".join(self.violations(spearman, p_value))
        return broken + (f" (no score: {error})" if error else "")

    def violations(self, spearman: float | None, p_value: float | None) -> list[str]:
        """Return what breaks the gate, in words; empty where it holds.

        A missing statistic (the estimator failed) breaks every threshold there is.
        """
        found = []
        if self.least_spearman is not None and (spearman is None or spearman < self.least_spearman):
            found.append(f"Spearman's ρ is {_shown(spearman)}, must be at least {self.least_spearman}")
        if self.largest_p_value is not None and (p_value is None or p_value > self.largest_p_value):
            found.append(f"p is {_shown(p_value)}, must be at most {self.largest_p_value}")
        return found


NO_GATE = Gate.model_construct()
"""What holds where the file says nothing."""


class Gates:
    """The cells of a file, by (task, setting, model, estimator); the model is `all` for models.

    The setting is `layers`, `models`, or the protocol of `PROTOCOLS` by which candidates were fine-tuned.
    """

    def __init__(self, cells: Mapping[tuple[str, str, str, str], Gate]) -> None:
        self.cells = dict(cells)

    @classmethod
    def read(cls, path: Path) -> Gates:
        """Read a file of gates.

        Raises:
            InputError: it is missing, is not TOML, or has a table that is no cell.
        """
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); give a file of gates") from None
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{path}: not TOML: {error}") from None
        cells = {}
        for names, table in _tables(path, tree):
            try:
                cells[names] = Gate.model_validate(table)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join((*names, *(str(part) for part in first["loc"])))
                raise InputError(f"{path}: {where}: {first['msg']}") from None
        return cls(cells)

    def of(self, task: str, setting: str, model: str, estimator: str, protocol: str = "layer") -> Gate:
        """Return the gate of a cell; `NO_GATE` where there is none."""
        return self.cells.get((task, setting_of(setting, protocol), model, estimator), NO_GATE)


def setting_of(setting: str, protocol: str) -> str:
    """Return what a setting is called in a file of gates."""
    return protocol if protocol in PROTOCOLS else setting


def judged_as(setting: str) -> str:
    """Return whether a setting of a file of gates ranks `layers` or `models`."""
    return PROTOCOLS.get(setting, setting)


def _tables(path: Path, tree: object) -> list[tuple[tuple[str, str, str, str], object]]:
    """List the tables at the depth of cells, with the names that lead there."""
    found: list[tuple[tuple[str, str, str, str], object]] = []
    for task, settings in _items(path, tree, "a table of tasks"):
        for setting, below in _items(path, settings, f"{task} as a table of settings"):
            if judged_as(setting) == "models":
                for estimator, gate in _items(path, below, f"{task}.{setting} as a table of estimators"):
                    found.append(((task, setting, "all", estimator), gate))
            elif judged_as(setting) == "layers":
                for model, gates in _items(path, below, f"{task}.{setting} as a table of models"):
                    for estimator, gate in _items(path, gates, f"{task}.{setting}.{model} as a table"):
                        found.append(((task, setting, model, estimator), gate))
            else:
                known = ", ".join(("models", "layers", *PROTOCOLS))
                raise InputError(f"{path}: {task}.{setting}: a setting is one of {known}")
    return found


def _items(path: Path, node: object, wanted: str) -> list[tuple[str, object]]:
    if not isinstance(node, dict):
        raise InputError(f"{path}: expected {wanted}, found {node!r}")
    return list(node.items())


def _shown(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"
