"""VoxCeleb1: 1,251 celebrities in interviews. Nagrani et al., 2017, arXiv:1706.08612.

wav/SPEAKER/VIDEO/NNNNN.wav (below one folder, or below vox1_dev_wav/ and vox1_test_wav/, or dev/ and
test/), with iden_split.txt: a line each, 1, 2 or 3 for training, development and test, and the file
below wav/. Development joins training; every speaker is in both parts, with other videos.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Recording, Side, existing, text_lines

SPLIT = "iden_split.txt"
_SIDES: dict[str, Side] = {"1": "train", "2": "train", "3": "test"}
_ROOTS = ("wav", "vox1_dev_wav/wav", "vox1_test_wav/wav", "dev/wav", "test/wav")


def read(folder: Path) -> list[Recording]:
    """List the recordings of the folder that iden_split.txt names.

    Raises:
        InputError: iden_split.txt is missing or damaged, or a recording is missing.
    """
    listed = folder / SPLIT
    roots = [folder / root for root in _ROOTS if (folder / root).is_dir()]
    if not roots:
        raise InputError(f"{folder}: no folder wav in it; give that which holds wav/SPEAKER/VIDEO/*.wav")
    found = []
    for number, line in text_lines(listed):
        part, _, name = line.strip().partition(" ")
        pieces = name.split("/")
        if part not in _SIDES or len(pieces) != 3:
            raise InputError(f"{listed}: line {number}: not 1, 2 or 3 and SPEAKER/VIDEO/FILE")
        at = next((root / name for root in roots if (root / name).is_file()), roots[0] / name)
        audio = existing(at, f"{SPLIT}, line {number},")
        found.append(Recording(Utterance(name, audio, speaker=pieces[0]), _SIDES[part]))
    return found


VOXCELEB1 = Corpus(
    name="voxceleb1",
    title="VoxCeleb1",
    tasks=("speaker_identification",),
    layout="wav/SPEAKER/VIDEO/*.wav and iden_split.txt",
    reference="Nagrani et al., 2017, arXiv:1706.08612",
    licence="CC BY 4.0 (annotations; the videos are their owners')",
    size="153,516 recordings, 352 h, 1,251 speakers",
    by_hand="wav files by request at robots.ox.ac.uk/~vgg/data/voxceleb, with iden_split.txt from there",
    read=read,
)
