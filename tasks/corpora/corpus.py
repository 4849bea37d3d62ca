"""What each corpus declares, and how its recordings become a task's data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError
from ..manifest import group_key
from ..splits import grouped_split
from ..task import Task
from ..utterance import TaskData, Utterance

Side = Literal["train", "test", ""]
TEST_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance and the part it is in.

    Attributes:
        utterance: with what the corpus says of it.
        side: `train` or `test`, by the corpus's own split; empty where it has none.
    """

    utterance: Utterance
    side: Side = ""


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a corpus is on the Hugging Face hub.

    Attributes:
        repository: owner/name.
        config: the default one.
        splits: the hub's names of the training and the test part.
        columns: the hub's column of each field of an utterance that it gives: text, speaker, label.
        languages: the language of each config, where configs are languages.
        together: the configs that are read together for `multilingual_asr`.
        whole: fetched as a whole and drawn from, where otherwise no more is read than the first rows: these
            are not a fair part of a corpus that is sorted by label.
        revision: a branch or commit; empty for the newest, where none is known that holds the columns above.
    """

    repository: str
    config: str
    splits: Mapping[Literal["train", "test"], str]
    columns: Mapping[str, str]
    languages: Mapping[str, str] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    whole: bool = False
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus of real speech.

    Attributes:
        name: as given to `load_corpus`.
        title: as its authors call it.
        tasks: what it serves, the usual task first.
        layout: what its folder holds, in a line.
        reference: the paper.
        licence: of the recordings; what it asks for where it is none of the usual ones.
        size: hours, or recordings, and speakers.
        by_hand: what has to be got by hand before its folder can be given.
        read: lists the recordings of a folder.
        label_of: turns a label of the hub into the task's; empty where the recording is left out.
        hub: where it can be streamed from; None where users bring the folder.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    layout: str
    reference: str
    licence: str
    size: str
    by_hand: str
    read: Callable[[Path], list[Recording]]
    hub: Hub | None = None
    label_of: Callable[[str], str] = str


def check_serves(corpus: Corpus, task: str) -> str:
    """Return the task's name.

    Raises:
        InputError: the corpus does not serve it.
    """
    if task not in corpus.tasks:
        raise InputError(f"{corpus.name}: does not serve the task {task}; give {' or '.join(corpus.tasks)}")
    return task


def assemble(
    corpus: Corpus,
    task_name: str,
    recordings: Sequence[Recording],
    *,
    limit: int | None = None,
    seed: int = 0,
    revision: str = "",
) -> TaskData:
    """Return a task's data of a corpus's recordings.

    Args:
        corpus: whose they are.
        task_name: one of its tasks.
        recordings: either all with a side, or all without.
        limit: see `load_corpus`.
        seed: likewise.
        revision: of the data; by default a hash of names, labels, sides and sizes of the files.

    Raises:
        InputError: the corpus does not serve the task, there are no recordings, or a part would be
            empty; the test part is without utterances whose label training does not have.
    """
    from .. import get_task

    check_serves(corpus, task_name)
    if not recordings:
        raise InputError(f"{corpus.name}: no recordings found; the folder must hold {corpus.layout}")
    task = get_task(task_name)
    ordered = sorted(recordings, key=lambda recording: recording.utterance.id)
    sided = _sided(task, ordered, seed)
    parts = {side: [each.utterance for each in sided if each.side == side] for side in ("train", "test")}
    for side, part in parts.items():
        if not part:
            raise InputError(f"{corpus.name}: no {side} part; the folder must hold {corpus.layout}")
        if limit is not None and len(part) > limit:
            drawn = np.random.default_rng((seed, len(part))).choice(len(part), limit, replace=False)
            parts[side] = [part[index] for index in sorted(drawn.tolist())]
    if task.kind == "utterance":
        known = {task.target(utterance) for utterance in parts["train"]}
        parts["test"] = [utterance for utterance in parts["test"] if task.target(utterance) in known]
        if not parts["test"]:
            raise InputError(f"{corpus.name}: training has no label of the test part; raise the limit")
    return TaskData(
        task=task.name,
        suite=corpus.name,
        revision=revision or _revision(parts),
        train=parts["train"],
        test=parts["test"],
    )


def _sided(task: Task, recordings: Sequence[Recording], seed: int) -> list[Recording]:
    """Return the recordings with their side, by a fair split where the corpus has none."""
    if all(recording.side for recording in recordings):
        return list(recordings)
    utterances = [recording.utterance for recording in recordings]
    groups = [group_key(utterance, task.split_by) for utterance in utterances]
    labels = None if task.kind == "sequence" else [task.target(utterance) for utterance in utterances]
    in_test = grouped_split(groups, labels, test_fraction=TEST_FRACTION, seed=seed)
    return [
        Recording(utterance, "test" if chosen else "train")
        for utterance, chosen in zip(utterances, in_test, strict=True)
    ]


def _revision(parts: Mapping[str, Sequence[Utterance]]) -> str:
    """Hash names, labels, sides and file sizes: reading a thousand hours of samples would take as long."""
    digest = hashlib.sha256()
    for side, part in parts.items():
        for each in part:
            size = each.audio.stat().st_size if isinstance(each.audio, Path) else each.audio.nbytes
            facts = [each.id, each.text, each.speaker, each.emotion, each.label, each.language, side, size]
            digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()[:12]


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that are not blank, with their numbers from 1.

    Raises:
        InputError: the file is missing or is no UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); get it again with the corpus") from None
    yield from ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def existing(path: Path, named_in: str) -> Path:
    """Return an audio file's path.

    Raises:
        InputError: there is no such file, though `named_in` names it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, though {named_in} names it; complete the corpus")
    return path
