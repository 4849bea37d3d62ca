"""Pre-training of the zoo on the embedded speech: `foretune pretrain NAME`.

A recipe (`recipe.py`) names an objective (`objectives.py`); `training.py` has the loop, `shipping.py`
writes the candidate's folder with its model card.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable
from pathlib import Path

from foretune.tasks.errors import InputError

from .recipe import RECIPES, Recipe

__all__ = ["RECIPES", "Recipe", "pretrain"]

_LOG = logging.getLogger(__name__)

Report = Callable[[str, int, int, float, float], None]


def pretrain(
    name: str,
    *,
    output: Path,
    work: Path,
    steps: int | None = None,
    utterances: int | None = None,
    device: str = "cpu",
    report: Report | None = None,
) -> Path:
    """Pre-train an encoder of the zoo and write its folder.

    Training goes on from the checkpoints in `work` where there are any.

    Args:
        name: of a recipe.
        output: folder that gets `NAME/` with weights (float16), configuration and model card.
        work: folder for checkpoints.
        steps: updates instead of the recipe's (for trials).
        utterances: of the corpus instead of the recipe's (for trials).
        device: a torch device to train on; the same seed gives other weights on another kind of device.
        report: called with (stage, step, steps, loss, watched figure) now and then.

    Returns:
        The candidate's folder.

    Raises:
        InputError: no such recipe, or espeak-ng is not installed.
    """
    from dataclasses import replace

    from .shipping import ship
    from .stages import run

    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RECIPES)}"
        raise InputError(f"--name {name}: no such recipe; {hint}")
    recipe = RECIPES[name]
    if steps is not None:
        recipe = replace(recipe, steps=steps, first_steps=steps if recipe.first_steps else 0)
    if utterances is not None:
        recipe = replace(recipe, utterances=utterances)
    return ship(run(recipe, work / name, report or _log, device=device), output / name)


def _log(stage: str, step: int, steps: int, loss: float, watched: float) -> None:
    _LOG.info("%s: step %d of %d, loss %.3f, watched %.3f", stage, step, steps, loss, watched)
