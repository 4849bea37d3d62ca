"""DeCoAR 2.0: slices of frames rebuilt from quantised representations. Ling & Liu, 2020, arXiv:2012.06659."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2Config
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

from foretune.models.log_mel import LogMelConfig, LogMelEncoder
from foretune.models.log_mel.front_ends import stack

from .autoregression import explained
from .batches import span_mask, valid_frames
from .objectives import PretrainingObjective
from .recipe import Recipe

GROUPS, CODEWORDS = 2, 64
SLICE = 5
"""Frames of 40 ms in a masked slice."""
_DIVERSITY = 0.1


class SliceReconstruction(PretrainingObjective):
    """Rebuilding of masked slices of log-mel frames, through a codebook."""

    watched = "the share of masked frames' mean absolute deviation that is rebuilt"
    family = "DeCoAR 2.0 (transformer)"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        configuration = LogMelConfig(**recipe.log_mel())
        width = configuration.hidden_size
        self.encoder = LogMelEncoder(configuration)
        self.quantiser = Wav2Vec2GumbelVectorQuantizer(
            Wav2Vec2Config(
                num_codevector_groups=GROUPS,
                num_codevectors_per_group=CODEWORDS,
                codevector_dim=width,
                conv_dim=(width,) * 7,
            )
        )
        nn.init.uniform_(self.quantiser.codevectors)
        self.head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 4 * configuration.bands)
        )
        self._seed = recipe.seed
        self._steps = recipe.steps
        self._unmasked = recipe.unmasked

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Mean absolute error on masked frames, in part on others, and a tenth of unused codewords' share.

        Watches what is rebuilt of masked frames.
        """
        del indices
        lengths = self.frames(mask)
        rng = np.random.default_rng((self._seed, 10, step))
        masked = span_mask(lengths, probability=0.4, length=SLICE, rng=rng).to(values.device)
        self.quantiser.temperature = max(2.0 * (0.5 / 2.0) ** (step / self._steps), 0.5)
        hidden = self.encoder(values, attention_mask=mask, mask_time_indices=masked).last_hidden_state
        valid = valid_frames(lengths, masked.shape[1])
        codewords, perplexity = self.quantiser(hidden, mask_time_indices=valid if self._unmasked else masked)
        wanted = stack(self.encoder.features(values))
        error = functional.l1_loss(self.head(codewords[masked]), wanted[masked])
        loss = error
        if self._unmasked:
            heard = valid & ~masked
            others = functional.l1_loss(self.head(codewords[heard]), wanted[heard])
            loss = (1 - self._unmasked) * error + self._unmasked * others
        unused = 1 - perplexity / (GROUPS * CODEWORDS)
        return loss + _DIVERSITY * unused, explained(error, wanted[masked])
