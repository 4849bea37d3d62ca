"""A module's inputs from the feature extractor of `transformers` that belongs to it."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretune.tasks.errors import InputError

from .encoder_part import SPEECH_ARGUMENTS
from .grid_probe import InputFrames, count_grid
from .waveforms import Waveforms


class ExtractorInputs:
    """Waveforms to a module's arguments: speech under its first argument, a mask where it takes one.

    Arguments are told by name: the extractor's speech goes to the module's first argument, and its
    mask to the first one with `mask` in its name. What the mask says is padding in every utterance is
    cut off, so that an utterance alone has the frames that it has in a batch.
    """

    def __init__(self, extractor: Any, module: nn.Module) -> None:
        """Join an extractor and a module."""
        self.extractor = extractor
        self._settings = set(inspect.signature(type(extractor).__call__).parameters)
        arguments = list(inspect.signature(module.forward).parameters)
        self.speech = next((name for name in SPEECH_ARGUMENTS if name in arguments), arguments[0])
        self._mask = next((name for name in arguments if "mask" in name and "time_ind" not in name), None)
        # Moonshine's streaming encoder cuts the waveform into pieces before anything else
        self._piece = int(getattr(module.config, "frame_ms", 0) * self.rate / 1000) or 1
        short, long = (self(self._noise(samples))[self.speech] for samples in (self.rate, 2 * self.rate))
        differ = (axis for axis in range(1, short.ndim) if short.shape[axis] != long.shape[axis])
        self.speech_axis = next(differ, 1)

    def trial(self) -> list[NDArray[np.float32]]:
        """Return a second of noise."""
        return self._noise(self.rate)

    @property
    def rate(self) -> int:
        """Return the sample rate that the extractor takes, in Hz."""
        return int(self.extractor.sampling_rate)

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the module's arguments for waveforms at `rate`."""
        settings = {
            "sampling_rate": self.rate,
            "padding": True,
            "return_tensors": "pt",
            "return_attention_mask": True,
            **({"pad_to_multiple_of": self._piece} if self._piece > 1 else {}),
        }
        given = {name: value for name, value in settings.items() if name in self._settings}
        made = self.extractor([np.asarray(waveform) for waveform in waveforms], **given)
        speech = torch.as_tensor(
            made[next(name for name in (*SPEECH_ARGUMENTS, *made) if name in made)]
        ).float()
        mask = next((torch.as_tensor(made[name]) for name in made if "mask" in name), None)
        if mask is None or mask.shape[1] not in speech.shape[1:]:
            return {self.speech: speech}
        axis = next(axis for axis in range(1, speech.ndim) if speech.shape[axis] == mask.shape[1])
        valid = math.ceil(int(mask.sum(1).max()) / self._piece) * self._piece
        arguments = {self.speech: speech.narrow(axis, 0, valid)}
        if self._mask is not None:
            arguments[self._mask] = mask[:, :valid]
        return arguments

    def frames(self, sample_rate: int) -> InputFrames:
        """Return how the extractor's frames lie on the waveform.

        Their stride is counted. A window begins before its sample 0 where the extractor centres it, so
        that less than a window gives a frame.
        """
        if self(self._noise(sample_rate))[self.speech].shape[-1] == sample_rate:
            return InputFrames()
        counted = count_grid(self._count, sample_rate)
        window = self._window()
        if counted.first_frame_needs >= window:
            return InputFrames(counted.stride, counted.first_frame_needs)
        hop = self._setting("hop_length") or counted.stride
        return InputFrames(counted.stride, window + counted.stride - hop, -(window // 2))

    def _count(self, samples: int) -> int:
        try:
            return self(self._noise(samples))[self.speech].shape[self.speech_axis]
        except (RuntimeError, ValueError, IndexError, AssertionError):  # shorter than a window
            return 0

    def _window(self) -> int:
        return self._setting("win_length", "n_fft", "fft_window_size") or 0

    def _setting(self, *names: str) -> int | None:
        """Return the extractor's first setting of one of these names, nested ones included."""
        own = vars(self.extractor)
        nested = [settings for settings in own.values() if isinstance(settings, dict)]
        for name in names:
            for settings in (own, *nested):
                if isinstance(settings.get(name), int):
                    return int(settings[name])
        return None

    @staticmethod
    def _noise(samples: int) -> list[NDArray[np.float32]]:
        return [(0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)]


def load_extractor(folder: Path, config: Any) -> Any:
    """Load the feature extractor that a folder names, or make the one of its family.

    Raises:
        InputError: the family has none, or its settings are damaged.
    """
    from transformers import AutoFeatureExtractor
    from transformers.models.auto.feature_extraction_auto import (
        FEATURE_EXTRACTOR_MAPPING_NAMES,
        feature_extractor_class_from_name,
    )

    if any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        try:
            return AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{folder}: its preprocessor_config.json cannot be used ({reason})") from None
    name = FEATURE_EXTRACTOR_MAPPING_NAMES.get(config.model_type)
    if name is None:
        raise InputError(
            f"{folder}: no preprocessor_config.json, and {config.model_type} has no default; add it"
        )
    size = next((getattr(config, key) for key in ("num_mel_bins", "n_mels") if hasattr(config, key)), None)
    cls = feature_extractor_class_from_name(name)
    return cls() if size is None else cls(feature_size=size)


def extractor_code(extractor: Any) -> str:
    """Return an extractor's settings as text, for the revision."""
    settings = {key: value for key, value in extractor.to_dict().items() if not key.startswith("_")}
    return json.dumps(settings, sort_keys=True, default=str)
