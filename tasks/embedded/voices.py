"""Speakers: espeak-ng voice variants with their own pitch, range of pitch, rate and vocal tract.

A speaker's vocal tract length is set by resampling, which moves all formants (and the pitch) by one
factor; espeak-ng's rate is corrected for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .grammar import Half

# Variants that sound like a person, in two halves: no voice of a task was heard in pre-training.
_VARIANTS: dict[Half, tuple[str, ...]] = {
    "pretraining": (
        "f1", "f3", "f5", "m1", "m3", "m5", "m7", "Alex", "Andy", "Denis", "Gene", "Henrique", "Jacky",
        "Marco",
        "Michael", "Mr serious", "Reed", "Storm", "adam", "anika", "announcer", "aunty", "benjamin", "caleb",
        "ed", "grandma", "gustave", "iven", "iven3", "john", "linda", "marcelo", "michel", "mike2",
        "pablo", "pedro",
        "rob", "sandro", "steph", "steph3",
    ),
    "tasks": (
        "f2", "f4", "m2", "m4", "m6", "m8", "Alicia", "Annie", "Andrea", "Diogo", "Gene2", "Hugo", "Lee",
        "Mario", "Mike", "Nguyen", "antonio", "belinda", "boris", "david", "edward", "grandpa", "ian",
        "iven2",
        "iven4", "kaukovalta", "max", "miguel", "norbert", "paul", "quincy", "robert", "shelby", "steph2",
        "travis", "zac",
    ),
}  # fmt: skip

Role = Literal[
    "pretraining",
    "asr",
    "speaker_identification",
    "emotion_recognition",
    "phoneme_recognition",
    "keyword_spotting",
    "multilingual_asr",
]
_SEEDS: dict[Role, int] = {
    "pretraining": 11,
    "asr": 21,
    "speaker_identification": 31,
    "emotion_recognition": 41,
    "phoneme_recognition": 51,
    "keyword_spotting": 61,
    "multilingual_asr": 71,
}


@dataclass(frozen=True, slots=True)
class Speaker:
    """A speaker.

    Attributes:
        name: unique among all speakers.
        variant: espeak-ng's voice variant.
        pitch: F0 relative to the variant's own, in octaves.
        pitch_range: range of F0 relative to the variant's own.
        rate: words a minute.
        formants: factor on all formant frequencies (a shorter vocal tract is above 1).
    """

    name: str
    variant: str
    pitch: float
    pitch_range: float
    rate: float
    formants: float


def speakers(role: Role, count: int) -> list[Speaker]:
    """Return the speakers of pre-training or of a task; those of different roles share nobody.

    Args:
        role: who they speak for.
        count: how many; beyond the number of variants, several speakers share one and are told
            apart by pitch, range, rate and formants alone.
    """
    part: Half = "pretraining" if role == "pretraining" else "tasks"
    variants = _VARIANTS[part]
    rng = np.random.default_rng(_SEEDS[role])
    order = rng.permutation(len(variants))
    made = []
    for index in range(count):
        variant = variants[order[index % len(variants)]]
        made.append(
            Speaker(
                name=f"{role}-{index:02d}",
                variant=variant,
                pitch=float(rng.uniform(-0.25, 0.25)),
                pitch_range=float(rng.uniform(0.6, 1.3)),
                rate=float(rng.uniform(120, 155)),
                formants=float(rng.uniform(0.92, 1.1)),
            )
        )
    return made
