"""The recipes of the zoo and of the aligner: which encoder, which objective, which data, how long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Objective = Literal[
    "hubert", "wav2vec2", "ctc", "speaker", "alignment", "wavlm", "data2vec", "apc", "slices", "words",
    "transducer", "whisper",
]  # fmt: skip

WIDTH = 96
LOG_MEL_SCALE: dict[str, Any] = {"mean": 3.3, "std": 2.6}
"""Of log-mel frames of speech of unit variance."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one encoder of the zoo is pre-trained.

    Attributes:
        name: of the candidate.
        objective: what it learns by.
        layers: above the front end.
        steps: updates; for `hubert` those of the last clustering iteration.
        first_steps: for `hubert`: updates of a first iteration (MFCC clusters) before the last, whose
            clusters are then those of the first model's middle layer; 0 for a single iteration.
        batch: utterances an update.
        utterances: of the embedded pre-training corpus; about 2.2 seconds each.
        learning_rate: at the top of the schedule.
        seed: of weights, order and masks.
        description: for the model card.
        targets: for `hubert` and `wavlm`: the shipped encoder whose middle layer's clusters are to be
            predicted, instead of those of MFCC.
        unmasked: for `hubert`, `wavlm` and `slices`: the share of the loss that is on frames that are not
            masked (1 − α of Hsu et al., 2021, eq. 3); some of it takes a short training off the ground.
        grounding: for `data2vec`: the share of the updates over which a loss on log-mel frames, beside the
            teacher's, falls from its full weight to nothing, so that a short training finds features of
            speech before it refines its own.
        ctc: for `whisper`: the share of the loss that is CTC's on the encoder's frames, as in hybrid CTC and
            attention (Kim et al., 2017, arXiv:1609.06773) and in OWSM (Peng et al., 2024,
            arXiv:2401.16658), which takes attention to the right places early.
        schedule: updates that the learning rate's schedule is made for, where training stops before; 0
            where it does not.
        goes_on_from: the recipe of an earlier stage of the same training, whose checkpoint is taken over
            where there is one; the result is the same where there is none.
        overrides: of the encoder's configuration.
    """

    name: str
    objective: Objective
    layers: int
    steps: int
    learning_rate: float
    description: str
    first_steps: int = 0
    targets: str = ""
    unmasked: float = 0.0
    grounding: float = 0.0
    ctc: float = 0.0
    schedule: int = 0
    goes_on_from: str = ""
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

    def log_mel(self) -> dict[str, Any]:
        """Return what an encoder on log-mel frames is made of, one frame per 40 ms too."""
        return {"num_hidden_layers": self.layers, **LOG_MEL_SCALE, **self.overrides}


_HUBERT2 = Recipe(
    "hubert2", "hubert", layers=12, steps=6000, learning_rate=1e-3, targets="hubert", schedule=6000,
    unmasked=0.5, batch=32,
    description="masked prediction, second iteration: k-means clusters of layer 6 of hubert",
)  # fmt: skip


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "hubert", "hubert", layers=12, steps=2800, learning_rate=1e-3,
            description="masked prediction of k-means clusters of MFCC",
        ),
        Recipe(
            "wav2vec2", "wav2vec2", layers=8, steps=3500, learning_rate=1e-3, batch=32,
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
        Recipe(
            "apc", "apc", layers=4, steps=1000, learning_rate=2e-3,
            description="autoregressive prediction of log-mel frames 80 ms ahead",
            overrides={"layer_type": "recurrent", "hidden_size": 192},
        ),
        Recipe(
            "vggish", "words", layers=6, steps=2500, learning_rate=1e-3, batch=32,
            description="classification of the pre-training corpus's words",
            overrides={"layer_type": "vgg", "hidden_size": 256, "bands": 64},
        ),
        Recipe(
            "fcnn", "words", layers=5, steps=2000, learning_rate=1e-3,
            description="classification of the pre-training corpus's words",
            overrides={"layer_type": "convolution", "hidden_size": 128},
        ),
        Recipe(
            "wavlm", "wavlm", layers=12, steps=5000, learning_rate=1e-3, targets="hubert", unmasked=0.5,
            batch=32,
            description="masked prediction of clusters of clean speech (layer 6 of hubert) from mixed speech",
        ),
        Recipe(
            "conformer", "transducer", layers=12, steps=1000, learning_rate=1.5e-3,
            description="RNN transducer on the characters of English transcripts",
            overrides={"input_dim": 112, "num_heads": 4, "ffn_dim": 256, "depthwise_conv_kernel_size": 15},
        ),
        Recipe(
            "data2vec", "data2vec", layers=8, steps=1500, learning_rate=1e-3, grounding=0.5,
            description="regression of a moving-average teacher's upper layers under masks, and of log-mel "
            "frames for the first half of training",
            overrides={
                "do_stable_layer_norm": False, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5,
            },
        ),
        Recipe(
            "whisper", "whisper", layers=6, steps=3000, learning_rate=1e-3, ctc=0.5,
            description="characters of English transcripts, one after the other, by a decoder with attention "
            "and, in part, by CTC",
            overrides={"max_source_positions": 300},
        ),
        replace(_HUBERT2, name="hubert2-early", steps=500),
        replace(_HUBERT2, name="hubert2-middle", steps=2000, goes_on_from="hubert2-early"),
        replace(_HUBERT2, goes_on_from="hubert2-middle"),
        Recipe(
            "decoar2", "slices", layers=10, steps=5000, learning_rate=1e-3, unmasked=0.5, batch=32,
            description="rebuilding of masked slices of log-mel frames from quantised representations",
            overrides={"layer_type": "transformer", "hidden_size": 96},
        ),
        Recipe(  # a frame every 20 ms that sees 51 ms; no candidate, but what aligns transcripts for all
            "aligner", "alignment", layers=4, steps=3750, schedule=4000, learning_rate=1e-3, batch=8,
            utterances=6000,
            description="letters by CTC within the true times of words, blank outside of them",
            overrides={
                "hidden_size": 128, "intermediate_size": 512, "conv_dim": [64, 128, 128],
                "conv_kernel": [40, 16, 4], "conv_stride": [20, 8, 2], "num_conv_pos_embeddings": 32,
            },
        ),
    )
}  # fmt: skip
