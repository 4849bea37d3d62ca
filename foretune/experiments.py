"""The three experiments of Chen et al., 2023 (arXiv:2306.01015), rebuilt on encoders and speech that ship.

The paper adapts one layer of an English Conformer RNN-T at a time to seven other languages, one layer of
HuBERT at a time to phoneme recognition, and whole models to keyword spotting; and asks whether LogME,
the sliced Wasserstein distance and t-SNE's distance rank layers and models as these results do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foretune.records.tuning import Protocol
from foretune.tasks.embedded.languages import LANGUAGES
from foretune.tasks.published.chen2023 import ESTIMATORS

__all__ = ["ESTIMATORS", "REBUILT", "RebuiltExperiment"]


@dataclass(frozen=True, slots=True)
class RebuiltExperiment:
    """One of the paper's experiments, on candidates of the zoo.

    Attributes:
        name: as in `foretune.tasks.published.chen2023`.
        tasks: it is made on; of several the first is the whole, the others its parts.
        setting: whether layers are ranked or models.
        model: whose layers.
        protocol: how they are fine-tuned.
        measure: the metric, as RESULTS.md names it.
    """

    name: Literal["conformer", "hubert", "models"]
    tasks: tuple[str, ...]
    setting: Literal["layers", "models"]
    model: str
    protocol: Protocol
    measure: str


REBUILT = {
    each.name: each
    for each in (
        RebuiltExperiment(
            "conformer",
            ("multilingual_asr", *(f"multilingual_asr:{language}" for language in LANGUAGES)),
            "layers",
            "conformer",
            "single-layer",
            "CER",
        ),
        RebuiltExperiment("hubert", ("phoneme_recognition",), "layers", "hubert2", "single-layer", "PER"),
        RebuiltExperiment("models", ("keyword_spotting",), "models", "all", "full", "accuracy"),
    )
}
