"""The command `foretune`: rank, align, list, tune, judge, pretrain, report.

What the user gave and cannot be used is one line on standard error, and exit code 2. Heavy imports
happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from foretune.tasks.errors import InputError
from foretune.terminal import (
    check_output,
    progress_bars,
    say,
    show_agreements,
    show_alignments,
    show_ranking,
    show_runs,
    show_table,
    write_json,
    write_lines,
)

RECORDS = Path("results/records/embedded.jsonl")
TUNING_RECORDS = Path("results/records/tuning.jsonl")
LOCAL_RECORDS = Path("results/records/local.jsonl")


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command; what the user gave and cannot be used is one line, not a traceback."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from foretune.estimators import MissingInputError, UnknownEstimatorError

            if not isinstance(error, InputError | MissingInputError | UnknownEstimatorError):
                raise
            say(f"foretune: error: {' '.join(str(error).split())}")
            raise typer.Exit(2) from None


class Kind(StrEnum):
    """What can be listed."""

    MODELS = "models"
    TASKS = "tasks"
    ESTIMATORS = "estimators"


class Pool(StrEnum):
    """Which models can be listed."""

    SHIPPED = "shipped"
    HUB = "hub"


class Protocol(StrEnum):
    """How to fine-tune."""

    LAYER = "layer"
    FULL = "full"


class Precision(StrEnum):
    """What a forward pass computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


app = typer.Typer(
    name="foretune",
    cls=_Commands,
    help="""Rank pre-trained speech models, and their layers, before fine-tuning any of them.

Start with `foretune rank --task emotion_recognition --data manifest.csv --model all`.
""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
Device = Annotated[str, typer.Option(help="A torch device: cpu, cuda, cuda:1.")]
LayersOption = Annotated[str, typer.Option(metavar="all|last|1,2,…", help="Which layers of each model.")]
AlignerOption = Annotated[
    str | None,
    typer.Option(
        help="What aligns transcripts with speech: embedded (ships), mms_fa, a folder with a CTC checkpoint, "
        "or owner/model on the hub. By default the one that ships, where there are no true times."
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows of a manifest out and go on.")]


@app.command()
def rank(
    *,
    task: Annotated[str, typer.Option(help="What the speech is to be used for; see `foretune list tasks`.")],
    model: Annotated[
        list[str],
        typer.Option(
            help="A candidate, once for each: a name from `foretune list models`, a local folder, "
            "owner/model[@revision] on the Hugging Face hub, NAME-untrained, or all that ship."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your speech: CSV, TSV, JSON lines or Parquet with the columns path, text, speaker, emotion "
            "or label, and optionally split; or an audio folder. The embedded speech by default."
        ),
    ] = None,
    layers: LayersOption = "all",
    estimator: Annotated[str, typer.Option(help="What scores; see `foretune list estimators`.")] = "logme",
    source: Annotated[
        Path | None,
        typer.Option(
            help="Speech from the models' pre-training, for estimators that compare with it: a manifest or "
            "folder, or embedded for that of the shipped models."
        ),
    ] = None,
    aligner: AlignerOption = None,
    silence: Annotated[
        str, typer.Option(help="Frames in which nothing is said: drop, own-class or nearest.")
    ] = "drop",
    skip_bad: SkipBad = False,
    standard_errors: Annotated[
        bool,
        typer.Option(help="Say how sure scores made from moments are, by leaving out groups of samples."),
    ] = True,
    json: Annotated[Path | None, typer.Option(help="Write the ranking to this file too.")] = None,
    device: Device = "cpu",
    dtype: Annotated[
        Precision, typer.Option(help="Of the forward passes; half precision is checked against float32.")
    ] = Precision.FLOAT32,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what the passes gather: what is interrupted goes on from there."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Rank candidates, and their layers, for a task.

    One forward pass a model over the training part of the data; nothing is fine-tuned. Higher scores
    predict better transfer.

    Examples:
    - `foretune rank --task emotion_recognition --data manifest.csv --model all --layers last`
    - `foretune rank --task speaker_identification --data recordings --model ./encoder --json out.json`
    - `foretune rank --task asr --model hubert --estimator sliced_wasserstein`
    """
    check_output(json, "--json")
    depths = _layers(layers)
    from foretune import ranking as ranking_

    with progress_bars(speech=True) as progress:
        ranking = ranking_.rank(
            task,
            data,
            model,
            layers=depths,
            estimator=estimator,
            source=source,
            aligner=aligner,
            silence=silence,
            skip_bad=skip_bad,
            standard_errors=standard_errors,
            device=device,
            dtype=dtype.value,
            cache=cache,
            seed=seed,
            progress=progress,
            report=say,
        )
    show_ranking(ranking)
    if json is not None:
        write_json(json, ranking.as_dict())


@app.command()
def align(
    *,
    data: Annotated[Path, typer.Option(help="Your speech with transcripts, as for rank --task asr.")],
    aligner: AlignerOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the spans to this file, one JSON line each.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Draw utterances into this folder.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to draw.")] = 3,
    skip_bad: SkipBad = False,
    device: Device = "cpu",
) -> None:
    """Say when each word and letter of a transcript is spoken, and how sure that is.

    Examples:
    - `foretune align --data manifest.csv --out spans.jsonl`
    - `foretune align --data manifest.csv --draw pictures --limit 5`
    """
    check_output(out, "--out")
    from foretune import alignment
    from foretune.alignment.drawing import draw as draw_one
    from foretune.ranking import load_data, name_progress
    from foretune.tasks import get_task

    loaded = load_data(get_task("asr"), data, skip_bad=skip_bad, report=say)
    utterances = [*loaded.train, *loaded.test]
    model = alignment.load_aligner(aligner or alignment.SHIPPED, device=device)
    with progress_bars(speech=True) as progress:
        made = alignment.align(utterances, model, progress=name_progress(progress, "alignment"))
    show_alignments(made, utterances)
    if out is not None:
        write_lines(out, made.lines())
        say(f"wrote {out}")
    if draw is not None:
        chosen = [utterance for utterance in utterances if utterance.id in made.of][:limit]
        for utterance in chosen:
            say(f"drew {draw_one(utterance, made.of[utterance.id], draw)}")


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    pool: Annotated[
        Pool, typer.Option(help="Which models: those that ship, or known ones on the hub.")
    ] = Pool.SHIPPED,
) -> None:
    """List the models that ship or that the hub has, the tasks, or the estimators.

    Examples:
    - `foretune list estimators`
    - `foretune list models --pool hub`
    """
    if kind is Kind.MODELS and pool is Pool.HUB:
        from foretune.models import hub_pool

        columns = ["id", "revision", "family", "parameters", "pre-training data", "licence", "source"]
        show_table("models on the hub (empty: not known)", columns, hub_pool.describe())
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


