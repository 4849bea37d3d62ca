"""Fine-tuning and pre-training: tune, and pretrain."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from foretune.tasks.errors import InputError
from foretune.terminal import progress_bars, say, show_runs

from .options import TUNING_RECORDS, Device, LayersOption, SkipBad, Utterances, chosen_layers


class Protocol(StrEnum):
    """How to fine-tune."""

    LAYER = "layer"
    FULL = "full"
    SINGLE_LAYER = "single-layer"
    PROBE = "probe"


def tune(
    *,
    task: Annotated[list[str], typer.Option(help="A task, once for each, or all.")],
    model: Annotated[list[str], typer.Option(help="A candidate, once for each, or all that ship.")],
    layers: LayersOption = "all",
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="layer: the encoder cut after each layer; full: all of it; single-layer: each layer alone, "
            "what is below it frozen; probe: a learned sum of all layers, frozen."
        ),
    ] = Protocol.LAYER,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with seeds from 0.")] = 3,
    data: Annotated[
        str | None, typer.Option(help="Your speech, as for rank; the embedded speech by default.")
    ] = None,
    utterances: Utterances = None,
    skip_bad: SkipBad = False,
    records: Annotated[Path, typer.Option(help="Each result is added to this file.")] = TUNING_RECORDS,
    device: Device = "cpu",
    workers: Annotated[int, typer.Option(min=1, help="Processes, each on one thread if several.")] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
) -> None:
    """Fine-tune for real: the ground truth that rankings are judged by.

    What the records already hold is not done again, so an interrupted grid goes on where it was.

    Examples:
    - `foretune tune --task asr --model hubert --layers 0,6,12`
    - `foretune tune --task all --model all --protocol full --workers 2`
    """
    depths = chosen_layers(layers)
    from foretune.models import expand
    from foretune.ranking import load_data
    from foretune.tasks import TASKS, get_task
    from foretune.tuning import plan, run_grid

    tasks = list(TASKS) if "all" in task else task
    if data is not None and len(tasks) != 1:
        raise InputError("--data: one task at a time; give one --task")
    runs = plan(tasks, expand(model), layers=depths, protocol=protocol.value, seeds=seeds)
    sets = None
    if data is not None:
        sets = {
            tasks[0]: load_data(
                get_task(tasks[0]), data, utterances=utterances, skip_bad=skip_bad, report=say
            )
        }
    done = run_grid(
        runs, records=records, data=sets, device=device, workers=workers, retry_failed=retry_failed
    )
    show_runs(done)
    failed = [record for record in done if record.status == "failed"]
    if failed:
        first = failed[0]
        say(f"{len(failed)} of {len(done)} runs failed: {first.model} layer {first.layer}: {first.error}")
        raise typer.Exit(1)


def pretrain(
    name: Annotated[str, typer.Argument(help="Of a recipe, such as hubert.")],
    output: Annotated[Path, typer.Option(help="Folder that gets NAME/ with the weights.")] = Path(
        "pretrained"
    ),
    work: Annotated[Path, typer.Option(help="Folder for checkpoints; training goes on from them.")] = Path(
        "pretrained/checkpoints"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Updates instead of the recipe's, for trials.")
    ] = None,
    utterances: Annotated[
        int | None, typer.Option(min=1, help="Of the corpus instead of the recipe's, for trials.")
    ] = None,
) -> None:
    """Pre-train an encoder of the zoo on the embedded speech, as the one that ships was.

    Example: `foretune pretrain hubert --output my-zoo`
    """
    from foretune.models.pretraining import pretrain as run

    with progress_bars() as show:
        folder = run(
            name,
            output=output,
            work=work,
            steps=steps,
            utterances=utterances,
            report=lambda stage, step, last, _loss, _watched: show(stage, step, last),
        )
    say(f"wrote {folder}; use it with --model {folder}")
