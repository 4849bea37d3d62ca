"""Candidates of a user's own: what a Python file on this machine makes, given as `FILE.py:NAME`.

Such a file is run. That is the user's own code, named by the user; nothing is ever run that came with
weights or from the hub.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from foretune.tasks.errors import InputError

if TYPE_CHECKING:
    from .candidate import Candidate

DEFAULT = "candidate"
"""The name within the file where none is given."""
SEED = 0
"""Of weights that the file draws at random: the same each time that it is run."""

_NAME = re.compile(r"(?P<file>.+\.py)(?::(?P<attribute>[A-Za-z_]\w*))?")


def is_python_file(name: str) -> bool:
    """Return whether a name has the form `FILE.py` or `FILE.py:NAME`."""
    return _NAME.fullmatch(name) is not None


def check_file(name: str) -> Path:
    """Return the file that a name means, without running it.

    Raises:
        InputError: there is none.
    """
    found = _NAME.fullmatch(name)
    path = Path(found["file"] if found else name).expanduser()
    if not path.is_file():
        raise InputError(f"model {name}: no such file as {path}; write FILE.py:NAME, and check the path")
    return path


def load_file(name: str, *, device: str = "cpu") -> Candidate:
    """Run a Python file and return the candidate that it makes, under the name that was given.

    Args:
        name: `FILE.py:NAME`; `FILE.py` alone means what is called `candidate` there. That is a `Candidate`,
            such as a `ModuleCandidate`, or a function `load(*, device)` that returns one.
        device: a torch device.

    Raises:
        InputError: there is no such file or nothing of that name in it, running it failed, or what it makes
            is no candidate.
    """
    from .candidate import Candidate
    from .weights import to_device

    path = check_file(name)
    found = _NAME.fullmatch(name)
    attribute = (found and found["attribute"]) or DEFAULT
    with _own_errors(name, path):
        made = _run(name, path, attribute)
        if callable(made) and not isinstance(made, Candidate) and not hasattr(made, "parameters"):
            made = _call(made, device)
    if not isinstance(made, Candidate):
        raise InputError(
            f"model {name}: {attribute} is a {type(made).__name__}, no Candidate; wrap a torch module as "
            f'ModuleCandidate("mine", module, layers="the.name.of.its.layers")'
        )
    to_device(made.module, device)
    made.name = name
    return made


def _run(name: str, path: Path, attribute: str) -> object:
    """Return what a file calls by a name, having run it."""
    import torch

    # in sys.modules, where dataclasses and torch look for the module of a class
    known_as = f"foretune_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(known_as, path)
    if spec is None or spec.loader is None:
        raise InputError(f"model {name}: {path} cannot be imported")
    module = sys.modules[known_as] = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.append(folder)  # last: a file beside it must not hide a package
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    if not hasattr(module, attribute):
        raise InputError(f"model {name}: nothing is called {attribute} in {path}; write {path}:NAME")
    made: object = getattr(module, attribute)
    return made


def _call(load: Callable[..., object], device: str) -> object:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return load(device=device)


@contextmanager
def _own_errors(name: str, path: Path) -> Iterator[None]:
    """Say of an error in the user's code in which line it is."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        own = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename) == path.resolve() or Path(frame.filename) == path
        ]
        line = error.lineno if isinstance(error, SyntaxError) else own[-1] if own else None
        where = f"line {line}: " if line else ""
        raise InputError(f"model {name}: {path}: {where}{type(error).__name__}: {error}") from error
