"""Fine-tuning and pre-training: tune, and pretrain."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretune.tasks.errors import InputError
from foretune.terminal import progress_bars, say, show_runs

from .options import TUNING_RECORDS, Device, LayersOption, SkipBad, Utterances, chosen_layers

if TYPE_CHECKING:
    from foretune.tasks.utterance import TaskData
    from foretune.tuning import Run


class Protocol(StrEnum):
    """How to fine-tune."""

    LAYER = "layer"
    FULL = "full"
    SINGLE_LAYER = "single-layer"
    PROBE = "probe"


class TrainingPrecision(StrEnum):
    """What matrix products of training compute in; weights and evaluation stay in float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


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
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="10m|1h30m|…",
            help="Leave out what takes longer in all: the highest seeds first, then every other layer, then "
            "the dearest models; updates are never cut. No run begins after that time.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost, by timing a few updates, and stop.")
    ] = False,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            metavar="3e-4,1e-3,…",
            help="Try each, and take what does best on a held-out part of training; each costs a run.",
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            help="Share of the training part held out, to choose the learning rate by and to stop early; "
            "0.15 with --learning-rates, else none.",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=0, help="Updates of encoder and head; by default the task's own.")
    ] = None,
    dtype: Annotated[TrainingPrecision, typer.Option(help="What training computes in.")] = (
        TrainingPrecision.FLOAT32
    ),
) -> None:
    """Fine-tune for real: the ground truth that rankings are judged by.

    What the records already hold is not done again, so an interrupted grid goes on where it was. Settings
    that are not the defaults are part of a run: one file may hold runs with several, and what compares
    candidates refuses to mix them.

    Examples:
    - `foretune tune --task asr --model hubert --layers 0,6,12`
    - `foretune tune --task all --model all --protocol full --workers 2`
    - `foretune tune --task emotion_recognition --data calls.csv --model hubert --budget 10m`
    """
    depths = chosen_layers(layers)
    from foretune.models import expand
    from foretune.ranking import load_data
    from foretune.tasks import TASKS, get_task
    from foretune.tuning import data_of, plan, run_grid
    from foretune.tuning.budget import seconds_of

    seconds = None if budget is None else seconds_of(budget)
    settings = _settings(learning_rates, validation, steps, dtype)
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
    if dry_run or seconds is not None:
        sets = data_of(tasks, sets)
        runs = _within(runs, records, sets, device, settings, workers=workers, budget=seconds)
        if dry_run:
            return
    done = run_grid(
        runs,
        records=records,
        data=sets,
        device=device,
        workers=workers,
        retry_failed=retry_failed,
        settings=settings,
        seconds=seconds,
    )
    show_runs(done)
    if len(done) < len(runs):
        say(f"the budget is spent: {len(runs) - len(done)} runs were not begun; the same command goes on")
    failed = [record for record in done if record.status == "failed"]
    if failed:
        first = failed[0]
        say(f"{len(failed)} of {len(done)} runs failed: {first.model} layer {first.layer}: {first.error}")
        raise typer.Exit(1)


def _settings(
    learning_rates: str | None, validation: float | None, steps: int | None, dtype: TrainingPrecision
) -> dict[str, Any]:
    """Return the settings that depart from each task's own."""
    settings: dict[str, Any] = {}
    if learning_rates is not None:
        try:
            settings["learning_rates"] = tuple(float(each) for each in learning_rates.split(","))
        except ValueError:
            raise InputError(f"--learning-rates {learning_rates}: give numbers such as 3e-4,1e-3") from None
        settings["validation"] = 0.15
    if validation is not None:
        settings["validation"] = validation
    if steps is not None:
        settings["steps"] = steps
    if dtype is not TrainingPrecision.FLOAT32:
        settings["precision"] = dtype.value
    return settings


def _within(
    runs: list[Run],
    records: Path,
    data: Mapping[str, TaskData],
    device: str,
    settings: Mapping[str, Any],
    *,
    workers: int,
    budget: float | None,
) -> list[Run]:
    """Say what a grid will cost, and return the runs that a budget allows, those already done among them."""
    import torch

    from foretune.tuning.budget import duration, fit
    from foretune.tuning.costs import estimate
    from foretune.tuning.worker import Worker

    worker = Worker(records, data, device, settings)
    settled = worker.settled(runs, None)
    undone = [run for run in runs if run not in settled]
    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        costs = estimate(undone, worker, torch.get_num_threads(), say)
    finally:
        torch.set_num_threads(threads)
    done = f", {len(settled)} of them done already" if settled else ""
    known = f"; {costs.recorded} known from records" if costs.recorded else ""
    processes = f" with {workers} workers" if workers > 1 else ""
    say(f"{len(runs)} runs{done}: about {duration(costs.seconds(undone, workers))}{processes}{known}")
    if budget is None or not undone:
        return runs
    kept, left_out = fit(undone, costs, budget, workers)
    if left_out:
        say(f"left out to fit into {duration(budget)}: {'; '.join(left_out)}")
        say(f"{len(kept)} runs to do: about {duration(costs.seconds(kept, workers))}{processes}")
    return [run for run in runs if run in settled or run in set(kept)]


def pretrain(
    name: Annotated[str, typer.Argument(help="Of a recipe, such as hubert.")],
    *,
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
    device: Device = "cpu",
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
            device=device,
            report=lambda stage, step, last, _loss, _watched: show(stage, step, last),
        )
    say(f"wrote {folder}; use it with --model {folder}")
