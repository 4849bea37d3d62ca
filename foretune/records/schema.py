"""What every record has."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .origin import Provenance

SCHEMA: Literal[3] = 3
"""What is written. Schemas 1 and 2 had fewer fields; they are read too, as these have defaults."""


class RecordBase(BaseModel):
    """What every record has: the schema, what was done on what data with what model, and its origin."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # `schema` is a method of pydantic's models, hence the alias
    schema_version: Literal[1, 2, 3] = Field(default=SCHEMA, alias="schema")
    task: str
    suite: str
    data_revision: str
    model: str
    provenance: Provenance

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, fields: Any) -> Any:
        return _without_numpy(fields)


def _without_numpy(value: Any) -> Any:
    """Return a value with NumPy's numbers and arrays, at whatever depth, as Python's numbers and lists."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _without_numpy(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numpy(each) for each in value]
    return value
