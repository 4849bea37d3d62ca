"""Aligners: CTC models whose log-probabilities say when a transcript's letters were spoken.

The one that ships (`embedded`, the default) knows the letters a to z and has heard synthetic English alone;
any CTC checkpoint of the wav2vec 2.0 kind, in a folder or on the hub, serves as well, and so does `mms_fa`,
torchaudio's multilingual one (Pratap et al., 2023, arXiv:2305.13516).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from foretune.models.frame_grid import FrameGrid
from foretune.models.hub import download, is_hub_id
from foretune.models.huggingface import read_card, read_config, read_json
from foretune.models.weights import check_weights, read_weights, weights_hash
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import SAMPLE_RATE

SHIPPED = "embedded"
MMS = "mms_fa"
FOLDER = Path(__file__).parent / "weights"
"""Of the aligner that ships."""

SPEEDS = (0.8, 0.89, 1.0, 1.12, 1.25)
"""At which the aligner that ships listens, on average: a voice whose vocal tract is longer or shorter than
those that it knows comes near them at one of these."""

SHIPPED_WINDOW_SECONDS = 8.0
"""The longest stretch at once for the aligner that ships, which learned from one to eight seconds."""

WINDOW_SECONDS = 30.0
OVERLAP_SECONDS = 2.0
_VARIANCE_FLOOR = 1e-7  # as transformers' Wav2Vec2FeatureExtractor


@dataclass(frozen=True, slots=True)
class Identity:
    """Which weights an aligner has, and where they come from; what the guard against leaks goes by.

    Attributes:
        name: as the user gave it.
        revision: 12 hexadecimal digits, a hash of all weights.
        encoder_revision: the hash that a candidate of the same encoder has, empty where there is none.
        fine_tuned_from: names or revisions of what it was fine-tuned from, by its card.
    """

    name: str
    revision: str
    encoder_revision: str = ""
    fine_tuned_from: tuple[str, ...] = ()


class Aligner(ABC):
    """A CTC model.

    Attributes:
        identity: which weights it has.
        vocabulary: index of each token.
        blank: index of CTC's blank.
        delimiter: index of the token between words; None where there is none.
        grid: where its frames lie.
        window: most seconds that it hears at once.
    """

    identity: Identity
    vocabulary: dict[str, int]
    blank: int
    delimiter: int | None
    grid: FrameGrid
    window: float = WINDOW_SECONDS

    @property
    def letters(self) -> frozenset[str]:
        """Return the characters that it can write."""
        used = {self.blank, self.delimiter}
        return frozenset(
            token for token, index in self.vocabulary.items() if len(token) == 1 and index not in used
        )

    @abstractmethod
    def standardise(self, waveform: NDArray[np.float32]) -> Tensor:
        """Bring a whole waveform (samples,) to the level that the model wants."""

    @abstractmethod
    def infer(self, samples: Tensor) -> Tensor:
        """Return log-probabilities (frames, vocabulary) of a standardised stretch (samples,)."""

    def log_probs(
        self,
        waveform: NDArray[np.float32],
        *,
        window: float | None = None,
        overlap: float = OVERLAP_SECONDS,
    ) -> NDArray[np.float32]:
        """Return the log-probability of each token at each frame.

        Long audio goes through in windows; where two overlap, each gives its half, so that frames near
        a cut have seen half an overlap on both sides.

        Args:
            waveform: shape (samples,), 16 kHz, in [-1, 1].
            window: most seconds that are inferred at once, more than twice the overlap; the aligner's own
                by default.
            overlap: seconds that neighbouring windows share.

        Returns:
            Shape (frames, vocabulary); no frames where the audio is too short for one.
        """
        frames = self.grid.frames(len(waveform))
        samples = self.standardise(waveform)
        stretches = windows(frames, self._frames(window or self.window), self._frames(overlap))
        parts: list[Tensor] = []
        with torch.inference_mode():
            for begin, end, kept in stretches:
                stop = (end - 1) * self.grid.stride + self.grid.first_frame_needs
                stop = len(samples) if end == frames else stop
                found = self.infer(samples[begin * self.grid.stride : stop])
                parts.append(found[kept])
        joined: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy() if parts else self._no_frames()
        return joined

    def _frames(self, seconds: float) -> int:
        return int(seconds * SAMPLE_RATE / self.grid.stride)

    def _no_frames(self) -> NDArray[np.float32]:
        return np.empty((0, max(self.vocabulary.values()) + 1), dtype=np.float32)


def windows(frames: int, longest: int, overlap: int) -> list[tuple[int, int, slice]]:
    """Cut frames into windows that overlap.

    Args:
        frames: in all.
        longest: frames a window.
        overlap: frames that neighbours share, less than half of `longest`.

    Returns:
        First frame, frame after the last, and which of a window's own frames to keep; what is kept
        covers each frame once, in order.

    >>> windows(10, 6, 2)
    [(0, 6, slice(0, 5, None)), (4, 10, slice(1, 6, None))]
    """
    if not 0 <= 2 * overlap < longest:
        raise ValueError(f"an overlap of {overlap} frames in windows of {longest}; take less than half")
    found = []
    begin = 0
    while begin < frames:
        end = min(begin + longest, frames)
        first = overlap // 2 if begin else 0
        last = end - begin - (overlap - overlap // 2 if end < frames else 0)
        found.append((begin, end, slice(first, last)))
        begin = frames if end == frames else end - overlap
    return found


class CtcAligner(Aligner):
    """A CTC checkpoint of `transformers` on a stack of convolutions over the waveform.

    Args:
        folder: config.json, vocab.json, safetensors, possibly preprocessor_config.json and card.json.
        name: what it is called.
        device: a torch device.
        speeds: listen to the waveform resampled by each of these factors, pitch and formants with it, and
            take the mean of the log-probabilities.
        window: most seconds that it hears at once.

    Raises:
        InputError: one of the files is missing, damaged or of another kind of model.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        device: str = "cpu",
        speeds: Sequence[float] = (1.0,),
        window: float = WINDOW_SECONDS,
    ) -> None:
        config = read_config(folder)
        if not hasattr(config, "conv_kernel") or hasattr(config, "squeeze_factor"):
            raise InputError(
                f"aligner {name}: models of the family {config.model_type} are not supported; "
                "give a CTC checkpoint of wav2vec 2.0, HuBERT, WavLM or their like"
            )
        self.vocabulary, self.blank, self.delimiter = _read_vocabulary(folder, config)
        preprocessing = read_json(folder / "preprocessor_config.json")
        if preprocessing.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
            raise InputError(f"aligner {name}: takes speech at another rate than {SAMPLE_RATE} Hz")
        self._normalise = bool(preprocessing.get("do_normalize", True))
        check_weights(folder)
        module: Any = read_weights(folder, config, ctc=True).eval().to(device)
        self._module = module
        self._speeds = speeds
        self.window = window
        self.grid = FrameGrid.of_convolutions(config.conv_kernel, config.conv_stride)
        self.identity = Identity(
            name=name,
            revision=weights_hash(module),
            encoder_revision=weights_hash(module.base_model, f"normalise={self._normalise}"),
            fine_tuned_from=fine_tuned_from(read_card(folder).details),
        )

    def standardise(self, waveform: NDArray[np.float32]) -> Tensor:
        """Bring a waveform to zero mean and unit variance, where the preprocessing says so."""
        if self._normalise:
            samples = waveform.astype(np.float64)
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + _VARIANCE_FLOOR)
            waveform = samples.astype(np.float32)
        return torch.from_numpy(waveform).to(self._module.device)

    def infer(self, samples: Tensor) -> Tensor:
        """Return log-probabilities (frames, vocabulary), the mean over speeds."""
        heard = [self._at_speed(samples, speed) for speed in self._speeds]
        return torch.stack(heard).mean(0).log_softmax(-1)

    def _at_speed(self, samples: Tensor, speed: float) -> Tensor:
        """Return log-probabilities of resampled speech, at the times of the frames of the original."""
        frames = self.grid.frames(len(samples))
        length = round(len(samples) / speed)
        if speed == 1.0 or self.grid.frames(length) < 1:
            return self._log_probs(samples)
        resampled = functional.interpolate(samples[None, None], size=length, mode="linear")[0, 0]
        log_probs = self._log_probs(resampled)
        middle = self.grid.receptive_field / 2
        centres = middle + self.grid.stride * torch.arange(frames, device=samples.device)
        places = (centres * length / len(samples) - middle) / self.grid.stride
        places = places.clamp(0, len(log_probs) - 1)
        before = places.floor().long()
        after = (before + 1).clamp(max=len(log_probs) - 1)
        return torch.lerp(log_probs[before], log_probs[after], (places - before)[:, None])

    def _log_probs(self, samples: Tensor) -> Tensor:
        logits: Tensor = self._module(samples[None]).logits[0]
        return logits.log_softmax(-1)


