"""Streaming a corpus from the Hugging Face hub, decoded by soundfile, never by code from there."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

    def __str__(self) -> str:
        return f"{self.corpus.name}: {self.hub.repository} ({self.config}, {self.split})"


def stream(corpus: Corpus, *, config: str = "", limit: int = 1000) -> tuple[list[Recording], str]:
    """Read the first utterances of both parts of a corpus.

    Args:
        corpus: with a place on the hub.
        config: there; the corpus's default otherwise.
        limit: utterances of each part, at least 1.

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
    digest = hashlib.sha256()
    recordings = []
    for side, split in hub.splits.items():
        part = _Part(corpus, hub, config or hub.config, split)
        for number, row in enumerate(_rows(part, limit), start=1):
            if "label" in hub.columns and not corpus.label_of(str(row.get(hub.columns["label"]))):
                continue
            utterance = _utterance(part, number, row)
            recordings.append(Recording(utterance, side))
            facts = (utterance.id, utterance.text, utterance.speaker, utterance.label, side)
            digest.update(repr(facts).encode())
            digest.update(np.asarray(utterance.audio).tobytes())
    return recordings, digest.hexdigest()[:12]


def _rows(part: _Part, limit: int) -> Iterator[dict[str, Any]]:
    """Yield rows with class names in place of numbers; every way in which the hub can fail is one line."""
    import datasets

    hub = part.hub
    try:
        rows = datasets.load_dataset(
            hub.repository, part.config, split=part.split, streaming=True, revision=hub.revision or None
        )
        classes = {
            column: feature.names
            for column, feature in (rows.features or {}).items()
            if isinstance(feature, datasets.ClassLabel)
        }
        # its own decoder would be torchcodec
        for row in rows.cast_column("audio", datasets.Audio(decode=False)).take(limit):
            named = {
                column: names[row[column]] for column, names in classes.items() if row[column] is not None
            }
            yield {**row, **named}
    # each of these comes from datasets and huggingface_hub, offline or for a wrong name
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:_SHOWN].rstrip(".")
        raise InputError(
            f"{part}: cannot be streamed: {reason}; go online, or give a folder: {part.corpus.layout}"
        ) from None


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
