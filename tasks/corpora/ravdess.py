"""RAVDESS: 24 actors say two sentences in eight emotions. Livingstone and Russo, 2018, PLoS ONE.

Actor_NN/MM-CC-EE-II-SS-RR-AA.wav: modality, channel (01 speech, 02 song), emotion, intensity, sentence,
repetition, actor. Songs are left out. There is no split of its own: no actor is on both sides of ours.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..utterance import Utterance
from .corpus import Corpus, Recording

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_NAME = re.compile(r"\d\d-(\d\d)-(\d\d)-\d\d-(\d\d)-\d\d-(\d\d)")
_SPEECH = "01"


def read(folder: Path) -> list[Recording]:
    """List the spoken recordings below the folder."""
    found = []
    for file in sorted(folder.glob("**/Actor_*/*.wav")):
        named = _NAME.fullmatch(file.stem)
        if named is None:
            continue
        channel, emotion, sentence, actor = named.groups()
        if channel != _SPEECH or emotion not in EMOTIONS or sentence not in SENTENCES:
            continue
        utterance = Utterance(
            file.name,
            file,
            text=SENTENCES[sentence],
            speaker=actor,
            emotion=EMOTIONS[emotion],
            language="en",
        )
        found.append(Recording(utterance))
    return found


RAVDESS = Corpus(
    name="ravdess",
    title="RAVDESS",
    tasks=("emotion_recognition",),
    layout="Actor_NN/MM-CC-EE-II-SS-RR-AA.wav",
    reference="Livingstone and Russo, 2018, PLoS ONE 13(5)",
    licence="CC BY-NC-SA 4.0",
    size="1,440 spoken recordings, 24 actors",
    by_hand="Audio_Speech_Actors_01-24.zip from zenodo.org/records/1188976",
    read=read,
)
