"""Classification of words, each from the mean of its frames: what the VGGish-like and the FCNN learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from foretune.models.log_mel import LogMelConfig, LogMelEncoder
from foretune.tasks.utterance import Utterance

from .alignment_speech import true_words
from .objectives import PretrainingObjective
from .recipe import Recipe

_FAMILIES = {"vgg": "VGGish-like (2-D convolutions)", "convolution": "FCNN (1-D convolutions)"}


class WordClassification(PretrainingObjective):
    """Classification of the words of the corpus within their true times."""

    watched = "the accuracy on words"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        configuration = LogMelConfig(**recipe.log_mel())
        self.family = _FAMILIES[configuration.layer_type]
        self.encoder = LogMelEncoder(configuration)
        self._words = [true_words(utterance) for utterance in utterances]
        known = sorted({word.label for words in self._words for word in words})
        self._classes = {label: index for index, label in enumerate(known)}
        self.head = nn.Linear(configuration.hidden_size, len(known))

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Cross entropy a word; watches the accuracy."""
        del step  # nothing is drawn
        hidden = self.encoder(values, attention_mask=mask).last_hidden_state
        centres = self.encoder.grid.centres(hidden.shape[1])
        means: list[Tensor] = []
        classes: list[int] = []
        for row, index in enumerate(indices):
            for word in self._words[index]:
                begin, end = np.searchsorted(centres, [word.start, word.end])
                begin = min(begin, len(centres) - 1)
                means.append(hidden[row, begin : max(end, begin + 1)].mean(0))
                classes.append(self._classes[word.label])
        logits = self.head(torch.stack(means))
        target = torch.tensor(classes, device=logits.device)
        return functional.cross_entropy(logits, target), float((logits.argmax(-1) == target).float().mean())
