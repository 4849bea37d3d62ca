"""Encoders on log-mel frames that `transformers` has no class for, as models that it can load.

A front end makes a frame of 40 ms from log-mel ones of 10 ms; layers of one kind follow: recurrent ones
(APC), a transformer's (DeCoAR 2.0), blocks of two-dimensional convolutions (VGGish) or convolutions over
time (a fully convolutional network). All leave padding without effect.
"""

from __future__ import annotations

from .configuration import LogMelConfig
from .encoder import LogMelEncoder

__all__ = ["LogMelConfig", "LogMelEncoder", "register"]


def register() -> None:
    """Let `AutoConfig` and `AutoModel` know these encoders."""
    from transformers import AutoConfig, AutoModel

    AutoConfig.register(LogMelConfig.model_type, LogMelConfig, exist_ok=True)
    AutoModel.register(LogMelConfig, LogMelEncoder, exist_ok=True)
