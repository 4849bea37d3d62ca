"""Which part of a loaded model of `transformers` is the speech encoder."""

from __future__ import annotations

import inspect
from typing import Any

SPEECH_ARGUMENTS = ("input_features", "input_values", "audio_values")
"""Names under which the models of `transformers` take waveforms or features of them."""


def speech_encoder(module: Any) -> Any:
    """Return the part of a loaded model that turns speech into hidden states.

    It is found by going down, as far as may be, to parts that take speech and no text; decoders, which
    may take speech to come, are passed by. The model itself where no part is such a one.
    """
    found = module
    while True:
        below = [part for name, part in found.named_modules() if name and "decoder" not in name]
        inner = next((part for part in below if hears(part)), None)
        if inner is None:
            return found
        found = inner


def hears(part: Any) -> bool:
    """Return whether a module takes speech and no text, by its arguments or by what it says of itself."""
    from transformers import PreTrainedModel

    if not isinstance(part, PreTrainedModel):
        return False
    arguments = set(inspect.signature(part.forward).parameters)
    if "input_ids" in arguments:
        return False
    says = vars(type(part)).get("input_modalities") in ("audio", ("audio",))
    return says or bool(arguments & set(SPEECH_ARGUMENTS))
