"""The tasks, one file each.

`TASKS` maps names to tasks: those declared here, then those that installed packages declare by
an entry point of the group `foretune.tasks` that names a `Task`.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
from typing import Any

from .asr import ASR
from .emotion_recognition import EMOTION_RECOGNITION
from .errors import InputError
from .keyword_spotting import KEYWORD_SPOTTING
from .multilingual_asr import MULTILINGUAL_ASR
from .phoneme_recognition import PHONEME_RECOGNITION
from .speaker_identification import SPEAKER_IDENTIFICATION
from .task import Task
from .utterance import Span, TaskData, Utterance

__all__ = ["TASKS", "InputError", "Span", "Task", "TaskData", "Utterance", "get_task"]

ENTRY_POINTS = "foretune.tasks"

DECLARED = (
    ASR,
    SPEAKER_IDENTIFICATION,
    EMOTION_RECOGNITION,
    PHONEME_RECOGNITION,
    KEYWORD_SPOTTING,
    MULTILINGUAL_ASR,
)
TASKS: dict[str, Task]


def __getattr__(name: str) -> Any:
    # lazy, so that a package that declares a task may itself import foretune.tasks
    if name == "TASKS":
        return _registry()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _registry() -> dict[str, Task]:
    tasks: dict[str, Task] = {}
    for task in DECLARED:
        _register(tasks, task, origin="foretune")
    for entry_point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        _register(tasks, entry_point.load(), origin=f"entry point {entry_point.value}")
    return tasks


def _register(tasks: dict[str, Task], task: object, origin: str) -> None:
    if not isinstance(task, Task):
        raise TypeError(f"{origin}: names a {type(task).__name__} where a foretune.tasks.Task is needed")
    if task.name in tasks:
        raise ValueError(f"{origin}: there is already a task named {task.name}; rename it")
    tasks[task.name] = task


def get_task(name: str) -> Task:
    """Return the task of this name, such as `asr`, or a part of one, such as `multilingual_asr:de`.

    Raises:
        InputError: there is none; the message suggests the nearest names.
        TypeError: an installed package's entry point does not name a task.
        ValueError: two tasks have one name.
    """
    tasks = _registry()
    if name in tasks:
        return tasks[name]
    whole, _, part = name.partition(":")
    if part and whole in tasks:
        return tasks[whole].part(part)
    beginning = [task for task in tasks if task.startswith(name.lower())]
    nearest = difflib.get_close_matches(name.lower().replace("-", "_"), tasks, n=2, cutoff=0.5)
    by_code = [task.name for task in tasks.values() if task.code.lower() == name.lower()]
    suggestions = by_code or beginning or nearest
    advice = f"did you mean {' or '.join(suggestions)}?" if suggestions else f"there are {', '.join(tasks)}"
    raise InputError(f"unknown task {name}: {advice}")
