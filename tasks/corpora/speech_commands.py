"""Speech Commands: single English words, by thousands of people. Warden, 2018, arXiv:1804.03209.

WORD/SPEAKER_nohash_N.wav, with testing_list.txt naming the test part (validation_list.txt joins the
training part); no speaker is in two parts. As in SUPERB, ten words are themselves, all others
are `_unknown_`; its class of silence is left out, for there is nothing to hear in it.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Hub, Recording, Side, text_lines

KEYWORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN = "_unknown_"
SILENCE = "_silence_"


def read(folder: Path) -> list[Recording]:
    """List the recordings of the folder.

    Raises:
        InputError: testing_list.txt is missing, or names a recording that is.
    """
    listed = folder / "testing_list.txt"
    tested = {line.strip(): number for number, line in text_lines(listed)}
    found = []
    for file in sorted(folder.glob("*/*.wav")):
        word = file.parent.name
        name = f"{word}/{file.name}"
        speaker, nohash, _ = file.stem.partition("_nohash_")
        if not nohash:
            continue  # background noise
        side: Side = "test" if tested.pop(name, None) else "train"
        utterance = Utterance(name, file, text=word, speaker=speaker, label=label_of(word), language="en")
        found.append(Recording(utterance, side))
    if tested:
        missing, number = next(iter(tested.items()))
        raise InputError(f"{listed}: line {number}: {missing} is not there; complete the corpus")
    return found


def label_of(word: str) -> str:
    """Return a word's class: itself, or `_unknown_`; empty for silence."""
    if word == SILENCE:
        return ""
    return word if word in KEYWORDS else UNKNOWN


SPEECH_COMMANDS = Corpus(
    name="speech_commands",
    title="Speech Commands",
    tasks=("keyword_spotting",),
    layout="WORD/*_nohash_*.wav and testing_list.txt",
    reference="Warden, 2018, arXiv:1804.03209",
    licence="CC BY 4.0",
    size="105,829 words (0.02) or 64,727 (0.01), 1 s each",
    by_hand="none: fetched (1.5 GB); a folder is speech_commands_v0.02.tar.gz, unpacked",
    read=read,
    label_of=label_of,
    hub=Hub(
        repository="google/speech_commands",
        config="v0.01",  # as SUPERB
        splits={"train": "train", "test": "test"},
        columns={"label": "label", "speaker": "speaker_id"},
        languages={"v0.01": "en", "v0.02": "en"},
        whole=True,
        revision="refs/convert/parquet",  # datasets no longer runs the script of the main branch
    ),
)
