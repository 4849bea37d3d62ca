"""Emotions by published acoustic rules: level and range of F0, rate, loudness.

The rules follow I. R. Murray and J. L. Arnott, "Toward the simulation of emotion in synthetic speech",
J. Acoust. Soc. Am. 93(2), 1993 (anger, happiness, sadness, fear: direction of each correlate) and
F. Burkhardt and W. F. Sendlmeier, "Verification of acoustical correlates of emotional speech using
formant-synthesis", ISCA Workshop on Speech and Emotion, 2000 (joy: F0 +50 %, range +100 %, tempo +30 %;
fear: F0 raised strongly, range +20 %, tempo +30 %; boredom: F0 -20 %, range -50 %, tempo -20 %). The sizes
here are of their order, and drawn anew for every utterance, so that the classes overlap as acted ones do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Prosody:
    """How speech departs from a speaker's neutral way of speaking.

    Attributes:
        pitch: change of F0 in octaves.
        pitch_range: factor on the range of F0.
        rate: factor on the rate.
        loudness: change in decibels.
    """

    pitch: float = 0.0
    pitch_range: float = 1.0
    rate: float = 1.0
    loudness: float = 0.0


RULES: dict[str, Prosody] = {
    "neutral": Prosody(),
    "anger": Prosody(pitch=0.45, pitch_range=1.9, rate=1.15, loudness=6),
    "happiness": Prosody(pitch=0.55, pitch_range=2.0, rate=1.25, loudness=3),
    "sadness": Prosody(pitch=-0.15, pitch_range=0.7, rate=0.8, loudness=-6),
    "fear": Prosody(pitch=0.85, pitch_range=1.2, rate=1.3, loudness=0),
    "boredom": Prosody(pitch=-0.35, pitch_range=0.45, rate=0.82, loudness=-3),
}
"""The full size of each emotion."""


MILD = (0.4, 1.0)
"""Strength of emotions in pre-training, as a part of the rule."""
ACTED = (0.8, 1.2)
"""Strength of emotions in the task."""


def express(emotion: str, rng: np.random.Generator, strength: tuple[float, float] = MILD) -> Prosody:
    """Draw one expression of an emotion.

    Args:
        emotion: a key of `RULES`.
        rng: what it is drawn with.
        strength: bounds of the part of the rule that is applied; every correlate then varies on its
            own by as much as the same speaker's neutral sentences do.
    """
    rule = RULES[emotion]
    part = rng.uniform(*strength)
    pitch, spread, rate, loudness = rng.standard_normal(4)
    return Prosody(
        pitch=part * rule.pitch + 0.07 * pitch,
        pitch_range=float(rule.pitch_range**part * np.exp(0.12 * spread)),
        rate=float(rule.rate**part * np.exp(0.06 * rate)),
        loudness=part * rule.loudness + 1.5 * loudness,
    )
