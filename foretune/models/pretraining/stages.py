"""From a recipe to a trained encoder: corpus, targets, training."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from foretune import tensor_files
from foretune.models import load_candidate
from foretune.models.frame_grid import FrameGrid
from foretune.tasks.embedded.corpus import pretraining_corpus
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

from .alignment import Alignment
from .alignment_speech import alignment_corpus
from .attention_decoder import AttentionDecoder
from .autoregression import Autoregression
from .batches import Batches
from .denoising import Denoising
from .distillation import SelfDistillation
from .objectives import Ctc, Hubert, PretrainingObjective, SpeakerClassification, Wav2Vec2
from .recipe import Recipe
from .slices import SliceReconstruction
from .targets import cluster, hidden, mfcc
from .training import Progress, train
from .transducer import Transducer
from .words import WordClassification

_FIRST_CLUSTERS, _SECOND_CLUSTERS = 100, 200

Report = Callable[[str, int, int, float, float], None]
_Made = TypeVar("_Made", bound=PretrainingObjective)


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained encoder with what it learned from and what it cost."""

    recipe: Recipe
    objective: PretrainingObjective
    progress: list[Progress]
    utterances: Sequence[Utterance]


Fit = Callable[[PretrainingObjective, str, int], Progress]

_UNSUPERVISED: dict[str, Callable[[Recipe], PretrainingObjective]] = {
    "wav2vec2": Wav2Vec2,
    "data2vec": SelfDistillation,
    "apc": Autoregression,
    "slices": SliceReconstruction,
}
_SUPERVISED: dict[str, Callable[[Recipe, Sequence[Utterance]], PretrainingObjective]] = {
    "ctc": Ctc,
    "alignment": Alignment,
    "speaker": SpeakerClassification,
    "transducer": Transducer,
    "whisper": AttentionDecoder,
    "words": WordClassification,
}
_OF_CLUSTERS: dict[str, type[Hubert]] = {"hubert": Hubert, "wavlm": Denoising}


def run(recipe: Recipe, work: Path, report: Report, *, device: str = "cpu") -> Trained:
    """Speak the corpus, train by the recipe, and return the encoder.

    Args:
        recipe: what to do.
        work: folder for checkpoints, which are resumed from; an earlier stage's lies beside it.
        report: called with (stage, step, steps, loss, watched figure) at every checkpoint.
        device: a torch device to train on.

    Raises:
        InputError: espeak-ng is not installed, or the corpus is smaller than a batch.
    """
    if recipe.utterances < recipe.batch:
        raise InputError(
            f"--utterances {recipe.utterances}: less than the {recipe.batch} of an update; give more"
        )
    speak = alignment_corpus if recipe.objective == "alignment" else pretraining_corpus
    utterances = speak(recipe.utterances)
    batches = Batches(utterances, recipe.batch, recipe.seed, device=device)

    def fit(objective: PretrainingObjective, stage: str, steps: int) -> Progress:
        checkpoint = work / f"{stage}.safetensors"
        if recipe.goes_on_from:
            _take_over(work.parent / recipe.goes_on_from / checkpoint.name, checkpoint)
        return train(
            objective.to(device),
            batches,
            steps=steps,
            schedule=max(recipe.schedule, steps),
            learning_rate=recipe.learning_rate,
            seed=recipe.seed,
            checkpoint=checkpoint,
            report=lambda step, of, loss, watched: report(f"{recipe.name} {stage}", step, of, loss, watched),
        )

    if recipe.objective in _OF_CLUSTERS:
        return _clusters(recipe, utterances, fit, device)
    objective = make_objective(recipe, utterances)
    progress = fit(objective, "training", recipe.steps)
    if isinstance(objective, Alignment):
        objective.balance(batches)
    return Trained(recipe, objective, [progress], utterances)


def make_objective(recipe: Recipe, utterances: Sequence[Utterance]) -> PretrainingObjective:
    """Return what a recipe learns by, if not clusters, with weights drawn from the recipe's seed."""
    if recipe.objective in _UNSUPERVISED:
        return _seeded(recipe, lambda: _UNSUPERVISED[recipe.objective](recipe))
    return _seeded(recipe, lambda: _SUPERVISED[recipe.objective](recipe, utterances))


def make_predictor(
    recipe: Recipe, targets: Sequence[NDArray[np.int64]], clusters: int
) -> PretrainingObjective:
    """Return a predictor of clusters with weights drawn from the recipe's seed."""
    return _seeded(recipe, lambda: _OF_CLUSTERS[recipe.objective](recipe, targets, clusters))


def _take_over(earlier: Path, checkpoint: Path) -> None:
    if earlier.is_file() and not checkpoint.is_file():
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = tensor_files.unfinished(checkpoint)
        shutil.copyfile(earlier, unfinished)
        unfinished.replace(checkpoint)


def _clusters(recipe: Recipe, utterances: list[Utterance], fit: Fit, device: str) -> Trained:
    """Learn clusters of MFCC or of a shipped encoder's middle layer; then, where asked for, better ones.

    With a second iteration these are clusters of the middle layer of the model that learned the first.
    """
    first = first_objective(recipe, utterances, device=device)
    if recipe.targets:
        return Trained(recipe, first, [fit(first, "training", recipe.steps)], utterances)
    one = fit(first, "iteration-1", recipe.first_steps or recipe.steps)
    if not recipe.first_steps:
        return Trained(recipe, first, [one], utterances)
    better = cluster(hidden(first.encoder, recipe.layers // 2, utterances), _SECOND_CLUSTERS, recipe.seed)
    second = make_predictor(recipe, better, _SECOND_CLUSTERS)
    two = fit(second, "iteration-2", recipe.steps)
    return Trained(recipe, second, [one, two], utterances)


def first_objective(
    recipe: Recipe, utterances: list[Utterance], *, device: str = "cpu"
) -> PretrainingObjective:
    """Return what a recipe learns by first, with weights drawn from its seed.

    Clusters are those of a shipped encoder's middle layer where the recipe names one, else of MFCC.

    Args:
        recipe: what to do.
        utterances: what is learned from.
        device: where the shipped encoder hears them.
    """
    if recipe.objective not in _OF_CLUSTERS:
        return make_objective(recipe, utterances)
    if recipe.targets:
        teacher = load_candidate(recipe.targets, device=device)
        states = hidden(teacher.module, teacher.num_layers // 2, utterances)
        return make_predictor(recipe, cluster(states, _SECOND_CLUSTERS, recipe.seed), _SECOND_CLUSTERS)
    configuration = recipe.configuration()
    grid = FrameGrid.of_convolutions(configuration["conv_kernel"], configuration["conv_stride"])
    targets = cluster(mfcc(utterances, grid), _FIRST_CLUSTERS, recipe.seed)
    return make_predictor(recipe, targets, _FIRST_CLUSTERS)


def _seeded(recipe: Recipe, make: Callable[[], _Made]) -> _Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return make()
