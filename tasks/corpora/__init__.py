"""Real corpora as tasks' data, from a folder in the corpus's own layout or streamed from the hub.

`CORPORA` maps names to corpora, one file each. Nothing of them ships: a user brings the folder, or a
network. `load_corpus("librispeech", folder, "asr")` gives what `foretune.rank` takes as data.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from ..errors import InputError
from ..utterance import TaskData
from .corpus import Corpus, Hub, Recording, assemble
from .crema_d import CREMA_D
from .fleurs import FLEURS
from .iemocap import IEMOCAP
from .librispeech import LIBRISPEECH
from .multilingual_librispeech import MULTILINGUAL_LIBRISPEECH
from .ravdess import RAVDESS
from .speech_commands import SPEECH_COMMANDS
from .voxceleb1 import VOXCELEB1

__all__ = ["CORPORA", "Corpus", "Hub", "Recording", "get_corpus", "load_corpus", "stream_corpus"]

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


def get_corpus(name: str) -> Corpus:
    """Return the corpus of this name.

    Raises:
        InputError: there is none; the message suggests the nearest names.
    """
    if name in CORPORA:
        return CORPORA[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), CORPORA, n=2, cutoff=0.5)
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


def stream_corpus(name: str, task: str = "", *, config: str = "", limit: int = 1000) -> TaskData:
    """Load a corpus from the hub, reading no more than is asked for, into memory.

    Args:
        name: of `CORPORA`; it must have a place on the hub.
        task: one of the corpus's tasks; the first of them by default.
        config: of the corpus there, such as a language; the corpus's default otherwise.
        limit: the first so many utterances of each part; about 30 kB for each second of speech.

    Raises:
        InputError: there is no such corpus, it is not on the hub, it does not serve the task, the hub
            cannot be reached, or what it sends cannot be used.
    """
    from .hub import stream

    corpus = get_corpus(name)
    recordings, revision = stream(corpus, config=config, limit=limit)
    return assemble(corpus, task or corpus.tasks[0], recordings, revision=revision)
