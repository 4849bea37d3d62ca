"""Real corpora as tasks' data, from a folder in the corpus's own layout or from the hub.

`CORPORA` maps names to corpora, one file each. Nothing of them ships: a user brings the folder, or a
network. `load_corpus("librispeech", folder, "asr")` gives what `foretune.rank` takes as data, which also
takes `librispeech:FOLDER` and `librispeech` itself (see `read_name`).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..utterance import TaskData
from .corpus import Corpus, Hub, Recording, assemble, check_serves
from .crema_d import CREMA_D
from .fleurs import FLEURS
from .iemocap import IEMOCAP
from .librispeech import LIBRISPEECH
from .multilingual_librispeech import MULTILINGUAL_LIBRISPEECH
from .ravdess import RAVDESS
from .speech_commands import SPEECH_COMMANDS
from .voxceleb1 import VOXCELEB1

__all__ = [
    "CORPORA",
    "Corpus",
    "Hub",
    "NamedCorpus",
    "Recording",
    "get_corpus",
    "load_corpus",
    "read_name",
    "stream_corpus",
]

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        LIBRISPEECH,
        MULTILINGUAL_LIBRISPEECH,
        FLEURS,
        SPEECH_COMMANDS,
        VOXCELEB1,
        CREMA_D,
        RAVDESS,
        IEMOCAP,
    )
}


UTTERANCES = 1000
"""Of each part, where a corpus comes from the hub and nobody says how many."""

_IN_FOLDER = re.compile(r"(?P<name>[A-Za-z][\w-]+):(?P<folder>.+)")  # one letter would be a drive
_ON_HUB = re.compile(r"(?P<name>[A-Za-z][\w-]*)(?:/(?P<config>[\w.,-]+))?(?:@(?P<revision>[\w./-]+))?")
_ALIKE = 0.75  # how like a corpus's name a word must be to be taken for one, from 0 to 1


def get_corpus(name: str) -> Corpus:
    """Return the corpus of this name.

    Raises:
        InputError: there is none; the message suggests the nearest names.
    """
    normalised = _normalised(name)
    if normalised in CORPORA:
        return CORPORA[normalised]
    near = difflib.get_close_matches(normalised, CORPORA, n=2, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(CORPORA)}"
    raise InputError(f"unknown corpus {name}: {advice}")


def load_corpus(
    name: str, folder: Path, task: str = "", *, limit: int | None = None, seed: int = 0
) -> TaskData:
    """Load a corpus from a local folder.

    The corpus's own split counts, its development part joining the training part; where it has none,
    the test part is chosen so that it shares no speaker (or sentence) with training, as the task asks.

    Args:
        name: of `CORPORA`.
        folder: in the layout of the corpus as it is published; see `Corpus.layout`.
        task: one of the corpus's tasks; the first of them by default.
        limit: at most so many utterances in each part, drawn at random; all by default.
        seed: of that draw, and of the choice of a test part.

    Raises:
        InputError: there is no such corpus, it does not serve the task, the folder has another layout
            or something is missing in it, or a part would be empty.
    """
    corpus = get_corpus(name)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give that of {corpus.title}: {corpus.layout}")
    return assemble(corpus, task or corpus.tasks[0], corpus.read(folder), limit=limit, seed=seed)


def _normalised(name: str) -> str:
    return name.lower().replace("-", "_")


def stream_corpus(
    name: str,
    task: str = "",
    *,
    config: str = "",
    revision: str = "",
    limit: int = UTTERANCES,
    seed: int = 0,
) -> TaskData:
    """Load a corpus from the hub, reading no more than is asked for, into memory.

    Args:
        name: of `CORPORA`; it must have a place on the hub.
        task: one of the corpus's tasks; the first of them by default.
        config: of the corpus there, such as a language, or several with commas between them; by default
            the corpus's own, and for `multilingual_asr` seven languages.
        revision: of the corpus there; by default the one that is declared.
        limit: so many utterances of each part, the first ones unless the corpus is fetched as a whole; about
            30 kB for each second of speech.
        seed: of the draw from a corpus that is fetched as a whole.

    Raises:
        InputError: there is no such corpus, it is not on the hub, it does not serve the task, the hub
            cannot be reached, or what it sends cannot be used.
    """
    from .hub import stream

    corpus = get_corpus(name)
    task = check_serves(corpus, task or corpus.tasks[0])
    if not config and corpus.hub and task == "multilingual_asr":
        config = ",".join(corpus.hub.together)
    recordings, found = stream(corpus, config=config, revision=revision, limit=limit, seed=seed)
    return assemble(corpus, task, recordings, revision=found)


@dataclass(frozen=True, slots=True)
class NamedCorpus:
    """A corpus as a user names it.

    Attributes:
        corpus: which one.
        folder: where it lies; None where it comes from the hub.
        config: there; empty for the default.
        revision: there; empty for the declared one.
    """

    corpus: Corpus
    folder: Path | None
    config: str = ""
    revision: str = ""

    def check(self, task: str) -> None:
        """Check, reading nothing, that the corpus serves the task and that it is there or can be asked for.

        Raises:
            InputError: it does not, there is no such folder, or the corpus is not on the hub.
        """
        check_serves(self.corpus, task)
        layout = self.corpus.layout
        if self.folder is None and self.corpus.hub is None:
            raise InputError(
                f"{self.corpus.name}: not on the hub, got {self.corpus.by_hand}; then give "
                f"{self.corpus.name}:FOLDER, which holds {layout}"
            )
        if self.folder is not None and not self.folder.is_dir():
            raise InputError(f"{self.folder}: no such folder; give that of {self.corpus.title}: {layout}")

    def load(self, task: str, *, utterances: int | None = None, seed: int = 0) -> TaskData:
        """Load it for a task; see `load_corpus` and `stream_corpus`.

        Args:
            task: by name.
            utterances: at most so many of each part; by default all of a folder, and 1,000 from the hub.
            seed: of the draw.

        Raises:
            InputError: as those do.
        """
        self.check(task)
        if self.folder is not None:
            return load_corpus(self.corpus.name, self.folder, task, limit=utterances, seed=seed)
        return stream_corpus(
            self.corpus.name,
            task,
            config=self.config,
            revision=self.revision,
            limit=UTTERANCES if utterances is None else utterances,
            seed=seed,
        )


def read_name(text: str) -> NamedCorpus | None:
    """Read `NAME:FOLDER`, or `NAME[/CONFIG,…][@REVISION]` for a corpus from the hub.

    What exists as a file or folder is not a corpus's name, whatever it is called.

    >>> read_name("speech-commands:/data/words").folder.as_posix()
    '/data/words'
    >>> read_name("fleurs/de_de,fr_fr@main").config
    'de_de,fr_fr'
    >>> read_name("manifest.csv") is None
    True

    Raises:
        InputError: it names a corpus that there is not; the message suggests the nearest names.
    """
    if Path(text).expanduser().exists():
        return None
    if found := _IN_FOLDER.fullmatch(text):
        return NamedCorpus(get_corpus(found["name"]), Path(found["folder"]).expanduser())
    if (found := _ON_HUB.fullmatch(text)) is None:
        return None
    name = _normalised(found["name"])
    if not difflib.get_close_matches(name, CORPORA, n=1, cutoff=_ALIKE):
        return None
    return NamedCorpus(get_corpus(name), None, found["config"] or "", found["revision"] or "")
