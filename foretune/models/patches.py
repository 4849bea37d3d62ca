"""Encoders of spectrogram patches, which always see a window of one length: AST and CLAP.

Their tokens cover time and frequency. A frame is the mean over frequency of the tokens of its time, and
the frames that count are those whose time is inside the waveform; what the window holds beyond it
(silence, or the waveform again) is as in pre-training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .candidate import Card
from .extractor_inputs import extractor_code
from .frame_grid import WAVEFORM_RATE, FrameGrid
from .grid_probe import InputFrames
from .module import ModuleCandidate
from .waveforms import Waveforms


class WindowInputs:
    """A window of features from an extractor that pads or cuts to it."""

    def __init__(self, extractor: Any, speech: str, module: nn.Module, **settings: object) -> None:
        """Take an extractor, and the name of the module's argument for what it makes.

        Args:
            extractor: of `transformers`.
            speech: the argument.
            module: takes it, and possibly `is_longer`.
            settings: of the extractor.
        """
        self.extractor = extractor
        self.speech = speech
        self._settings = settings
        self._fusion = bool(getattr(module.config, "enable_fusion", False))

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the module's arguments."""
        made = self.extractor(
            [np.asarray(waveform) for waveform in waveforms],
            sampling_rate=self.extractor.sampling_rate,
            return_tensors="pt",
            **self._settings,
        )
        speech = torch.as_tensor(made[self.speech]).float()
        if not self._fusion:
            return {self.speech: speech}
        # none is longer than the window, so the branch for longer ones is never taken
        return {self.speech: speech, "is_longer": torch.zeros(len(speech), 1, dtype=torch.bool)}

    def frames(self, sample_rate: int) -> InputFrames:
        """Return nothing of use: the grid is given."""
        del sample_rate
        return InputFrames()


def is_patch_transformer(encoder: Any) -> bool:
    """Return whether an encoder has the form of AST: one stride in time and one in frequency."""
    return all(hasattr(encoder.config, name) for name in ("time_stride", "frequency_stride", "max_length"))


def patch_transformer(name: str, encoder: Any, extractor: Any, card: Card) -> ModuleCandidate:
    """Wrap an audio spectrogram transformer. Gong et al., 2021, arXiv:2104.01778.

    Its filter banks have windows of 25 ms every 10 ms; two tokens that stand for the whole come first.
    """
    config = encoder.config
    hop, window = extractor.sampling_rate // 100, extractor.sampling_rate // 40
    times = (config.max_length - config.patch_size) // config.time_stride + 1

    def frames(tokens: Tensor) -> Tensor:
        own = tokens[:, -(tokens.shape[1] // times * times) :] if tokens.shape[1] % times else tokens
        by_time = own.reshape(len(own), -1, times, own.shape[2])
        return by_time.mean(1)

    field = (config.patch_size - 1) * hop + window
    grid = FrameGrid(config.time_stride * hop, field, sample_rate=extractor.sampling_rate)
    return ModuleCandidate(
        name,
        encoder,
        layers=list(encoder.layers),
        inputs=WindowInputs(extractor, "input_values", encoder),
        grid=grid,
        sample_rate=extractor.sampling_rate,
        frames=frames,
        longest=((config.max_length - 1) * hop + window) * WAVEFORM_RATE // extractor.sampling_rate,
        card=card,
        code=extractor_code(extractor),
    )


def is_swin(encoder: Any) -> bool:
    """Return whether an encoder has the form of CLAP's: stages of shifted windows over a folded window."""
    return all(hasattr(encoder.config, name) for name in ("spec_size", "depths", "patch_stride"))


def swin(name: str, encoder: Any, extractor: Any, card: Card) -> ModuleCandidate:
    """Wrap the audio encoder of CLAP. Wu et al., 2022, arXiv:2211.06687; Chen et al., 2022, arXiv:2202.00874.

    The spectrogram is stretched to `spec_size · ratio` times, cut into `ratio` pieces, and these are laid
    one above the other as an image. A layer is a stage; finer stages are averaged to the last one's
    frames, so that all share one grid.
    """
    config = encoder.config
    inner = encoder.audio_encoder
    pieces, rate = inner.freq_ratio, extractor.sampling_rate
    stretched = config.spec_size * pieces
    coarsest = config.spec_size // inner.patch_stride[1] // 2 ** (len(config.depths) - 1)

    def frames(tokens: Tensor) -> Tensor:
        side = round(tokens.shape[1] ** 0.5)
        shape = (len(tokens), pieces, side // pieces, coarsest, side // coarsest, -1)
        return tokens.reshape(shape).mean((2, 4)).flatten(1, 2)  # pieces follow each other in time

    seen = extractor.nb_max_samples // extractor.hop_length + 1  # spectrogram frames, stretched end to end
    exact = stretched // (pieces * coarsest) * extractor.hop_length * (seen - 1) / (stretched - 1)
    # to whole samples at 16 kHz; over a window that moves no frame by a millisecond
    stride = round(exact * WAVEFORM_RATE / rate) * rate // WAVEFORM_RATE
    return ModuleCandidate(
        name,
        encoder,
        layers=list(inner.layers),
        inputs=WindowInputs(extractor, "input_features", encoder),
        grid=FrameGrid(stride, stride, sample_rate=rate, shortest=stride // 2),
        sample_rate=rate,
        frames=frames,
        longest=extractor.nb_max_samples * WAVEFORM_RATE // extractor.sampling_rate,
        card=card,
        code=extractor_code(extractor),
    )
