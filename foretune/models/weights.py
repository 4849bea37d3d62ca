"""Weights of `transformers` models: safetensors only, whole, in float32."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foretune.tasks.errors import InputError

from .encoder_part import speech_encoder

UNTRAINED_SEED = 0


def check_weights(folder: Path) -> None:
    """Check that a folder has weights that are not pickled, and those that its card.json tells the sum of.

    Raises:
        InputError: it has none, or others than the card says.
    """
    if any(folder.glob("*.safetensors")):
        _check_sum(folder)
        return
    pickled = sorted(
        path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)
    )
    if pickled:
        raise InputError(
            f"{folder}: its weights are pickled ({pickled[0]}), which can run code and is not loaded; "
            "save them with save_pretrained(folder, safe_serialization=True)"
        )
    raise InputError(f"{folder}: no weights in it; put model.safetensors beside config.json")


def _check_sum(folder: Path) -> None:
    """Compare model.safetensors with the SHA-256 that card.json states, where it states one."""
    card, weights = folder / "card.json", folder / "model.safetensors"
    if not (card.is_file() and weights.is_file()):
        return
    try:
        stated = json.loads(card.read_bytes())["sha256"]
    except (ValueError, KeyError, TypeError):  # no sum in it; what else is wrong with it is told elsewhere
        return
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != stated:
        raise InputError(
            f"{weights}: its SHA-256 begins {found[:12]}, and card.json says {str(stated)[:12]}; restore the "
            "file, or take the sum out of card.json if you have changed the weights"
        )


def read_weights(folder: Path, config: Any, *, ctc: bool = False) -> nn.Module:
    """Build the model of a configuration and fill it from a folder's safetensors, in float32.

    Args:
        folder: with the weights.
        config: of `transformers`.
        ctc: build the encoder with a head for CTC.

    Raises:
        InputError: the file is damaged, or does not hold every weight of the speech encoder, or of the
            whole with its head for CTC.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCTC

    try:
        with _quiet():  # what it would report is checked below
            module, loading = (AutoModelForCTC if ctc else _class_of(config)).from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{folder}: its weights cannot be read ({reason}); save the model again") from None
    needed = module if ctc else speech_encoder(module)
    place = next(name for name, part in module.named_modules() if part is needed)
    missing = sorted(key for key in loading["missing_keys"] if key.startswith(place))
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} weights are missing, the first {missing[0]}; "
            "give the weights of the whole encoder"
        )
    loaded: nn.Module = module
    return loaded


def initialise(config: Any) -> nn.Module:
    """Build the model of a configuration with weights drawn from a fixed seed, in float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(UNTRAINED_SEED)
        module = _class_of(config)._from_config(config)
    untrained: nn.Module = module.float()
    return untrained


def _class_of(config: Any) -> Any:
    """Return the class of the model without heads, which none of `transformers`' own code comes with.

    SpeechT5's base model lacks what turns speech into its encoder's input; its recogniser has it.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    if config.model_type == "speecht5":
        return transformers.SpeechT5ForSpeechToText
    found = MODEL_MAPPING.get(type(config), None)
    if found is None:
        raise InputError(f"encoders of the family {config.model_type} are not supported")
    return found[0] if isinstance(found, tuple) else found


def weights_hash(module: nn.Module, *code: str) -> str:
    """Return 12 hexadecimal digits over a module's weights and what else makes its features."""
    digest = hashlib.sha256("\n".join(code).encode())
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:12]


def check_device(device: str) -> None:
    """Check that tensors can be made on a device.

    Raises:
        InputError: there is no such device.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"device {device}: cannot be used here: {why}; give cpu, cuda or cuda:1") from None


def to_device(module: nn.Module, device: str) -> None:
    """Bring a module to a device.

    Raises:
        InputError: there is no such device, or it has too little memory.
    """
    try:
        module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device}: {str(error).splitlines()[0]}") from None


def count_parameters(module: nn.Module) -> int:
    """Return the number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep `transformers` from logging and from drawing progress bars, for a while."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
