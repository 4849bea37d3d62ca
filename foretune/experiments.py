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
        caution: what the reader must know of the paper's own figures.
    """

    name: Literal["conformer", "hubert", "models"]
    tasks: tuple[str, ...]
    setting: Literal["layers", "models"]
    model: str
    protocol: Protocol
    measure: str
    caution: str = ""


_LEAK = (
    "The paper's 0.944 is not to be taken for a forecast: its released code (virginiakm1988/LogME-CTC, "
    "commit fc80b26585) takes the phones of the frames from the model that was *tuned* at the very layer "
    "that is scored, and sums over the phones that this model finds, so that the scores know the result. "
    "Here phones are the true ones, the same for every layer."
)

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
        RebuiltExperiment(
            "hubert", ("phoneme_recognition",), "layers", "hubert2", "single-layer", "PER", caution=_LEAK
        ),
        RebuiltExperiment("models", ("keyword_spotting",), "models", "all", "full", "accuracy"),
    )
}
