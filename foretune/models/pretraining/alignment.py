"""What the aligner learns by: letters within the true times of their words, blank outside of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from foretune.models.frame_grid import FrameGrid
from foretune.tasks.utterance import Span, Utterance

from .alignment_speech import true_words
from .augmentation import vary
from .batches import Batches, valid_frames
from .objectives import PretrainingObjective
from .recipe import Recipe

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY: dict[str, int] = {"<pad>": 0, **{letter: index for index, letter in enumerate(LETTERS, start=1)}}
"""As `vocab.json` has it; index 0 is CTC's blank."""

_HEARD = 200
"""Utterances from which the frequencies of letters are measured."""

_NO_BLANK = -12.0
"""Log-probability of a blank inside of a word: of use only between equal letters, which CTC parts."""


class Alignment(PretrainingObjective):
    """CTC word by word, each within its true times, and blank against letters everywhere.

    CTC on whole transcripts (Graves et al., 2006) is free to put a letter's one peak anywhere near its
    sound and blank everywhere else. Here the probability of a frame is split in two: that it is blank,
    which is learned from the true times of words, and, given that it is not, of each letter, which is
    learned by CTC on each word alone and all but without blanks. So a word's letters share all of its
    frames, and its boundaries are where it begins and ends.
    """

    watched = "the geometric mean of the probability of a frame's letter, given its word"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        self.vocabulary = VOCABULARY
        configuration = Wav2Vec2Config(**recipe.configuration(), vocab_size=len(VOCABULARY), pad_token_id=0)
        self.encoder = Wav2Vec2ForCTC(configuration)
        self._grid = FrameGrid.of_convolutions(configuration.conv_kernel, configuration.conv_stride)
        self._words = [true_words(utterance) for utterance in utterances]
        self._seed = recipe.seed

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Return the loss a frame; watches the geometric mean of a frame's probability, given its word."""
        rng = np.random.default_rng((self._seed, 9, step))
        device = values.device
        values, mask, spoken = self._vary(values.cpu(), mask.cpu(), indices, rng)
        values, mask = values.to(device), mask.to(device)
        lengths = self.frames(mask)
        logits = self.encoder(values, attention_mask=mask).logits
        letters = logits[..., 1:].log_softmax(-1)
        without_blank = functional.pad(letters, (1, 0), value=_NO_BLANK)
        centres = self._grid.centres(logits.shape[1])
        heard = torch.zeros(logits.shape[:2], dtype=torch.bool)
        segments: list[Tensor] = []
        targets: list[Tensor] = []
        for row, words in enumerate(spoken):
            for word in words:
                begin, end = np.searchsorted(centres, [word.start, word.end])
                heard[row, begin:end] = True
                if end > begin:
                    segments.append(without_blank[row, begin:end])
                    targets.append(torch.tensor([VOCABULARY[letter] for letter in word.label]))
        of_letters = functional.ctc_loss(
            pad_sequence(segments),
            torch.cat(targets).to(device),
            torch.tensor([len(segment) for segment in segments]),
            torch.tensor([len(target) for target in targets]),
            reduction="sum",
            zero_infinity=True,  # a word that was spoken in fewer frames than it has letters
        )
        heard = heard.to(device)
        valid = valid_frames(lengths, logits.shape[1])
        margin = logits[..., 0] - logits[..., 1:].logsumexp(-1)  # log odds of blank
        of_blank = functional.binary_cross_entropy_with_logits(margin[valid], (~heard[valid]).float())
        frames = sum(len(segment) for segment in segments)
        watched = float(torch.exp(-of_letters.detach() / frames))
        return of_letters / frames + of_blank, watched

    @torch.no_grad()
    def balance(self, batches: Batches) -> None:
        """Take the letters' own frequencies off the encoder's bias, once training is over.

        Where several paths are about as likely, frames would go to the more frequent letters: divided by
        their prior, posteriors become scaled likelihoods, as hybrid recognisers use them (Bourlard and
        Morgan, 1994). The priors are mean posteriors; blank keeps its own odds against all letters.

        Args:
            batches: what was learned from; 200 of it are heard.
        """
        self.encoder.eval()
        total = torch.zeros(len(VOCABULARY), device=self.encoder.device)
        for index in range(0, batches.utterances, max(1, batches.utterances // _HEARD)):
            values, mask = batches.inputs(np.array([index]))
            total += self.encoder(values, attention_mask=mask).logits[0].softmax(-1).sum(0)
        priors = total[1:].log()
        self.encoder.lm_head.bias[1:] -= priors - priors.mean()
        self.encoder.train()

    def _vary(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[list[Span]]]:
        """Return varied waveforms with their mask, and when each one's words are heard in them."""
        varied = []
        words = []
        for row, index in enumerate(indices):
            waveform = values[row, : int(mask[row].sum())]
            one = vary(waveform, self._words[index][-1].end, rng)
            varied.append(one.waveform)
            words.append(
                [
                    Span(one.scale * word.start + one.shift, one.scale * word.end + one.shift, word.label)
                    for word in self._words[index]
                ]
            )
        lengths = torch.tensor([len(waveform) for waveform in varied])
        valid = torch.arange(int(lengths.max())) < lengths[:, None]
        return pad_sequence(varied, batch_first=True), valid.long(), words
