"""FLEURS: sentences of an encyclopaedia read in 102 languages. Conneau et al., 2022, arXiv:2205.12446.

LOCALE/{train,dev,test}.tsv without a header: number, file, text as written, text in lower case, its
characters, number of samples, gender; the recordings in LOCALE/audio/{train,dev,test}/ (or in
LOCALE/{train,dev,test}/). `dev` joins the training part. Sentences have several readers, who are not
named, and no sentence is in two parts.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Hub, Recording, Side, existing, text_lines

_PARTS: tuple[tuple[str, Side], ...] = (("train", "train"), ("dev", "train"), ("test", "test"))
_CELLS = 7


def read(folder: Path) -> list[Recording]:
    """List the recordings of a folder LOCALE/, such as de_de/, or of all such in a folder.

    Raises:
        InputError: a table is damaged, or a recording is missing.
    """
    alone = (folder / "train.tsv").is_file() or (folder / "test.tsv").is_file()
    locales = (
        [folder] if alone else sorted(path for path in folder.iterdir() if (path / "test.tsv").is_file())
    )
    return [
        recording
        for locale in locales
        for part, side in _PARTS
        if (locale / f"{part}.tsv").is_file()
        for recording in _part(locale, part, side)
    ]


def _part(locale: Path, part: str, side: Side) -> list[Recording]:
    table = locale / f"{part}.tsv"
    audio = locale / "audio" / part
    audio = audio if audio.is_dir() else locale / part
    found = []
    for number, line in text_lines(table):
        cells = line.split("\t")
        if len(cells) != _CELLS or not cells[3].strip():
            raise InputError(f"{table}: line {number}: {len(cells)} cells, not {_CELLS} with a transcript")
        file = existing(audio / cells[1], f"{table.name}, line {number},")
        utterance = Utterance(
            f"{locale.name}/{part}/{cells[1]}",
            file,
            text=cells[3].strip(),
            language=locale.name.partition("_")[0],
        )
        found.append(Recording(utterance, side))
    return found


FLEURS = Corpus(
    name="fleurs",
    title="FLEURS",
    tasks=("multilingual_asr", "asr"),
    layout="LOCALE/{train,dev,test}.tsv with LOCALE/audio/{train,dev,test}/*.wav, such as de_de/",
    reference="Conneau et al., 2022, arXiv:2205.12446",
    licence="CC BY 4.0",
    size="102 languages, about 12 h each",
    by_hand="none: streamed; the same files lie at huggingface.co/datasets/google/fleurs",
    read=read,
    hub=Hub(
        repository="google/fleurs",
        config="de_de",
        splits={"train": "train", "test": "test"},
        columns={"text": "transcription"},
        together=("de_de", "es_419", "fr_fr", "it_it", "nl_nl", "pl_pl", "pt_br"),
        revision="refs/convert/parquet",  # datasets no longer runs the script of the main branch
    ),
)
