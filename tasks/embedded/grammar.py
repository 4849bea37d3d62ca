"""Sentences: a small grammar of commands, questions, statements and digit strings.

Every sentence belongs to one of two halves by a hash of its text: `pretraining` or `tasks`, so that
no sentence that the zoo was pre-trained on is ever in a task.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Half = Literal["pretraining", "tasks"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

LEXICON: dict[str, tuple[str, ...]] = {
    "digit": DIGITS,
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty",
               "fifty"),
    "switch": ("turn on", "turn off", "switch on", "switch off", "dim", "check"),
    "device": ("lamp", "heater", "radio", "fan", "alarm", "camera", "oven", "speaker", "printer", "kettle"),
    "room": ("kitchen", "bedroom", "garage", "hallway", "office", "garden", "cellar", "bathroom", "attic",
             "porch"),
    "move": ("go", "drive", "walk", "turn", "look", "step"),
    "way": ("left", "right", "up", "down", "back", "forward", "north", "south", "home", "away"),
    "media": ("play", "stop", "pause", "skip", "repeat", "find", "save", "share"),
    "item": ("song", "story", "message", "picture", "letter", "movie", "lesson", "report", "poem", "list"),
    "unit": ("minutes", "hours", "days", "weeks", "seconds", "months"),
    "person": ("my sister", "the doctor", "our teacher", "the old sailor", "her brother", "the young farmer",
               "a tall stranger", "the baker", "his uncle", "the pilot", "your neighbour", "the quiet judge"),
    "past": ("bought", "lost", "painted", "carried", "found", "sold", "broke", "borrowed", "washed", "hid",
             "drew",
             "forgot"),
    "object": ("a red bicycle", "the silver key", "a bag of apples", "the broken chair", "some fresh bread",
               "a yellow umbrella", "the heavy box", "a wooden boat", "the last ticket", "an empty bottle",
               "a warm jacket", "the green book", "a cup of tea", "the garden gate"),
    "time": ("yesterday", "this morning", "last night", "on monday", "before lunch", "in june", "at noon",
             "after school", "on friday", "in the rain"),
    "place": ("near the river", "at the market", "behind the church", "in the forest", "by the window",
              "under the bridge", "on the hill", "outside the station"),
    "adjective": ("cold", "bright", "noisy", "empty", "narrow", "strange", "quiet", "crowded", "dusty",
                  "lovely"),
    "thing": ("weather", "road", "house", "water", "street", "kitchen", "train", "market", "music", "valley"),
    "question": ("where is", "who took", "why do you need", "did you see", "can you bring", "have you got"),
}  # fmt: skip

TEMPLATES: tuple[tuple[float, str], ...] = (
    (2.0, "{digit} {digit} {digit} {digit}"),
    (1.0, "{digit} {digit} {digit}"),
    (2.0, "{switch} the {room} {device}"),
    (1.0, "set the {device} to {number}"),
    (1.0, "{move} {way} for {number} {unit}"),
    (1.0, "{media} the {adjective} {item}"),
    (1.0, "{media} {number} {adjective} {item}s"),
    (1.5, "remind me in {number} {unit}"),
    (3.0, "{person} {past} {object}"),
    (2.0, "{person} {past} {object} {time}"),
    (1.5, "{question} {object}"),
    (1.5, "the {thing} was {adjective} {time}"),
    (1.5, "a {adjective} {thing} {place}"),
    (1.5, "{question} {person}"),
)
"""Weights and templates; a word in braces is drawn from the lexicon."""


def half(sentence: str) -> Half:
    """Return which half a sentence belongs to."""
    return "tasks" if hashlib.sha256(sentence.encode()).digest()[0] % 2 else "pretraining"


def sentences(count: int, part: Half, rng: np.random.Generator) -> list[str]:
    """Draw different sentences of one half.

    Args:
        count: how many; the grammar has tens of thousands in each half.
        part: the half.
        rng: what they are drawn with.

    Returns:
        Sentences in lower case letters and spaces, no two alike.
    """
    weights = np.array([weight for weight, _ in TEMPLATES])
    weights /= weights.sum()
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        _, template = TEMPLATES[rng.choice(len(TEMPLATES), p=weights)]
        sentence = _fill(template, rng)
        if half(sentence) == part:
            drawn[sentence] = None
    return list(drawn)


def _fill(template: str, rng: np.random.Generator) -> str:
    pieces = template.split("{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        slot, rest = piece.split("}")
        words = LEXICON[slot]
        filled.append(words[rng.integers(len(words))] + rest)
    return "".join(filled)