@app.command()
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


@app.command()
def tune(
    *,
    task: Annotated[list[str], typer.Option(help="A task, once for each, or all.")],
    model: Annotated[list[str], typer.Option(help="A candidate, once for each, or all that ship.")],
    layers: LayersOption = "all",
    protocol: Annotated[
        Protocol, typer.Option(help="layer: the encoder cut after each layer; full: all of it.")
    ] = Protocol.LAYER,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each, with seeds from 0.")] = 3,
    data: Annotated[
        Path | None, typer.Option(help="Your speech, as for rank; the embedded speech by default.")
    ] = None,
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
    depths = _layers(layers)
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
        sets = {tasks[0]: load_data(get_task(tasks[0]), data, skip_bad=skip_bad, report=say)}
    done = run_grid(
        runs, records=records, data=sets, device=device, workers=workers, retry_failed=retry_failed
    )
    show_runs(done)
    failed = [record for record in done if record.status == "failed"]
    if failed:
        first = failed[0]
        say(f"{len(failed)} of {len(done)} runs failed: {first.model} layer {first.layer}: {first.error}")
        raise typer.Exit(1)


@app.command()
def judge(
    *,
    task: Annotated[str, typer.Option(help="What the speech is used for.")],
    data: Annotated[Path, typer.Option(help="The speech that was fine-tuned on, as for tune.")],
    model: Annotated[list[str], typer.Option(help="A fine-tuned candidate, once for each, or all.")],
    tuning: Annotated[Path, typer.Option(help="The records that tune wrote.")] = TUNING_RECORDS,
    estimator: Annotated[
        list[str] | None, typer.Option(help="What scores, once for each; all by default.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option(help="Speech from the models' pre-training, as for rank.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Each agreement is added to this file.")] = LOCAL_RECORDS,
    suite: Annotated[str, typer.Option(help="Name under which the results are reported.")] = "local",
    aligner: AlignerOption = None,
    skip_bad: SkipBad = False,
    device: Device = "cpu",
) -> None:
    """Hold the rankings of all estimators against your own fine-tuning of the same candidates.

    Examples:
    - `foretune tune --task emotion_recognition --data my.csv --model all --layers last`
    - `foretune judge --task emotion_recognition --data my.csv --model all`
    """
    from dataclasses import replace

    from foretune import local
    from foretune.models import expand
    from foretune.ranking import load_data
    from foretune.tasks import get_task

    declared = get_task(task)
    loaded = load_data(declared, data, source=source, skip_bad=skip_bad, report=say)
    with progress_bars(speech=True) as progress:
        cells = local.judge(
            declared,
            replace(loaded, suite=suite),
            expand(model),
            tuning=[tuning],
            output=output,
            estimators=estimator,
            aligner=aligner,
            device=device,
            progress=progress,
        )
    show_agreements(cells)


@app.command()
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


@app.command()
def report(
    records: Annotated[
        list[Path] | None,
        typer.Option(help=f"Files of records, once for each; all *.jsonl in {RECORDS.parent} by default."),
    ] = None,
    output: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("RESULTS.md"),
    ground_truth: Annotated[
        list[Path] | None,
        typer.Option(help="Files of fine-tuning records, once for each; those that ship by default."),
    ] = None,
) -> None:
    """Write RESULTS.md from records, and from nothing else.

    Example: `foretune report --records results/records/embedded.jsonl`
    """
    check_output(output, "--output")
    from foretune.report import write_report

    found = records or sorted(RECORDS.parent.glob("*.jsonl")) or [RECORDS]
    write_report(found, output, ground_truth or None)
    say(f"wrote {output}")


def _layers(text: str) -> Literal["all", "last"] | list[int]:
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        argv: what follows the command's name; that of the process by default.

    Raises:
        SystemExit: always; 0 where all went well, 1 where fine-tuning runs failed, 2 where something
            given cannot be used.
    """
    # the libraries' own remarks and bars would stand between ours
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # torch keeps a compiled convolution for each of the last 1,024 lengths of speech, some 50 MB of them
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(args=None if argv is None else list(argv))
