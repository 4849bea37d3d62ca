"""What the zoo learns by: HuBERT, wav2vec 2.0, CTC, speaker classification; others have their own files.

Every objective is a module with an `encoder` (a class that `transformers` can load) and
`loss(values, mask, indices, step)`; the seed of a step draws masks and negatives, so that an
interrupted training goes on as if it had not been.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model

from foretune.tasks.utterance import Utterance

from .batches import span_mask, valid_frames
from .recipe import WIDTH, Recipe

CHARACTERS = "abcdefghijklmnopqrstuvwxyz "


class PretrainingObjective(nn.Module, ABC):
    """An encoder with what it is trained by.

    Attributes:
        encoder: the part that ships.
        vocabulary: what the encoder itself writes, by index; None where a head on top of it does.
        watched: what the figure to watch is, for the model card.
        family: the encoder's, for the model card; the name of its class by default.
    """

    encoder: Any
    vocabulary: dict[str, int] | None = None
    watched: str = ""
    family: str = ""

    @abstractmethod
    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Return the loss of a batch and a figure to watch, in [0, 1].

        Args:
            values: normalised waveforms, shape (batch, samples), on the objective's device.
            mask: valid samples, shape (batch, samples), there too.
            indices: which utterances of the corpus these are, shape (batch,).
            step: the update's number, which seeds what is drawn.
        """

    def frames(self, mask: Tensor) -> Tensor:
        """Return the valid frames of each utterance, shape (batch,)."""
        return self.encoder._get_feat_extract_output_lengths(mask.sum(-1))  # type: ignore[no-any-return]

    def configuration(self) -> dict[str, Any]:
        """Return the content of config.json."""
        return {
            **self.encoder.config.to_diff_dict(),
            "architectures": [type(self.encoder).__name__],
            "mask_time_prob": 0.0,  # masks belong to pre-training
        }

    def preprocessing(self) -> dict[str, object]:
        """Return the content of preprocessor_config.json; nothing where there is none."""
        return {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": 16_000,
            "padding_value": 0.0,
            "padding_side": "right",
            "do_normalize": True,
            "return_attention_mask": True,
        }


class Hubert(PretrainingObjective):
    """Masked prediction of cluster indices. Hsu et al., 2021, arXiv:2106.07447.

    Args:
        recipe: the recipe.
        targets: cluster of each frame, one array (frames,) an utterance.
        clusters: how many.
    """

    watched = "the accuracy on masked frames"

    def __init__(self, recipe: Recipe, targets: Sequence[NDArray[np.int64]], clusters: int) -> None:
        super().__init__()
        self.encoder = self._encoder(recipe)
        self.head = nn.Linear(WIDTH, clusters)
        self._targets = targets
        self._seed = recipe.seed
        self._unmasked = recipe.unmasked

    def _encoder(self, recipe: Recipe) -> Any:
        return HubertModel(HubertConfig(**recipe.configuration()))

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Cross entropy on masked frames, and in part on the others; watches the accuracy on masked ones."""
        lengths = self.frames(mask)
        masked = span_mask(
            lengths, probability=0.6, length=5, rng=np.random.default_rng((self._seed, 7, step))
        )
        wanted = torch.zeros(masked.shape, dtype=torch.int64)
        for row, index in enumerate(indices):
            target = torch.from_numpy(self._targets[index])[: masked.shape[1]]
            wanted[row, : len(target)] = target
        masked, wanted = masked.to(values.device), wanted.to(values.device)
        hidden = self.encoder(values, attention_mask=mask, mask_time_indices=masked).last_hidden_state
        logits = self.head(hidden)
        loss = functional.cross_entropy(logits[masked], wanted[masked])
        if self._unmasked:
            heard = valid_frames(lengths, masked.shape[1]) & ~masked
            others = functional.cross_entropy(logits[heard], wanted[heard])
            loss = (1 - self._unmasked) * loss + self._unmasked * others
        return loss, float((logits.argmax(-1) == wanted)[masked].float().mean())


class Wav2Vec2(PretrainingObjective):
    """Contrastive learning of quantised latents. Baevski et al., 2020, arXiv:2006.11477."""

    watched = "the contrastive accuracy"

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._model = Wav2Vec2ForPreTraining(Wav2Vec2Config(**recipe.configuration()))
        self._seed = recipe.seed
        self._steps = recipe.steps
        self._negatives = self._model.config.num_negatives

    @property
    def encoder(self) -> Any:
        """Return the encoder without quantiser and projections."""
        return self._model.wav2vec2

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Contrastive and diversity loss an utterance; watches the contrastive accuracy."""
        lengths = self.frames(mask)
        rng = np.random.default_rng((self._seed, 8, step))
        masked = span_mask(lengths, probability=0.6, length=5, rng=rng)
        negatives = self._draw(masked, rng).to(values.device)
        masked = masked.to(values.device)
        self._model.set_gumbel_temperature(max(2.0 * (0.5 / 2.0) ** (step / self._steps), 0.5))
        output = self._model(
            values,
            attention_mask=mask,
            mask_time_indices=masked,
            sampled_negative_indices=negatives,
        )
        with torch.no_grad():
            similarity = functional.cosine_similarity(
                output.projected_states[masked][:, None],
                output.projected_quantized_states[masked][None],
                dim=-1,
            )
            own = torch.arange(len(similarity), device=similarity.device)
            accuracy = (similarity.argmax(-1) == own).float().mean()
        return output.loss / masked.sum(), float(accuracy)

    def _draw(self, masked: Tensor, rng: np.random.Generator) -> Tensor:
        """Draw negatives for each masked frame from the other masked frames of its utterance."""
        batch, frames = masked.shape
        negatives = np.zeros((batch, frames, self._negatives), dtype=np.int64)
        for row in range(batch):
            (places,) = np.nonzero(masked[row].numpy())
            if len(places) < 2:
                continue
            # an offset of 1..len-1 never meets the frame itself
            offsets = rng.integers(1, len(places), (len(places), self._negatives))
            own = np.arange(len(places))[:, None]
            negatives[row, places] = places[(own + offsets) % len(places)] + row * frames
        return torch.from_numpy(negatives)


