"""Multilingual LibriSpeech: read speech in eight languages. Pratap et al., 2020, arXiv:2012.03411.

mls_LANGUAGE/{train,dev,test}/audio/SPEAKER/BOOK/SPEAKER_BOOK_NNNNNN.flac (or .opus), with
transcripts.txt in each part: a line each, the utterance's name, a tab, the text. `dev` joins the
training part. Where mls_LANGUAGE/train/limited_supervision/9hr/handles.txt is, it says what is trained on.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Hub, Recording, Side, existing, text_lines

LANGUAGES = {
    "dutch": "nl",
    "english": "en",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "polish": "pl",
    "portuguese": "pt",
    "spanish": "es",
}


def read(folder: Path) -> list[Recording]:
    """List the recordings of a folder mls_LANGUAGE/, or of all such in a folder.

    Raises:
        InputError: a language is unknown, a transcript is damaged, or its recording is missing.
    """
    named = folder.name.startswith("mls_")
    corpora = [folder] if named else sorted(path for path in folder.glob("mls_*") if path.is_dir())
    found = []
    for corpus in corpora:
        # compressed ones are called mls_german_opus
        language = corpus.name.removeprefix("mls_").removesuffix("_opus")
        if language not in LANGUAGES:
            raise InputError(
                f"{corpus}: unknown language; rename the folder to mls_ and {', '.join(LANGUAGES)}"
            )
        for part, side in _parts(corpus):
            found += _part(corpus / part, side, LANGUAGES[language])
    return found


def _parts(corpus: Path) -> list[tuple[str, Side]]:
    parts: list[tuple[str, Side]] = [("train", "train"), ("dev", "train"), ("test", "test")]
    return [(part, side) for part, side in parts if (corpus / part / "transcripts.txt").is_file()]


def _part(part: Path, side: Side, language: str) -> list[Recording]:
    found = []
    transcripts = part / "transcripts.txt"
    handles = part / "limited_supervision" / "9hr" / "handles.txt"
    wanted = {line.strip() for _, line in text_lines(handles)} if handles.is_file() else None
    for number, line in text_lines(transcripts):
        name, _, text = line.partition("\t")
        pieces = name.split("_")
        if not text.strip() or len(pieces) != 3:
            raise InputError(f"{transcripts}: line {number}: not SPEAKER_BOOK_NNNNNN, a tab and a transcript")
        if wanted is not None and name not in wanted:
            continue
        stem = part / "audio" / pieces[0] / pieces[1] / name
        audio = stem.with_suffix(".opus")
        if not audio.is_file():
            audio = existing(stem.with_suffix(".flac"), f"{transcripts.name}, line {number},")
        utterance = Utterance(
            f"{language}/{name}", audio, text=text.strip(), speaker=pieces[0], language=language
        )
        found.append(Recording(utterance, side))
    return found


MULTILINGUAL_LIBRISPEECH = Corpus(
    name="multilingual_librispeech",
    title="Multilingual LibriSpeech",
    tasks=("multilingual_asr", "asr"),
    layout="mls_LANGUAGE/{train,dev,test}/ with transcripts.txt and audio/SPEAKER/BOOK/*.flac or *.opus",
    reference="Pratap et al., 2020, arXiv:2012.03411",
    licence="CC BY 4.0",
    size="50,500 h, 44,500 of them English",
    by_hand="mls_LANGUAGE from openslr.org/94; none where it is streamed",
    read=read,
    hub=Hub(
        repository="facebook/multilingual_librispeech",
        config="german",
        splits={"train": "9_hours", "test": "test"},
        columns={"id": "id", "text": "transcript", "speaker": "speaker_id"},
        languages=LANGUAGES,
        together=tuple(language for language in LANGUAGES if language != "english"),
        revision="2e83e61823b4c47dcbcb1980bb88601274127609",
    ),
)
