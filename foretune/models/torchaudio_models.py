"""Encoders of torchaudio: wav2vec 2.0, HuBERT and WavLM, Conformer, Emformer and its RNN-T.

From a folder with model.safetensors (the state dictionary of the model) and config.json:

    {"torchaudio": "wav2vec2_model", "arguments": {...}, "normalise": false}
    {"torchaudio": "Conformer", "arguments": {"input_dim": 320, ...}, "features": {"bins": 80, "stack": 4}}

`torchaudio` names a builder of `torchaudio.models`, `arguments` are its own. `normalise` brings each
waveform to zero mean and unit variance. Conformer and Emformer take log-mel filter banks by Kaldi's recipe
(`bins` of them, windows of 25 ms every 10 ms, without dither), less `mean` and divided by `std` (numbers,
or one for each bin; 0 and 1 by default), with `stack` of them after each other joined to one frame.

By name, `torchaudio:HUBERT_BASE` and the other wav2vec 2.0 bundles of `torchaudio.pipelines`, where their
weights are in torch.hub's cache; nothing is downloaded.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretune.tasks.errors import InputError

from . import TORCHAUDIO
from .candidate import Card
from .frame_grid import WAVEFORM_RATE, FrameGrid
from .grid_probe import InputFrames
from .layer_states import LayersNotRunError, find_layers
from .module import ModuleCandidate
from .waveforms import Waveforms, pad_waveforms, standardise
from .weights import UNTRAINED_SEED

_WAVEFORM_BUILDERS = re.compile(r"(wav2vec2|hubert(?!_pretrain)|wavlm)_\w+")
_FEATURE_BUILDERS = ("Conformer", "Emformer", "emformer_rnnt_model", "emformer_rnnt_base")
_WINDOW_MS, _HOP_MS = 25, 10


class WaveformInputs:
    """Padded waveforms, normalised one by one where asked for, and their lengths."""

    speech = "waveforms"
    speech_axis = 1

    def __init__(self, *, normalise: bool, lengths: bool = True) -> None:
        """Say whether to bring each to zero mean and unit variance, and whether lengths are taken."""
        self._normalise = normalise
        self._lengths = lengths

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the module's arguments."""
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        if self._normalise:
            waveforms = [standardise(waveform) for waveform in waveforms]
        padded = {"waveforms": torch.from_numpy(pad_waveforms(waveforms))}
        return {**padded, "lengths": lengths} if self._lengths else padded

    def frames(self, sample_rate: int) -> InputFrames:
        """Return that each sample is an input frame."""
        del sample_rate
        return InputFrames()


class FilterBankInputs:
    """Stacked log-mel filter banks, their lengths, and frames of nothing to look ahead to."""

    speech = "input"
    speech_axis = 1

    def __init__(
        self,
        *,
        bins: int = 80,
        stack: int = 1,
        mean: float | list[float] = 0.0,
        std: float | list[float] = 1.0,
        ahead: int = 0,
        sample_rate: int = WAVEFORM_RATE,
    ) -> None:
        """Say what the features are.

        Args:
            bins: mel bands.
            stack: filter-bank frames in one input frame.
            mean: taken off each band.
            std: each band is divided by it.
            ahead: input frames to add after the last, which a module sees but gives no output for.
            sample_rate: in Hz.
        """
        self._bins, self._stack, self._ahead, self._rate = bins, stack, ahead, sample_rate
        self._mean, self._std = torch.tensor(mean), torch.tensor(std)

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the module's arguments."""
        features = [self._features(np.ascontiguousarray(waveform)) for waveform in waveforms]
        lengths = torch.tensor([len(rows) for rows in features])
        padded = nn.utils.rnn.pad_sequence(features, batch_first=True)
        return {"input": nn.functional.pad(padded, (0, 0, 0, self._ahead)), "lengths": lengths}

    def frames(self, sample_rate: int) -> InputFrames:
        """Return how stacked frames lie on the waveform."""
        hop, window = sample_rate * _HOP_MS // 1000, sample_rate * _WINDOW_MS // 1000
        return InputFrames(hop * self._stack, window + (self._stack - 1) * hop)

    def _features(self, waveform: NDArray[np.float32]) -> Tensor:
        from torchaudio.compliance.kaldi import fbank

        banks = fbank(
            torch.from_numpy(waveform)[None],
            num_mel_bins=self._bins,
            frame_length=_WINDOW_MS,
            frame_shift=_HOP_MS,
            sample_frequency=self._rate,
            dither=0.0,
        )
        stacks = len(banks) // self._stack
        if stacks == 0:
            raise ValueError("too short for a frame")
        scaled: Tensor = (banks - self._mean) / self._std
        return scaled[: stacks * self._stack].reshape(stacks, -1)


