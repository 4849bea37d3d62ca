"""CREMA-D: 91 actors say twelve sentences in six emotions. Cao et al., 2014, IEEE Trans. Affective Computing.

AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav. There is no split of its own: no actor (or, for speakers, no
sentence) is on both sides of ours.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..utterance import Utterance
from .corpus import Corpus, Recording

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
SENTENCES = {
    "DFA": "Don't forget a jacket",
    "IEO": "It's eleven o'clock",
    "IOM": "I'm on my way to the meeting",
    "ITH": "I think I have a doctor's appointment",
    "ITS": "I think I've seen this before",
    "IWL": "I would like a new alarm clock",
    "IWW": "I wonder what this is about",
    "MTI": "Maybe tomorrow it will be cold",
    "TAI": "The airplane is almost full",
    "TIE": "That is exactly what happened",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
_NAME = re.compile(rf"(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_(LO|MD|HI|XX|X)")


def read(folder: Path) -> list[Recording]:
    """List the recordings of the folder AudioWAV/, or the one that holds it."""
    root = folder / "AudioWAV" if (folder / "AudioWAV").is_dir() else folder
    found = []
    for file in sorted(root.glob("*.wav")):
        named = _NAME.fullmatch(file.stem)
        if named is None:
            continue
        actor, sentence, emotion, _ = named.groups()
        utterance = Utterance(
            file.name, file, text=SENTENCES[sentence], speaker=actor, emotion=EMOTIONS[emotion], language="en"
        )
        found.append(Recording(utterance))
    return found


CREMA_D = Corpus(
    name="crema_d",
    title="CREMA-D",
    tasks=("emotion_recognition", "speaker_identification"),
    layout="AudioWAV/ACTOR_SENTENCE_EMOTION_LEVEL.wav",
    reference="Cao et al., 2014, IEEE Trans. Affective Computing",
    licence="ODbL 1.0",
    size="7,442 recordings, 91 actors",
    by_hand="clone github.com/CheyneyComputerScience/CREMA-D with git-lfs",
    read=read,
)
