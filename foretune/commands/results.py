"""What came of it: judge, and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretune.terminal import check_output, progress_bars, say, show_agreements

from .options import LOCAL_RECORDS, RECORDS, TUNING_RECORDS, AlignerOption, Device, SkipBad, Utterances


def judge(
    *,
    task: Annotated[str, typer.Option(help="What the speech is used for.")],
    data: Annotated[str, typer.Option(help="The speech that was fine-tuned on, as for tune.")],
    model: Annotated[list[str], typer.Option(help="A fine-tuned candidate, once for each, or all.")],
    tuning: Annotated[Path, typer.Option(help="The records that tune wrote.")] = TUNING_RECORDS,
    estimator: Annotated[
        list[str] | None, typer.Option(help="What scores, once for each; all by default.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Speech from the models' pre-training, as for rank.")
    ] = None,
    utterances: Utterances = None,
    output: Annotated[
        Path, typer.Option(help="Scores and agreements are added to this file.")
    ] = LOCAL_RECORDS,
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
    loaded = load_data(declared, data, source=source, utterances=utterances, skip_bad=skip_bad, report=say)
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


def report(
    *,
    records: Annotated[
        list[Path] | None,
        typer.Option(help=f"Files of records, once for each; all *.jsonl in {RECORDS.parent} by default."),
    ] = None,
    output: Annotated[Path, typer.Option(help="The Markdown file to write.")] = Path("RESULTS.md"),
    ground_truth: Annotated[
        list[Path] | None,
        typer.Option(help="Files of fine-tuning records, once for each; those that ship by default."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for the figures; results/figures beside the Markdown file by default."),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(help="Folder for a page a task; results/tasks beside the Markdown file by default."),
    ] = None,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Write no files of figures.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with tables to sort and filter, in one file.")
    ] = None,
) -> None:
    """Write RESULTS.md, its figures and a page a task from records, and from nothing else.

    Examples:
    - `foretune report --records results/records/embedded.jsonl`
    - `foretune report --html results.html`
    """
    check_output(output, "--output")
    check_output(html, "--html")
    from foretune.report import write_report

    found = records or sorted(RECORDS.parent.glob("*.jsonl")) or [RECORDS]
    folder = None if no_figures else figures or output.parent / "results" / "figures"
    tasks = pages or output.parent / "results" / "tasks"
    write_report(found, output, ground_truth or None, figures=folder, html=html, pages=tasks)
    say(f"wrote {', '.join(str(path) for path in (output, tasks, folder, html) if path is not None)}")


def merge(
    records: Annotated[list[Path], typer.Argument(help="Files of records, of several machines.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
) -> None:
    """Join the records of several machines into one file.

    A run or cell that several files have is kept once; where their results differ, the one that started
    later is kept, and a line says so.

    Example: `foretune merge first.jsonl second.jsonl -o results/records/tuning.jsonl`
    """
    check_output(output, "--output")
    from foretune.records import write_merged

    merged = write_merged(records, output)
    for conflict in merged.conflicts:
        say(conflict)
    left_out = f", {merged.repeated} repeated left out" if merged.repeated else ""
    differing = f", {len(merged.conflicts)} with different results" if merged.conflicts else ""
    say(f"wrote {output}: {len(merged.records)} records{left_out}{differing}")
