"""Encoders on the Hugging Face hub that people use: what is known of each, and where from.

hub_pool.csv beside this file holds a line for each. Nothing here is guessed: what no source was found for
is empty. `revision` is one that holds safetensors, as the hub's pages show them, so that it can be
loaded (`owner/model@revision`): a commit, or, where only the hub's own conversion of a pickle has them,
the branch of that proposal, which is not merged. It is empty where none was seen, since the hub could not
be asked when the list was made: the newest revision may have safetensors or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foretune.tasks.errors import InputError
from foretune.tasks.published.rows import Row, read_rows

from .hub import is_hub_id

POOL = Path(__file__).with_name("hub_pool.csv")

_COLUMNS = (
    "hub_id",
    "family",
    "parameters_millions",
    "pretraining",
    "licence",
    "revision",
    "source",
    "note",
)


@dataclass(frozen=True, slots=True)
class HubModel:
    """An encoder on the hub.

    Attributes:
        hub_id: owner/model.
        family: as its configuration calls it, such as `wav2vec2`.
        parameters: in millions; None where unknown.
        pretraining: the speech that it heard; empty where unknown.
        licence: of the weights; empty where unknown.
        revision: that holds safetensors; empty where unknown.
        source: of all that.
        note: what else to know.
    """

    hub_id: str
    family: str
    parameters: float | None
    pretraining: str
    licence: str
    revision: str
    source: str
    note: str

    @property
    def name(self) -> str:
        """Return what `--model` takes: the id, with its revision where one is known."""
        return f"{self.hub_id}@{self.revision}" if self.revision else self.hub_id


def hub_pool(path: Path = POOL) -> list[HubModel]:
    """Return the encoders of the pool, in the file's order.

    Raises:
        InputError: the file is damaged; the message names it and the row.
    """
    return [_model(row) for row in read_rows(path, _COLUMNS, key=["hub_id"])]


def meant_by(name: str) -> list[HubModel]:
    """Return the encoders that a short name means: that whose id ends so, or those whose id goes on from it.

    >>> [model.hub_id for model in meant_by("wavlm-base")]
    ['microsoft/wavlm-base']
    >>> [model.hub_id for model in meant_by("hubert-base")]
    ['facebook/hubert-base-ls960']
    """
    short = {model.hub_id.partition("/")[2].lower(): model for model in hub_pool()}
    wanted = name.lower()
    if wanted in short:
        return [short[wanted]]
    return [model for tail, model in short.items() if tail.startswith(f"{wanted}-")]


def resolve(name: str) -> str:
    """Return what `--model` takes for a name of the pool: the id, with its revision where one is known.

    Args:
        name: an id as the pool has it, or a short name, such as `wavlm-base`.

    Raises:
        InputError: the pool has none of this name, or several; the message names them.
    """
    known = [model for model in hub_pool() if model.hub_id == name] or meant_by(name)
    if len(known) == 1:
        return known[0].name
    if known:
        raise InputError(f"model {name}: which of {', '.join(model.hub_id for model in known)}?")
    raise InputError(
        f"model {name}: not in the pool of the hub; see foretune list models --pool hub, or give owner/model"
    )


def _model(row: Row) -> HubModel:
    known = row.cells["parameters_millions"]
    model = HubModel(
        hub_id=row.text("hub_id"),
        family=row.text("family"),
        parameters=row.number_in("parameters_millions", 0.1, 1e6) if known else None,
        pretraining=row.cells["pretraining"],
        licence=row.cells["licence"],
        revision=row.cells["revision"],
        source=row.text("source"),
        note=row.cells["note"],
    )
    if not is_hub_id(model.name):
        raise InputError(f"{row.path}: row {row.number}: {model.name} is no hub id; write owner/model")
    return model


ORDERS: dict[str, Callable[[HubModel], tuple[object, ...]]] = {
    "pool": lambda model: (),
    "name": lambda model: (model.hub_id.lower(),),
    "family": lambda model: (model.family,),
    "parameters": lambda model: (model.parameters is None, model.parameters or 0.0),
    "licence": lambda model: (not model.licence, model.licence.lower()),
}
"""What the pool is sorted by, by name; `pool` is the file's own order. What is not known comes last."""


def select(matching: str = "", order: str = "pool") -> list[HubModel]:
    """Return the encoders that hold a text, in some order.

    Args:
        matching: found in id, family, pre-training data, licence or note, whatever the case.
        order: one of `ORDERS`.
    """
    wanted = matching.lower()
    found = []
    for model in hub_pool():
        texts = (model.hub_id, model.family, model.pretraining, model.licence, model.note)
        if any(wanted in text.lower() for text in texts):
            found.append(model)
    return sorted(found, key=ORDERS[order])


def describe(models: Sequence[HubModel] | None = None) -> list[list[str]]:
    """Return id, revision, family, parameters, pre-training data, licence, source, for `foretune list`.

    Args:
        models: of the pool; all of it by default.
    """
    return [
        [
            model.hub_id,
            model.revision,
            model.family,
            "" if model.parameters is None else f"{model.parameters:g} M",
            model.pretraining,
            model.licence,
            "; ".join(part for part in (model.source, model.note) if part),
        ]
        for model in (hub_pool() if models is None else models)
    ]