def load_torchaudio(folder: Path, name: str, card: Card, *, untrained: bool = False) -> ModuleCandidate:
    """Load a model of torchaudio from a folder.

    Args:
        folder: config.json and model.safetensors, as this module's docstring says.
        name: what the candidate is called.
        card: what is known about it.
        untrained: draw the weights from a fixed seed.

    Raises:
        InputError: an unknown builder, arguments that it does not take, weights that do not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "config.json"
    config = json.loads(path.read_bytes())
    module = _build(path, str(config["torchaudio"]), config.get("arguments", {}))
    if not untrained:
        try:
            module.load_state_dict(load_file(folder / "model.safetensors"))
        except (SafetensorError, OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"{folder}: its weights cannot be read ({reason}); save them again") from None
    return _wrap(str(path), name, module.float(), config, card)


def load_bundle(name: str) -> ModuleCandidate:
    """Load a wav2vec 2.0 bundle of `torchaudio.pipelines` whose weights are on disk.

    Args:
        name: `torchaudio:` and the bundle's name.

    Raises:
        InputError: there is no such bundle, or its weights are not in torch.hub's cache.
    """
    bundle = _bundle(name)
    weights = _cached_weights(bundle)
    if not weights.is_file():
        raise InputError(
            f"model {name}: its weights are not on disk, and nothing is downloaded; "
            f"put {weights.name} into {weights.parent}"
        )
    module = bundle.get_model(dl_kwargs={"weights_only": True, "map_location": "cpu"})
    config = {"normalise": bundle._normalize_waveform, "sample_rate": int(bundle.sample_rate)}
    # what wraps the model there normalises all waveforms of a batch together; here each is by itself
    card = Card(family="torchaudio", details={"bundle": name.removeprefix(TORCHAUDIO)})
    return _wrap(name, name, getattr(module, "model", module), config, card)


def check_bundle(name: str) -> None:
    """Check that there is such a bundle.

    Raises:
        InputError: there is none.
    """
    _bundle(name)


def _bundle(name: str) -> Any:
    from torchaudio import pipelines

    bundle = getattr(pipelines, name.removeprefix(TORCHAUDIO), None)
    if not _is_bundle(bundle):
        known = [each for each in pipelines.__all__ if _is_bundle(getattr(pipelines, each))]
        near = difflib.get_close_matches(name.removeprefix(TORCHAUDIO), known, n=1) or known[:1]
        raise InputError(f"model {name}: torchaudio has no such encoder; it has {near[0]} and others")
    return bundle


def _is_bundle(found: object) -> bool:
    from torchaudio.pipelines import Wav2Vec2Bundle

    return isinstance(found, Wav2Vec2Bundle)


def _cached_weights(bundle: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(bundle._path).name


def _build(path: Path, builder: str, arguments: Any) -> nn.Module:
    import torchaudio.models

    if builder not in _FEATURE_BUILDERS and not _WAVEFORM_BUILDERS.fullmatch(builder):
        raise InputError(
            f"{path}: torchaudio {builder!r} is no encoder known here; give wav2vec2_model, wavlm_model, "
            f"{', '.join(_FEATURE_BUILDERS)} or the like"
        )
    build = getattr(torchaudio.models, builder, None)
    if build is None:
        raise InputError(f"{path}: torchaudio has no {builder}; check the name")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(UNTRAINED_SEED)
            module: nn.Module = build(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: arguments of {builder}: {error}") from None
    encoder: nn.Module = getattr(module, "transcriber", module)
    for part in encoder.modules():
        if isinstance(part, torchaudio.models.conformer.ConformerLayer):
            _keep_padding_silent(part)
    return encoder


def _keep_padding_silent(layer: Any) -> None:
    """Let a Conformer layer's convolution over time see zeros in padding, as it does beyond the last frame.

    torchaudio masks padding in attention alone, so that an utterance's last frames would depend on how far
    it is padded, and no two utterances of different length could share a batch.
    """
    _over_time(layer).padded = None
    layer.register_forward_pre_hook(_note_padding, with_kwargs=True)
    _over_time(layer).register_forward_pre_hook(_silence_padding)


def _note_padding(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Leave a layer's mask of padding, (batch, frames), with its convolution: copies have their own."""
    _over_time(layer).padded = args[1] if len(args) > 1 else kwargs.get("key_padding_mask")


