"""The recipes of the zoo and of the aligner: which encoder, which objective, which data, how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Objective = Literal["hubert", "wav2vec2", "ctc", "speaker", "alignment"]

WIDTH = 96


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one encoder of the zoo is pre-trained.

    Attributes:
        name: of the candidate.
        objective: what it learns by.
        layers: transformer layers.
        steps: updates; for `hubert` those of the last clustering iteration.
        first_steps: for `hubert`: updates of a first iteration (MFCC clusters) before the last, whose
            clusters are then those of the first model's middle layer; 0 for a single iteration.
        batch: utterances an update.
        utterances: of the embedded pre-training corpus; about 2.2 seconds each.
        learning_rate: at the top of the schedule.
        seed: of weights, order and masks.
        description: for the model card.
    """

    name: str
    objective: Objective
    layers: int
    steps: int
    learning_rate: float
    description: str
    first_steps: int = 0
    batch: int = 16
    utterances: int = 4800
    seed: int = 0
    overrides: dict[str, Any] = field(default_factory=dict)

    def configuration(self) -> dict[str, Any]:
        """Return what `transformers` needs to know about the encoder.

        Three convolutions give one frame per 40 ms (a receptive field of 71 ms); the norm over
        channels (`layer`) keeps padding without effect.
        """
        return {
            "hidden_size": WIDTH,
            "num_hidden_layers": self.layers,
            "num_attention_heads": 4,
            "intermediate_size": 4 * WIDTH,
            "conv_dim": [64, WIDTH, WIDTH],
            "conv_kernel": [40, 16, 6],
            "conv_stride": [20, 8, 4],
            "num_feat_extract_layers": 3,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 8,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "feat_proj_dropout": 0.0,
            "final_dropout": 0.0,
            "layerdrop": 0.0,
            "mask_time_length": 5,
            **self.overrides,
        }


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "hubert", "hubert", layers=12, steps=2800, learning_rate=1e-3,
            description="masked prediction of k-means clusters of MFCC",
        ),
        Recipe(
            "wav2vec2", "wav2vec2", layers=8, steps=1600, learning_rate=1e-3,
            description="contrastive learning of quantised latents under masks",
            overrides={
                "num_codevectors_per_group": 64, "num_codevector_groups": 2, "codevector_dim": WIDTH,
                "proj_codevector_dim": WIDTH, "feat_quantizer_dropout": 0.0, "num_negatives": 50,
            },
        ),
        Recipe(
            "ctc", "ctc", layers=12, steps=2000, learning_rate=1.5e-3,
            description="character CTC on transcripts",
        ),
        Recipe(
            "speaker", "speaker", layers=6, steps=1800, learning_rate=1e-3,
            description="classification of the 80 pre-training speakers from mean-pooled frames",
        ),
        Recipe(  # a frame every 20 ms that sees 51 ms; no candidate, but what aligns transcripts for all
            "aligner", "alignment", layers=4, steps=5000, learning_rate=1e-3, batch=8, utterances=6000,
            description="letters by CTC within the true times of words, blank outside of them",
            overrides={
                "hidden_size": 128, "intermediate_size": 512, "conv_dim": [64, 128, 128],
                "conv_kernel": [40, 16, 4], "conv_stride": [20, 8, 2], "num_conv_pos_embeddings": 32,
            },
        ),
    )
}  # fmt: skip