class Ctc(PretrainingObjective):
    """Character CTC on transcripts. Graves et al., 2006."""

    watched = "the share of frames that are not blank"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        self.encoder = Wav2Vec2Model(Wav2Vec2Config(**recipe.configuration()))
        self.head = nn.Linear(WIDTH, len(CHARACTERS) + 1)
        self._targets = [
            torch.tensor([CHARACTERS.index(letter) + 1 for letter in utterance.text or ""])
            for utterance in utterances
        ]

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """CTC loss a character; watches the share of frames that are not blank."""
        del step  # nothing is drawn
        hidden = self.encoder(values, attention_mask=mask).last_hidden_state
        log_probs = self.head(hidden).log_softmax(-1)
        loss = ctc_loss(log_probs, self.frames(mask), [self._targets[index] for index in indices])
        return loss, float((log_probs.argmax(-1) != 0).float().mean())


def ctc_loss(log_probs: Tensor, frames: Tensor, targets: Sequence[Tensor]) -> Tensor:
    """Return CTC's loss a character, the mean over utterances.

    Args:
        log_probs: of every character, blank first, (batch, frames, characters).
        frames: valid ones of each utterance, (batch,).
        targets: the characters of each utterance, from 1, since 0 is blank.
    """
    return functional.ctc_loss(
        log_probs.transpose(0, 1),
        torch.cat(list(targets)).to(log_probs.device),
        frames,
        torch.tensor([len(target) for target in targets], device=log_probs.device),
        zero_infinity=True,
    )


class SpeakerClassification(PretrainingObjective):
    """Classification of the speaker from mean-pooled frames."""

    watched = "the accuracy on speakers"

    def __init__(self, recipe: Recipe, utterances: Sequence[Utterance]) -> None:
        super().__init__()
        self.encoder = Wav2Vec2Model(Wav2Vec2Config(**recipe.configuration()))
        names = sorted({utterance.speaker or "" for utterance in utterances})
        self.head = nn.Linear(WIDTH, len(names))
        self._targets = np.array([names.index(utterance.speaker or "") for utterance in utterances])

    def loss(
        self, values: Tensor, mask: Tensor, indices: NDArray[np.int64], step: int
    ) -> tuple[Tensor, float]:
        """Cross entropy; watches the accuracy."""
        del step
        hidden = self.encoder(values, attention_mask=mask).last_hidden_state
        valid = valid_frames(self.frames(mask), hidden.shape[1]).unsqueeze(-1)
        logits = self.head((hidden * valid).sum(1) / valid.sum(1))
        target = torch.from_numpy(self._targets[indices]).to(logits.device)
        return functional.cross_entropy(logits, target), float((logits.argmax(-1) == target).float().mean())
