"""Whether a run is worse than an earlier one: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretune.terminal import check_output, say, write_json


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Records of the saved run.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Records of the run to judge.")],
    *,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="How much worse a measure may be: spearman=-0.05, regret=+10%, time=+50%, "
            "spearman=interval, or of some cells spearman@*.logme=-0.02; once for each or with commas. "
            "By default spearman=-0.05.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STATE",
            help="What does not fail: missing, new, failed, changed, untimed, unbounded; "
            "once for each or with commas.",
        ),
    ] = None,
    shortest: Annotated[
        float, typer.Option(min=0.0, help="Seconds; shorter times count as this, since chance decides them.")
    ] = 0.1,
    json: Annotated[Path | None, typer.Option(help="Write what was found to this file too.")] = None,
) -> None:
    """Hold the records of a run against those of an earlier one, cell by cell.

    Exit code 1 where a cell is worse than its limit, and where one is missing, new, failed, made from
    something else or not comparable, unless that is allowed.

    Examples:
    - `foretune compare saved.jsonl results/records/embedded.jsonl`
    - `foretune compare saved.jsonl new.jsonl --fail-under spearman=-0.02,time=+50% --allow new`
    """
    check_output(json, "--json")
    from foretune.gates import Limits
    from foretune.gates import compare as hold
    from foretune.gates.display import summary, table
    from foretune.records import read

    limits = Limits.parse(fail_under or (), shortest=shortest)
    before, after = read(old), read(new)
    for path, records in ((old, before), (new, after)):
        torn = sum(bool(line.strip()) for line in path.read_bytes().split(b"\n")) - len(records)
        if torn > 0:
            say(f"{path}: {torn} torn line{'s' if torn > 1 else ''} left out")
    found = hold(before, after, limits, allowed=_names(allow or ()))
    if found.findings:
        typer.echo(table(found.findings))
    say(summary(found))
    if json is not None:
        write_json(json, {"old": str(old), "new": str(new), "limits": str(limits), **found.as_dict()})
    if not found.passed:
        raise typer.Exit(1)


def _names(texts: list[str] | tuple[()]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]
