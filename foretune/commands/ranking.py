"""Before fine-tuning: rank, and align."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foretune.terminal import (
    check_output,
    progress_bars,
    say,
    show_alignments,
    show_ranking,
    write_json,
    write_lines,
)

from .options import AlignerOption, Device, LayersOption, Precision, SkipBad, Utterances, chosen_layers


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
        str | None,
        typer.Option(
            help="Your speech: CSV, TSV, JSON lines or Parquet with the columns path, text, speaker, emotion "
            "or label, and optionally split; or an audio folder. Or a corpus: NAME:FOLDER, or NAME from the "
            "hub; see `foretune list corpora`. The embedded speech by default."
        ),
    ] = None,
    layers: LayersOption = "all",
    estimator: Annotated[str, typer.Option(help="What scores; see `foretune list estimators`.")] = "logme",
    source: Annotated[
        str | None,
        typer.Option(
            help="Speech from the models' pre-training, for estimators that compare with it: a manifest, "
            "folder or corpus, or embedded for that of the shipped models."
        ),
    ] = None,
    utterances: Utterances = None,
    aligner: AlignerOption = None,
    silence: Annotated[
        str, typer.Option(help="Frames in which nothing is said: drop, own-class or nearest.")
    ] = "drop",
    frame_stride: Annotated[
        int,
        typer.Option(min=1, help="Take every so many labelled frames of an utterance (asr and its like)."),
    ] = 1,
    unit: Annotated[
        str,
        typer.Option(help="A sample of asr and its like: a frame, or the mean over an utterance by label."),
    ] = "frame",
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
    - `foretune rank --task keyword_spotting --data speech-commands:/data/words --model microsoft/wavlm-base`
    """
    check_output(json, "--json")
    depths = chosen_layers(layers)
    from foretune import ranking as ranking_

    with progress_bars(speech=True) as progress:
        ranking = ranking_.rank(
            task,
            data,
            model,
            layers=depths,
            estimator=estimator,
            source=source,
            utterances=utterances,
            aligner=aligner,
            silence=silence,
            frame_stride=frame_stride,
            unit=unit,
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
