"""LibriSpeech: read English, by speakers of audio books. Panayotov et al., 2015, ICASSP.

SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac, with the transcripts of a chapter in
SPEAKER-CHAPTER.trans.txt: a line each, the utterance's name, a space, the text. Subsets named train-…
make the training part (dev-… where there are none), those named test-… the test part.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Hub, Recording, Side, existing, text_lines


def read(folder: Path) -> list[Recording]:
    """List the recordings below the folder LibriSpeech/, or the one that holds it.

    Raises:
        InputError: a transcript is damaged, or its recording is missing.
    """
    root = folder / "LibriSpeech" if (folder / "LibriSpeech").is_dir() else folder
    subsets = sorted(path for path in root.iterdir() if path.is_dir())
    training = [path for path in subsets if path.name.startswith("train-")]
    training = training or [path for path in subsets if path.name.startswith("dev-")]
    testing = [path for path in subsets if path.name.startswith("test-")]
    parts: list[tuple[Path, Side]] = [(path, "train") for path in training]
    parts += [(path, "test") for path in testing]
    return [recording for subset, side in parts for recording in _subset(subset, side)]


def _subset(subset: Path, side: Side) -> list[Recording]:
    found = []
    for transcripts in sorted(subset.glob("*/*/*.trans.txt")):
        for number, line in text_lines(transcripts):
            name, _, text = line.partition(" ")
            speaker = name.split("-")[0]
            if not text.strip() or speaker != transcripts.parent.parent.name:
                raise InputError(f"{transcripts}: line {number}: not SPEAKER-CHAPTER-NNNN and a transcript")
            audio = existing(transcripts.parent / f"{name}.flac", f"{transcripts.name}, line {number},")
            found.append(
                Recording(Utterance(name, audio, text=text.strip(), speaker=speaker, language="en"), side)
            )
    return found


LIBRISPEECH = Corpus(
    name="librispeech",
    title="LibriSpeech",
    tasks=("asr",),
    layout="train-*/ (or dev-*/) and test-*/, each SPEAKER/CHAPTER/*.flac with *.trans.txt",
    reference="Panayotov et al., 2015, ICASSP",
    licence="CC BY 4.0",
    size="982 h, 2,484 readers",
    by_hand="train-clean-100 and test-clean from openslr.org/12; none where it is streamed",
    read=read,
    hub=Hub(
        repository="openslr/librispeech_asr",
        config="clean",
        splits={"train": "train.100", "test": "test"},
        columns={"id": "id", "text": "text", "speaker": "speaker_id"},
        languages={"clean": "en", "other": "en", "all": "en"},
        revision="71cacbfb7e2354c4226d01e70d77d5fca3d04ba1",
    ),
)
