"""What there is, and whether it does what it promises: list, and check."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foretune.tasks.errors import InputError
from foretune.terminal import check_output, say, show_table, write_json

from .options import Device


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    TASKS = "tasks"
    CORPORA = "corpora"
    ESTIMATORS = "estimators"


class Pool(StrEnum):
    """Which models can be listed."""

    SHIPPED = "shipped"
    HUB = "hub"


class Order(StrEnum):
    """What models on the hub are listed by."""

    POOL = "pool"
    NAME = "name"
    FAMILY = "family"
    PARAMETERS = "parameters"
    LICENCE = "licence"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    pool: Annotated[
        Pool, typer.Option(help="Which models: those that ship, or known ones on the hub.")
    ] = Pool.SHIPPED,
    match: Annotated[
        str, typer.Option(help="Of the hub's: those whose id, family, data, licence or note has this text.")
    ] = "",
    sort: Annotated[Order, typer.Option(help="Of the hub's: their order.")] = Order.POOL,
) -> None:
    """List the models that ship or that the hub has, the tasks, corpora of real speech, or the estimators.

    Examples:
    - `foretune list estimators`
    - `foretune list models --pool hub --match mit --sort parameters`
    - `foretune list corpora`
    """
    if (match or sort is not Order.POOL) and pool is not Pool.HUB:
        raise InputError("--match and --sort: for the hub's models; add --pool hub")
    if kind is Kind.MODELS and pool is Pool.HUB:
        from foretune.models import hub_pool

        columns = ["id", "revision", "family", "parameters", "pre-training data", "licence", "source"]
        show_table(
            "models on the hub (empty: not known)",
            columns,
            hub_pool.describe(hub_pool.select(match, sort.value)),
        )
    elif kind is Kind.MODELS:
        from foretune.models import describe

        show_table("models", ["name", "family", "objective", "pre-training data", "licence"], describe())
    elif kind is Kind.TASKS:
        from foretune.tasks import TASKS

        columns = ["name", "code", "metric", "labels from", "what it is"]
        rows = [
            [each.name, each.code, each.metric, " or ".join(each.columns), each.description]
            for each in TASKS.values()
        ]
        show_table("tasks", columns, rows)
    elif kind is Kind.CORPORA:
        _list_corpora()
    else:
        from foretune.estimators import ESTIMATORS, load_plugins

        load_plugins()
        columns = ["name", "what it is", "needs", "better", "reference", "complexity"]
        show_table(
            "estimators (N samples, D features, C classes)",
            columns,
            [
                [
                    each.name,
                    each.title,
                    ", ".join(sorted(each.needs)),
                    each.direction,
                    each.reference,
                    each.complexity,
                ]
                for each in ESTIMATORS.values()
            ],
        )


def _list_corpora() -> None:
    from foretune.tasks.corpora import CORPORA

    columns = ["name", "tasks", "licence", "size", "on the hub", "to be got by hand", "what its folder holds"]
    rows = []
    for each in CORPORA.values():
        place = "–" if each.hub is None else each.hub.repository
        rows.append(
            [each.name, ", ".join(each.tasks), each.licence, each.size, place, each.by_hand, each.layout]
        )
    show_table("corpora: --data NAME:FOLDER, or --data NAME where it is on the hub", columns, rows)


def check(
    model: Annotated[str, typer.Argument(help="A candidate, by any name that rank takes.")],
    json: Annotated[Path | None, typer.Option(help="Write what was found to this file too.")] = None,
    device: Device = "cpu",
) -> None:
    """Try on noise what a candidate has to promise: padding, layers, frames, cuts, gradients.

    Exit code 1 where a promise is broken: its rankings would mean nothing.

    Examples:
    - `foretune check hubert`
    - `foretune check owner/model --json contract.json`
    """
    check_output(json, "--json")
    from dataclasses import asdict

    from foretune import contract
    from foretune.models import load_candidate

    found = contract.check(load_candidate(model, device=device))
    show_table(
        model, ["", "value"], [[fact, "–" if value is None else value] for fact, value in found.facts.items()]
    )
    rows = [[each.promise, "yes" if each.holds else "NO", each.measured] for each in found.findings]
    show_table("promises", ["promise", "holds", "measured"], rows)
    say(f"{found.frames_per_second:,.0f} frames per second, all layers, on {device}")
    if json is not None:
        write_json(json, {**asdict(found), "holds": found.holds})
    if not found.holds:
        raise typer.Exit(1)
