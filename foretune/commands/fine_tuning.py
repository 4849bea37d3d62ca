"""Fine-tuning and pre-training: tune, and pretrain."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretune.tasks.errors import InputError
from foretune.terminal import progress_bars, say, show_runs

from .options import TUNING_RECORDS, Device, LayersOption, SkipBad, Utterances, chosen_layers

if TYPE_CHECKING:
    from foretune.records import TuningRecord
    from foretune.tuning import Run
    from foretune.tuning.costs import Estimate
    from foretune.tuning.worker import Worker


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
    max_seeds: Annotated[
        int | None,
        typer.Option(
            metavar="5",
            help="Give the candidates of a setting (layers of one model, or models) so many seeds where the "
            "first ones disagree: candidates spread over less than 5 standard deviations over seeds, or "
            "rankings by some seeds agree with those by the others by less than 0.9 (split-half).",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Your speech, as for rank; the embedded speech by default.")
    ] = None,
    utterances: Utterances = None,
    skip_bad: SkipBad = False,
    records: Annotated[Path, typer.Option(help="Each result is added to this file.")] = TUNING_RECORDS,
    device: Annotated[
        str,
        typer.Option(
            metavar="cpu|cuda|cuda:0,cuda:1|…", help="A torch device, or several, which workers take in turn."
        ),
    ] = "cpu",
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes, one for each device at least; if several, each on one thread of the CPU."
        ),
    ] = 1,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again what failed.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="10m|1h30m|…",
            help="Leave out what takes longer in all: the highest seeds first, then every other layer, then "
            "the dearest models; updates are never cut. No run begins after that time. Further seeds come "
            "last, and only where nothing was left out.",
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

    What the records already hold is not done again, so an interrupted grid goes on where it was, and a run of
    minutes from where it stood a minute before. Settings that are not the defaults are part of a run: one
    file may hold runs with several, and what compares candidates refuses to mix them.

    Examples:
    - `foretune tune --task asr --model hubert --layers 0,6,12`
    - `foretune tune --task all --model all --protocol full --workers 2`
    - `foretune tune --task asr --model all --seeds 3 --max-seeds 5`
    - `foretune tune --task asr --model ./large --learning-rates 1e-5,1e-4,1e-3 --device cuda:0,cuda:1`
    - `foretune tune --task emotion_recognition --data calls.csv --model hubert --budget 10m`
    """
    depths = chosen_layers(layers)
    from foretune.models import expand
    from foretune.ranking import load_data
    from foretune.tasks import TASKS, get_task
    from foretune.tuning import data_of, further_runs, plan, run_grid
    from foretune.tuning.budget import seconds_of
    from foretune.tuning.further import check_seeds
    from foretune.tuning.grid import crew_of
    from foretune.tuning.worker import Worker

    if max_seeds is not None:
        check_seeds(seeds, max_seeds)
    seconds = None if budget is None else seconds_of(budget)
    settings = _settings(learning_rates, validation, steps, dtype)
    tasks = list(TASKS) if "all" in task else task
    if data is not None and len(tasks) != 1:
        raise InputError("--data: one task at a time; give one --task")
    runs = plan(
        tasks,
        expand(model),
        layers=depths,
        protocol=protocol.value,
        seeds=seeds,
        report=say if learning_rates is None else lambda _: None,
    )
    sets = None
    if data is not None:
        sets = {
            tasks[0]: load_data(
                get_task(tasks[0]), data, utterances=utterances, skip_bad=skip_bad, report=say
            )
        }
    if dry_run or seconds is not None:
        sets = data_of(tasks, sets)
        crew = crew_of(device, workers)
        worker = Worker(records, sets, crew[0], settings)
        kept = _within(runs, worker, workers=len(crew), budget=seconds, max_seeds=max_seeds)
        if dry_run:
            return
        if len(kept) < len(runs):
            runs, max_seeds = kept, None
    done = run_grid(
        runs,
        records=records,
        data=sets,
        device=device,
        workers=workers,
        retry_failed=retry_failed,
        settings=settings,
        seconds=seconds,
        max_seeds=max_seeds,
        report=say,
    )
    show_runs(done)
    undone = len(runs) - sum(record.seed < seeds for record in done)
    if max_seeds is not None:
        undone += len(further_runs(done, seeds=seeds, max_seeds=max_seeds))
    _say_what_is_left(undone, done)


def _say_what_is_left(undone: int, done: Sequence[TuningRecord]) -> None:
    """Say how many runs were not begun, and which failed; exit with 1 where some did."""
    if undone:
        say(f"the budget is spent: {undone} runs were not begun; the same command goes on")
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
    runs: list[Run], worker: Worker, *, workers: int, budget: float | None, max_seeds: int | None
) -> list[Run]:
    """Say what a grid will cost, and return the runs that a budget allows, those already done among them."""
    from foretune.tuning.budget import duration, fit

    settled = worker.settled(runs, None)
    undone = [run for run in runs if run not in settled]
    further = _further(runs, list(settled.values()), worker, max_seeds)
    costs = _estimate([*undone, *further], worker, workers)
    done = f", {len(settled)} of them done already" if settled else ""
    known = f"; {costs.recorded} known from records" if costs.recorded else ""
    processes = f" with {workers} workers" if workers > 1 else ""
    say(f"{len(runs)} runs{done}: about {duration(costs.seconds(undone, workers))}{processes}{known}")
    if max_seeds is not None:
        at_most = "up to " if undone else ""
        say(
            f"{at_most}{len(further)} further runs where seeds disagree, up to {max_seeds} seeds: "
            f"{at_most}about {duration(costs.seconds(further, workers))}{processes}"
        )
    if budget is None or not undone:
        return runs
    kept, left_out = fit(undone, costs, budget, workers)
    if left_out:
        say(f"left out to fit into {duration(budget)}: {'; '.join(left_out)}")
        say(f"{len(kept)} runs to do: about {duration(costs.seconds(kept, workers))}{processes}")
    return [run for run in runs if run in settled or run in set(kept)]


def _further(
    runs: list[Run], settled: list[TuningRecord], worker: Worker, max_seeds: int | None
) -> list[Run]:
    """Return the undone runs with further seeds: those there may be, until all first seeds are settled."""
    from foretune.tuning.further import further_runs, possible_runs

    if max_seeds is None or not runs:
        return []
    if len(settled) < len(runs):
        further = possible_runs(runs, max_seeds)
    else:
        further = further_runs(settled, seeds=1 + max(run.seed for run in runs), max_seeds=max_seeds)
    done = worker.settled(further, None)
    return [run for run in further if run not in done]


def _estimate(runs: list[Run], worker: Worker, workers: int) -> Estimate:
    """Estimate what runs cost, on as many threads as they will have."""
    import torch

    from foretune.tuning.costs import estimate

    threads = torch.get_num_threads()
    if workers > 1:
        torch.set_num_threads(1)
    try:
        return estimate(runs, worker, torch.get_num_threads(), say)
    finally:
        torch.set_num_threads(threads)


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
