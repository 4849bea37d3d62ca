"""Speech encoders from a folder with a configuration and safetensors.

Those of `transformers` are told by their form: convolutions over the waveform under a transformer
(`convolutional`), Whisper's window (`whisper`), patches of a spectrogram (`patches`), a codec
(`codec`); any other is run as it is, with the feature extractor that belongs to it (`module`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foretune.tasks.errors import InputError

from .candidate import Candidate, Card
from .codec import codec, is_codec
from .convolutional import ConvolutionalCandidate
from .encoder_part import hears, speech_encoder
from .extractor_inputs import ExtractorInputs, extractor_code, load_extractor
from .frame_grid import WAVEFORM_RATE, FrameGrid
from .layer_states import LayersNotRunError, find_layers
from .module import ModuleCandidate
from .patches import is_patch_transformer, is_swin, patch_transformer, swin
from .weights import check_weights, initialise, read_weights, to_device
from .whisper import WhisperCandidate


def load_folder(folder: Path, name: str, *, device: str = "cpu", untrained: bool = False) -> Candidate:
    """Load an encoder from a folder in the form of `save_pretrained`.

    Args:
        folder: holds config.json, safetensors, and possibly preprocessor_config.json and card.json.
        name: what the candidate is called.
        device: where the weights go.
        untrained: take only the configuration, and draw the weights from a fixed seed.

    Raises:
        InputError: no folder, no configuration, an unknown architecture, no weights, pickled or
            damaged or incomplete weights, a model that is not for speech.
    """
    if not untrained and folder.is_dir() and (folder / "config.json").is_file():
        check_weights(folder)
    candidate: Candidate
    if "torchaudio" in read_json(folder / "config.json"):
        from .torchaudio_models import load_torchaudio

        candidate = load_torchaudio(folder, name, read_card(folder), untrained=untrained)
    else:
        config = read_config(folder)
        module = initialise(config) if untrained else read_weights(folder, config)
        candidate = _candidate(folder, name, module, config)
    to_device(candidate.module, device)
    return candidate


def _candidate(folder: Path, name: str, module: Any, config: Any) -> Candidate:
    """Wrap a loaded model by its form."""
    card = read_card(folder)
    encoder = speech_encoder(module)
    if _is_windowed(encoder):
        return WhisperCandidate(name, encoder, card)
    if _is_convolutional(module):
        preprocessing = read_json(folder / "preprocessor_config.json")
        normalise = bool(preprocessing.get("do_normalize", True))
        rate = int(preprocessing.get("sampling_rate", WAVEFORM_RATE))
        return ConvolutionalCandidate(name, module, card, normalise=normalise, sample_rate=rate)
    if is_codec(module):
        return codec(name, module, card)
    if not hears(encoder):
        raise InputError(f"{folder}: encoders of the family {config.model_type} are not supported")
    extractor = load_extractor(folder, config)
    try:
        if is_patch_transformer(encoder):
            return patch_transformer(name, encoder, extractor, card)
        if is_swin(encoder):
            return swin(name, encoder, extractor, card)
        return from_extractor(name, encoder, extractor, card)
    except LayersNotRunError as error:
        raise InputError(
            f"{folder}: encoders of the family {config.model_type} are not supported: {error}"
        ) from None


def from_extractor(name: str, encoder: Any, extractor: Any, card: Card) -> ModuleCandidate:
    """Wrap an encoder of any form with the feature extractor that belongs to it.

    Raises:
        LayersNotRunError: the encoder has no stack of layers.
    """
    encoder.eval()
    inputs = ExtractorInputs(extractor, encoder)
    layers = find_layers(lambda: encoder(**inputs(inputs.trial())), encoder)
    return ModuleCandidate(
        name,
        encoder,
        layers=layers,
        inputs=inputs,
        grid=_convolutional_grid(encoder.config),
        sample_rate=inputs.rate,
        card=card,
        code=extractor_code(extractor),
        copies=True,
    )


def _convolutional_grid(config: Any) -> FrameGrid | None:
    """Return the grid of a stack of convolutions, squeezed where the configuration says so.

    It is that of the convolutions alone: the positions' own, which see a second or two and move no
    frame, are left out.
    """
    if not hasattr(config, "conv_kernel") or not hasattr(config, "conv_stride"):
        return None
    squeeze = [config.squeeze_factor] if hasattr(config, "squeeze_factor") else []
    return FrameGrid.of_convolutions([*config.conv_kernel, *squeeze], [*config.conv_stride, *squeeze])


def read_card(folder: Path) -> Card:
    """Return what a folder's card.json says, or else README.md, and the family from its configuration.

    Raises:
        InputError: one of the files is damaged.
    """
    content = read_json(folder / "card.json") or _read_readme(folder)
    config = read_json(folder / "config.json")
    family = config.get("model_type") or ("torchaudio" if "torchaudio" in config else "")
    named = ("pretraining_data", "objective", "licence", "source_suite")
    known = {field: str(content.pop(field)) for field in named if content.get(field)}
    return Card(family=str(content.pop("family", family)), details=content, **known)


def _read_readme(folder: Path) -> dict[str, Any]:
    """Return licence and pre-training data from the head of a hub model's README.md, as far as stated."""
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub.repocard import metadata_load

    readme = folder / "README.md"
    try:
        head = (metadata_load(readme) if readme.is_file() else None) or {}
    except (ValueError, yaml.YAMLError):  # it is for people first; what cannot be read there is unknown
        return {}
    data = head.get("datasets") or []
    found = {
        "licence": head.get("license") or "",
        "pretraining_data": data if isinstance(data, str) else ", ".join(map(str, data)),
    }
    return {field: value for field, value in found.items() if value}


def _is_windowed(encoder: Any) -> bool:
    """Return whether an encoder has the form of Whisper's: two convolutions over a window of one length."""
    parts = ("conv1", "conv2", "embed_positions", "layers", "layer_norm")
    return all(hasattr(encoder, part) for part in parts) and hasattr(encoder.config, "max_source_positions")


def _is_convolutional(module: Any) -> bool:
    config = module.config
    parts = all(hasattr(module, part) for part in ("feature_extractor", "feature_projection", "encoder"))
    # SEW squeezes time inside the encoder, so its layers lie on another grid
    return parts and hasattr(config, "conv_kernel") and not hasattr(config, "squeeze_factor")


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, empty where there is no file.

    Raises:
        InputError: it is not a JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); restore the file") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; restore the file")
    return content


def read_config(folder: Path) -> Any:
    """Return the configuration of a model folder, with masks and dropped layers turned off.

    Raises:
        InputError: no folder, no configuration, or one that `transformers` has no model for.
    """
    from transformers import AutoConfig

    from .log_mel import register

    register()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a model folder made by save_pretrained")
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json in it; give a model folder made by save_pretrained")
    stated = read_json(folder / "config.json")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, KeyError, OSError, TypeError):
        raise InputError(
            f"{folder}: config.json does not describe an encoder that transformers has "
            f"(model_type {stated.get('model_type')!r}); remote code is not run"
        ) from None
    # masking and dropped layers belong to pre-training; layers 0..L have to be there on every pass
    for setting in ("mask_time_prob", "mask_feature_prob", "layerdrop", "encoder_layerdrop"):
        if hasattr(config, setting):
            setattr(config, setting, 0.0)
    return config
