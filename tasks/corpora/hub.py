"""A corpus from the Hugging Face hub, decoded by soundfile, never by code from there.

Most are streamed: no more is read than asked for. With `HF_HUB_OFFLINE=1` nothing is asked of the network.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from ..audio import SAMPLE_RATE
from ..errors import InputError
from ..utterance import Utterance
from .corpus import Corpus, Hub, Recording

_SHOWN = 200  # characters of what the hub's libraries say


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a corpus on the hub."""

    corpus: Corpus
    hub: Hub
    config: str
    split: str
    limit: int
    seed: int

    def __str__(self) -> str:
        return f"{self.corpus.name}: {self.hub.repository} ({self.config}, {self.split})"


def stream(
    corpus: Corpus, *, config: str = "", revision: str = "", limit: int = 1000, seed: int = 0
) -> tuple[list[Recording], str]:
    """Read utterances of both parts of a corpus: the first ones, or a draw where it is fetched as a whole.

    Args:
        corpus: with a place on the hub.
        config: there, or several with commas between them, which share the limit; the corpus's default
            otherwise.
        revision: there, a branch or commit; that which the corpus declares otherwise.
        limit: utterances of each part, at least 1.
        seed: of the draw.

    Returns:
        The recordings, samples in memory, and the data's revision: a hash of samples and labels.

    Raises:
        InputError: the corpus is not on the hub, the limit is not positive, the hub cannot be reached,
            has no such config, or sends what cannot be used.
    """
    hub = corpus.hub
    if hub is None:
        raise InputError(f"{corpus.name}: not streamed from the hub; give its folder: {corpus.layout}")
    if limit < 1:
        raise InputError(f"{corpus.name}: limit {limit}: give 1 or more")
    hub = replace(hub, revision=revision or hub.revision)
    configs = (config or hub.config).split(",")
    each = max(1, limit // len(configs))
    digest = hashlib.sha256()
    recordings = []
    for side, split in hub.splits.items():
        for part in (_Part(corpus, hub, config, split, each, seed) for config in configs):
            for utterance in _utterances(part, of_several=len(configs) > 1):
                recordings.append(Recording(utterance, side))
                facts = (utterance.id, utterance.text, utterance.speaker, utterance.label, side)
                digest.update(repr(facts).encode())
                digest.update(np.asarray(utterance.audio).tobytes())
    return recordings, digest.hexdigest()[:12]


def _utterances(part: _Part, *, of_several: bool) -> Iterator[Utterance]:
    """Yield a part's utterances, without those whose label is left out."""
    label = part.hub.columns.get("label")
    for number, row in enumerate(_rows(part), start=1):
        if label is None or part.corpus.label_of(str(row.get(label))):
            utterance = _utterance(part, number, row)
            yield replace(utterance, id=f"{part.config}/{utterance.id}") if of_several else utterance


def _rows(part: _Part) -> Iterator[dict[str, Any]]:
    """Yield rows with class names in place of numbers; every way in which the hub can fail is one line."""
    import datasets
    from huggingface_hub.constants import HF_HUB_OFFLINE

    hub = part.hub
    try:
        if not hub.whole and (HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE):
            raise OSError("HF_HUB_OFFLINE is set, and nothing of a stream is kept")
        rows = datasets.load_dataset(
            hub.repository,
            part.config,
            split=part.split,
            streaming=not hub.whole,
            revision=hub.revision or None,
        )
        classes = {
            column: feature.names
            for column, feature in (rows.features or {}).items()
            if isinstance(feature, datasets.ClassLabel)
        }
        # its own decoder would be torchcodec
        for row in _some(rows.cast_column("audio", datasets.Audio(decode=False)), part):
            named = {
                column: names[row[column]] for column, names in classes.items() if row[column] is not None
            }
            yield {**row, **named}
    # each of these comes from datasets and huggingface_hub, offline or for a wrong name
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:_SHOWN].rstrip(".")
        raise InputError(
            f"{part}: cannot be had: {reason}; go online, or give a folder: {part.corpus.layout}"
        ) from None


def _some(rows: Any, part: _Part) -> Iterable[dict[str, Any]]:
    """Return the first rows of a stream, or, where all are there, a draw in the corpus's order."""
    if not part.hub.whole:
        first: Iterable[dict[str, Any]] = rows.take(part.limit)
        return first
    drawn = np.random.default_rng((part.seed, len(rows))).permutation(len(rows))[: part.limit]
    chosen: Iterable[dict[str, Any]] = rows.select(sorted(drawn.tolist()))
    return chosen


def _utterance(part: _Part, number: int, row: Mapping[str, Any]) -> Utterance:
    where = f"{part}: row {number}"
    cells = {}
    for name, column in part.hub.columns.items():
        value = row.get(column)
        if value is None or not str(value).strip():
            raise InputError(f"{where}: no {column}; the hub's columns are others now, so give a folder")
        cells[name] = str(value).strip()
    label = cells.get("label")
    return Utterance(
        id=f"{part.split}/{cells.get('id', f'{number:08d}')}",
        audio=_samples(row.get("audio"), where),
        text=cells.get("text"),
        speaker=cells.get("speaker"),
        label=None if label is None else part.corpus.label_of(label),
        language=_language(part.hub, part.config),
    )


def _language(hub: Hub, config: str) -> str | None:
    """Return the language of a config: as declared, or what stands before the country, as in de_de."""
    if config in hub.languages:
        return hub.languages[config]
    return config.partition("_")[0] if "_" in config else None


def _samples(audio: object, where: str) -> NDArray[np.int16]:
    """Decode the bytes of a file to 16 kHz."""
    from scipy.signal import resample_poly

    encoded = audio.get("bytes") if isinstance(audio, Mapping) else None
    if not encoded:
        raise InputError(f"{where}: no audio in it; the hub's columns are others now, so give a folder")
    try:
        channels, sample_rate = soundfile.read(io.BytesIO(encoded), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{where}: cannot be read as audio ({error.error_string.rstrip('.')})") from None
    waveform = channels.mean(axis=1)
    if sample_rate != SAMPLE_RATE:
        divisor = gcd(SAMPLE_RATE, sample_rate)
        waveform = resample_poly(waveform, SAMPLE_RATE // divisor, sample_rate // divisor)
    samples: NDArray[np.int16] = np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)
    return samples
