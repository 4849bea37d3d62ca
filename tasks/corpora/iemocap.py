"""IEMOCAP: ten actors in dialogues of two. Busso et al., 2008, Language Resources and Evaluation.

The corpus is given out on request only: the folder is yours. SessionN/dialog/EmoEvaluation/DIALOG.txt has
a line for each turn, [START - END], a tab, the turn, a tab, the emotion; the recordings are
SessionN/sentences/wav/DIALOG/TURN.wav. As in SUPERB, four classes count: neutral, happiness (with
excitement), anger and sadness; and the first session is the test part (its fold 1), so that no actor is
on both sides.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..utterance import Utterance
from .corpus import Corpus, Recording, existing, text_lines

EMOTIONS = {
    "neu": "neutral",
    "hap": "happiness",
    "exc": "happiness",
    "ang": "anger",
    "sad": "sadness",
}
TEST_SESSION = "Session1"
_TURN = re.compile(r"\[[\d. ]+-[\d. ]+\]\t(Ses\d\d[FM]_\w+_([FM])\d+)\t(\w+)\t.*")


def read(folder: Path) -> list[Recording]:
    """List the turns of the folder that holds Session1/ to Session5/.

    Raises:
        InputError: a recording is missing.
    """
    found = []
    for session in sorted(path for path in folder.glob("Session*") if path.is_dir()):
        for evaluation in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            found += _dialogue(session, evaluation)
    return found


def _dialogue(session: Path, evaluation: Path) -> list[Recording]:
    found = []
    for number, line in text_lines(evaluation):
        turn = _TURN.fullmatch(line)
        if turn is None or turn[3] not in EMOTIONS:
            continue  # single judgements, and emotions that are too rare
        audio = session / "sentences" / "wav" / evaluation.stem / f"{turn[1]}.wav"
        utterance = Utterance(
            turn[1],
            existing(audio, f"{evaluation.name}, line {number},"),
            speaker=f"{session.name}{turn[2]}",
            emotion=EMOTIONS[turn[3]],
            language="en",
        )
        found.append(Recording(utterance, "test" if session.name == TEST_SESSION else "train"))
    return found


IEMOCAP = Corpus(
    name="iemocap",
    title="IEMOCAP",
    tasks=("emotion_recognition",),
    layout="SessionN/dialog/EmoEvaluation/*.txt and SessionN/sentences/wav/DIALOG/TURN.wav",
    reference="Busso et al., 2008, Language Resources and Evaluation 42",
    licence="its own, for research; signed by the user",
    size="12 h, 10,039 turns (5,531 in the four classes), 10 actors",
    by_hand="by request at sail.usc.edu/iemocap",
    read=read,
)
