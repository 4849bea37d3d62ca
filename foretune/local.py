"""The study on a user's own data (the suite `local`): do rankings agree with fine-tuning there?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foretune.alignment import label_frames
from foretune.ground_truth import LEAST_CANDIDATES, MODEL_PROTOCOLS, GroundTruth, Outcome
from foretune.judging import POLICIES, over_layers, over_models
from foretune.models import load_candidate
from foretune.ranking import Progress, name_progress
from foretune.records import AgreementRecord, ScoreRecord, append, read_tuning
from foretune.scoring import score_candidate
from foretune.tasks.errors import InputError
from foretune.tasks.task import Task
from foretune.tasks.utterance import TaskData


def judge(
    task: Task,
    data: TaskData,
    models: Sequence[str],
    *,
    tuning: Sequence[Path],
    output: Path | None = None,
    estimators: Sequence[str] | None = None,
    device: str = "cpu",
    aligner: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[AgreementRecord]:
    """Score candidates by every estimator and hold the rankings against fine-tuning on the same data.

    Models are judged where at least three were fine-tuned whole, and by probes where at least three were
    probed; layers of a model where at least three of its layers were fine-tuned.

    Args:
        task: what the data are for.
        data: scored on its training part.
        models: names of candidates.
        tuning: files of fine-tuning records, as `foretune tune` writes them.
        output: file that scores, and what they cost, and agreements are added to.
        estimators: by name; all by default, those that lack something are recorded as failed.
        device: a torch device.
        aligner: what aligns transcripts for a sequence task without true times (see `label_frames`).
        seed: of everything random in scoring.
        progress: called after each batch with the candidate, seconds of speech done and in all.

    Raises:
        InputError: no record fits, a model was not fine-tuned, or there are too few candidates.
    """
    runs = read_tuning(tuning)
    truth, probes = (
        GroundTruth(task.name, runs, metric=task.metric, protocol=protocol) for protocol in MODEL_PROTOCOLS
    )
    scores: dict[str, dict[str, list[ScoreRecord]]] = {}
    whole: dict[str, Outcome] = {}
    probed: dict[str, Outcome] = {}
    cells: list[AgreementRecord] = []
    labelling = label_frames(
        task, data, aligner=aligner, device=device, progress=name_progress(progress, "alignment")
    )
    for model in models:
        candidate = load_candidate(model, device=device)
        revisions = {"data_revision": data.revision, "model_revision": candidate.revision}
        records = score_candidate(
            candidate,
            task,
            data,
            estimators or "all",
            standard_errors=True,
            seed=seed,
            labelling=labelling,
            progress=name_progress(progress, model),
        )
        by_estimator: dict[str, list[ScoreRecord]] = {}
        for record in records:
            by_estimator.setdefault(record.estimator, []).append(record)
        top = candidate.num_layers
        if probes.reaches(model, top):
            probed[model] = probes.full(model, top, **revisions)
        if truth.runs or model not in probed:  # where no model was fine-tuned, probes are all there is
            whole[model] = truth.full(model, top, **revisions)
        if model in truth.layered_models():
            outcomes = truth.layers(model, **revisions)
            cells += [over_layers(task, one, outcomes) for one in by_estimator.values()]
        for estimator, found in by_estimator.items():
            scores.setdefault(estimator, {})[model] = found
    for outcomes_of in (whole, probed):
        if len(outcomes_of) >= LEAST_CANDIDATES:
            for found_scores in scores.values():
                cells += [over_models(task, found_scores, outcomes_of, policy) for policy in POLICIES]
    if not cells:
        most = max(len(whole), len(probed))
        raise InputError(f"{most} models, too few for a ranking; fine-tune at least {LEAST_CANDIDATES}")
    if output is not None:
        made = (one for by_model in scores.values() for found in by_model.values() for one in found)
        append(output, *made, *cells)
    return cells
