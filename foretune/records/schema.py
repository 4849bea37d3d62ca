"""What every record has."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .origin import Provenance

SCHEMA: Literal[1] = 1


class RecordBase(BaseModel):
    """What every record has: the schema, what was done on what data with what model, and its origin."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # `schema` is a method of pydantic's models, hence the alias
    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    task: str
    suite: str
    data_revision: str
    model: str
    provenance: Provenance