def _read_vocabulary(folder: Path, config: Any) -> tuple[dict[str, int], int, int | None]:
    """Return a checkpoint's tokens, the index of the blank, and that of the token between words."""
    vocabulary = read_json(folder / "vocab.json")
    if not vocabulary:
        raise InputError(f"{folder}: no vocab.json in it, which says what the model writes")
    if not all(isinstance(index, int) and 0 <= index < config.vocab_size for index in vocabulary.values()):
        raise InputError(f"{folder}: vocab.json does not name the {config.vocab_size} outputs of the model")
    blank = config.pad_token_id
    if blank is None or not 0 <= blank < config.vocab_size:
        raise InputError(f"{folder}: config.json does not say which output is blank (pad_token_id)")
    delimiter = vocabulary.get("|", vocabulary.get(" "))
    return vocabulary, blank, delimiter


def fine_tuned_from(details: dict[str, object]) -> tuple[str, ...]:
    """Return what a card says that its model was fine-tuned from (`fine_tuned_from` or `base_model`)."""
    named: list[str] = []
    for key in ("fine_tuned_from", "base_model"):
        value = details.get(key)
        named += [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(str(each) for each in named)


class MmsAligner(Aligner):
    """`torchaudio.pipelines.MMS_FA`: letters a to z and the apostrophe, for text in Latin letters.

    Its weights (1.2 GB) come from torchaudio's site into torch's cache at first use, read as tensors alone.

    Args:
        bundle: torchaudio's.
        device: a torch device.

    Raises:
        InputError: they are not in the cache and cannot be downloaded.
    """

    def __init__(self, bundle: Any = None, *, device: str = "cpu") -> None:
        import torchaudio

        bundle = bundle or torchaudio.pipelines.MMS_FA
        try:
            module = bundle.get_model(with_star=False, dl_kwargs={"weights_only": True, "progress": False})
        except OSError as error:  # urllib's errors are
            raise InputError(
                f"aligner {MMS}: its weights are not in torch's cache and cannot be downloaded ({error}); "
                f"go online once, or take --aligner {SHIPPED}"
            ) from None
        self._module: Any = module.to(device)
        self._device = device
        self.vocabulary = dict(bundle.get_dict(star=None))
        self.blank = self.vocabulary[bundle.get_labels(star=None)[0]]
        self.delimiter = None
        layers = [block.conv for block in module.model.feature_extractor.conv_layers]
        self.grid = FrameGrid.of_convolutions(
            [layer.kernel_size[0] for layer in layers], [layer.stride[0] for layer in layers]
        )
        self.identity = Identity(MMS, weights_hash(module), fine_tuned_from=("facebook/mms-300m",))

    def standardise(self, waveform: NDArray[np.float32]) -> Tensor:
        """Return the waveform as it is: the model standardises what it is given."""
        return torch.from_numpy(waveform).to(self._device)

    def infer(self, samples: Tensor) -> Tensor:
        """Return log-probabilities (frames, vocabulary)."""
        log_probs: Tensor = self._module(samples[None])[0][0]
        return log_probs


def load_aligner(name: str = SHIPPED, *, device: str = "cpu") -> Aligner:
    """Load an aligner.

    Args:
        name: `embedded` (ships), `mms_fa`, a local folder, or `owner/model[@revision]` on the hub.
        device: a torch device.

    Raises:
        InputError: there is no such aligner, or it cannot be loaded.
    """
    if name == SHIPPED:
        return CtcAligner(FOLDER, name, device=device, speeds=SPEEDS, window=SHIPPED_WINDOW_SECONDS)
    if name == MMS:
        return MmsAligner(device=device)
    path = Path(name).expanduser()
    if path.is_dir():
        return CtcAligner(path, name, device=device)
    if is_hub_id(name) and not name.startswith((".", "/", "~")):
        return CtcAligner(download(name), name, device=device)
    raise InputError(f"--aligner {name}: unknown; give {SHIPPED}, {MMS}, a folder, or owner/model on the hub")


def token_indices(aligner: Aligner, words: Sequence[Sequence[str]], star: str, star_index: int) -> list[int]:
    """Return the tokens of words as indices, with the delimiter between words where there is one."""
    indices: list[int] = []
    for word in words:
        if indices and aligner.delimiter is not None:
            indices.append(aligner.delimiter)
        indices += [star_index if token == star else aligner.vocabulary[token] for token in word]
    return indices
