"""From a recipe to a trained encoder: corpus, targets, training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from foretune.models.frame_grid import FrameGrid
from foretune.tasks.embedded.corpus import pretraining_corpus
from foretune.tasks.utterance import Utterance

from .alignment import Alignment
from .alignment_speech import alignment_corpus
from .batches import Batches
from .objectives import Ctc, Hubert, PretrainingObjective, SpeakerClassification, Wav2Vec2
from .recipe import Recipe
from .targets import cluster, hidden, mfcc
from .training import Progress, train

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


def run(recipe: Recipe, work: Path, report: Report) -> Trained:
    """Speak the corpus, train by the recipe, and return the encoder.

    Args:
        recipe: what to do.
        work: folder for checkpoints, which are resumed from.
        report: called with (stage, step, steps, loss, watched figure) at every checkpoint.
    """
    speak = alignment_corpus if recipe.objective == "alignment" else pretraining_corpus
    utterances = speak(recipe.utterances)
    batches = Batches(utterances, recipe.batch, recipe.seed)

    def fit(objective: PretrainingObjective, stage: str, steps: int) -> Progress:
        return train(
            objective,
            batches,
            steps=steps,
            learning_rate=recipe.learning_rate,
            seed=recipe.seed,
            checkpoint=work / f"{stage}.safetensors",
            report=lambda step, of, loss, watched: report(f"{recipe.name} {stage}", step, of, loss, watched),
        )

    if recipe.objective == "hubert":
        return _hubert(recipe, utterances, fit)
    objective = _seeded(recipe, lambda: _objective(recipe, utterances))
    return Trained(recipe, objective, [fit(objective, "training", recipe.steps)], utterances)


def _objective(recipe: Recipe, utterances: list[Utterance]) -> PretrainingObjective:
    if recipe.objective == "wav2vec2":
        return Wav2Vec2(recipe)
    if recipe.objective == "ctc":
        return Ctc(recipe, utterances)
    if recipe.objective == "alignment":
        return Alignment(recipe, utterances)
    return SpeakerClassification(recipe, utterances)


def _hubert(
    recipe: Recipe,
    utterances: list[Utterance],
    fit: Callable[[PretrainingObjective, str, int], Progress],
) -> Trained:
    """Learn clusters of MFCC; with a second iteration, those of a layer of the model that learned these."""
    configuration = recipe.configuration()
    grid = FrameGrid.of_convolutions(configuration["conv_kernel"], configuration["conv_stride"])
    targets = cluster(mfcc(utterances, grid), _FIRST_CLUSTERS, recipe.seed)
    first = _seeded(recipe, lambda: Hubert(recipe, targets, _FIRST_CLUSTERS))
    one = fit(first, "iteration-1", recipe.first_steps or recipe.steps)
    if not recipe.first_steps:
        return Trained(recipe, first, [one], utterances)
    better = cluster(hidden(first.encoder, recipe.layers // 2, utterances), _SECOND_CLUSTERS, recipe.seed)
    second = _seeded(recipe, lambda: Hubert(recipe, better, _SECOND_CLUSTERS))
    two = fit(second, "iteration-2", recipe.steps)
    return Trained(recipe, second, [one, two], utterances)


def _seeded(recipe: Recipe, make: Callable[[], _Made]) -> _Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return make()
