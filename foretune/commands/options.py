"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from foretune.tasks.errors import InputError

RECORDS = Path("results/records/embedded.jsonl")
TUNING_RECORDS = Path("results/records/tuning.jsonl")
LOCAL_RECORDS = Path("results/records/local.jsonl")


class Precision(StrEnum):
    """What a forward pass computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


Device = Annotated[str, typer.Option(help="A torch device: cpu, cuda, cuda:1.")]
LayersOption = Annotated[str, typer.Option(metavar="all|last|1,2,…", help="Which layers of each model.")]
AlignerOption = Annotated[
    str | None,
    typer.Option(
        help="What aligns transcripts with speech: embedded (ships), mms_fa, a folder with a CTC checkpoint, "
        "or owner/model on the hub. By default the one that ships, where there are no true times."
    ),
]
Utterances = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most so many of each part of a corpus that is named; by default all that are in its folder, "
        "and 1,000 from the hub.",
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows of a manifest out and go on.")]


def chosen_layers(text: str) -> Literal["all", "last"] | list[int]:
    """Read `all`, `last` or layers with commas between them.

    Raises:
        InputError: it is something else.
    """
    if text == "all":
        return "all"
    if text == "last":
        return "last"
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--layers {text}: give all, last, or layers such as 0,6,12") from None