def _silence_padding(convolution: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    padding, convolution.padded = convolution.padded, None
    return None if padding is None else (args[0].masked_fill(padding[:, None, :], 0.0),)


def _over_time(layer: Any) -> Any:
    """Return a Conformer layer's convolution over time."""
    return next(part for part in layer.conv_module.modules() if _is_depthwise(part))


def _is_depthwise(part: nn.Module) -> bool:
    return isinstance(part, nn.Conv1d) and part.groups == part.in_channels > 1


def _wrap(where: str, name: str, module: nn.Module, config: dict[str, Any], card: Card) -> ModuleCandidate:
    module.eval()
    rate = int(config.get("sample_rate", WAVEFORM_RATE))
    normalise = bool(config.get("normalise", False))
    choices: list[Any] = [WaveformInputs(normalise=normalise, lengths=lengths) for lengths in (True, False)]
    if "features" in config:
        try:
            choices = [FilterBankInputs(**config["features"], ahead=_ahead(module), sample_rate=rate)]
        except TypeError as error:
            raise InputError(f"{where}: features: {error}") from None
    inputs, layers = _layers(where, module, choices, rate)
    settings = {key: value for key, value in config.items() if key not in ("torchaudio", "arguments")}
    return ModuleCandidate(
        name,
        module,
        layers=layers,
        inputs=inputs,
        grid=_grid(module, rate),
        sample_rate=rate,
        card=card,
        code=json.dumps(settings, sort_keys=True),
        copies=True,
    )


def _layers(where: str, module: nn.Module, choices: list[Any], rate: int) -> tuple[Any, list[nn.Module]]:
    """Return the first inputs that the module can be run on (WavLM's takes no lengths), and its layers."""
    noise = [(0.1 * np.random.default_rng(rate).standard_normal(rate)).astype(np.float32)]
    for inputs in choices:
        try:
            return inputs, find_layers(lambda inputs=inputs: module(**inputs(noise)), module)  # type: ignore[misc]
        except LayersNotRunError as error:
            reason = str(error)
    raise InputError(f"{where}: the model cannot be run on speech: {reason}; check `features`")


def _grid(module: Any, rate: int) -> FrameGrid | None:
    """Return the grid of the convolutions over the waveform, where there are such."""
    if not hasattr(module, "feature_extractor"):
        return None
    stack = [part.conv for part in module.feature_extractor.conv_layers]
    kernels, strides = [each.kernel_size[0] for each in stack], [each.stride[0] for each in stack]
    return FrameGrid.of_convolutions(kernels, strides, sample_rate=rate)


def _ahead(module: Any) -> int:
    """Return how many input frames after the last a streaming module wants to see."""
    stride = module.time_reduction.stride if hasattr(module, "time_reduction") else 1
    inner = getattr(module, "transformer", module)
    return int(getattr(inner, "right_context_length", 0)) * stride
