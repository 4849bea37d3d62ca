"""Do the recipes of the zoo, run here, go the way that the model cards say?

Each recipe is trained from its beginning for as many updates as the first point of its card's curve
stands for (250 of 1,000 to 6,000), on the schedule of the whole, and its mean loss over them is held
against the card's. Encoders that ship were trained on other machines, some on an accelerator, whose sums
round differently, so that weights part after some updates, and losses agree, not bits.

By default one cheap recipe, on its first 8 updates, twice: the same machine gives the same numbers. `--full`
trains all (an hour on two cores); `-k` chooses.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foretune.models import ZOO
from foretune.models.pretraining import RECIPES
from foretune.models.pretraining.batches import Batches
from foretune.models.pretraining.recipe import Recipe
from foretune.models.pretraining.stages import first_objective
from foretune.models.pretraining.training import Progress, train
from foretune.tasks.embedded.corpus import pretraining_corpus
from foretune.tasks.utterance import Utterance

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

TOLERANCE = 0.05
"""Largest relative difference of the mean loss over the first updates from the card's."""

CHEAP, FEW = "fcnn", 8


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the recipes; the later stages of one training begin as the first does."""
    if "recipe" in metafunc.fixturenames:
        full = metafunc.config.getoption("full")
        every = [
            name for name, recipe in RECIPES.items() if (ZOO / name).is_dir() and not recipe.goes_on_from
        ]
        metafunc.parametrize("recipe", every if full else [CHEAP])


@functools.cache
def spoken(utterances: int) -> list[Utterance]:
    """Return the pre-training corpus, which most recipes share."""
    return pretraining_corpus(utterances)


def begin(recipe: Recipe, updates: int, utterances: int, checkpoint: Path) -> Progress:
    """Train a recipe from its beginning for so many updates."""
    corpus = spoken(utterances)
    return train(
        first_objective(recipe, corpus),
        Batches(corpus, recipe.batch, recipe.seed),
        steps=updates,
        schedule=max(recipe.schedule, recipe.first_steps or recipe.steps),
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        checkpoint=checkpoint,
        report=lambda *_: None,
    )


def test_recipe(
    recipe: str, request: pytest.FixtureRequest, tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    chosen = RECIPES[recipe]
    if not request.config.getoption("full"):
        runs = [begin(chosen, FEW, 4 * FEW, tmp_path / f"{time}.safetensors") for time in range(2)]
        benchmark.pedantic(lambda: None, rounds=1)
        assert runs[0].curve == runs[1].curve
        return
    card: dict[str, Any] = json.loads((ZOO / recipe / "card.json").read_bytes())
    updates, loss, watched = card["curve"][0][0]
    made = benchmark.pedantic(
        begin, args=(chosen, updates, chosen.utterances, tmp_path / "first.safetensors"), rounds=1
    )
    here = made.curve[-1]
    benchmark.extra_info.update(
        {"updates": updates, "loss": here[1], "card_loss": loss, "watched": here[2], "card_watched": watched}
    )
    assert here[1] == pytest.approx(loss, rel=TOLERANCE)
