"""The candidates: what ships, and how any other is loaded.

Shipped are the folders in `zoo/`, an untrained twin of each architecture, `fbank` and `mfcc`. Others come
from a local folder, from the Hugging Face hub, or from a package with an entry point of the group
`foretune.models`: a callable `load(*, device: str) -> Candidate` under the candidate's name. A user's own
Python file, `FILE.py:NAME`, makes one too (see `python_file.py`).
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretune.tasks.errors import InputError

from .python_file import check_file, is_python_file, load_file

if TYPE_CHECKING:
    from .candidate import Candidate, Card, HiddenStates
    from .frame_grid import FrameGrid
    from .module import ModuleCandidate

__all__ = [
    "Candidate",
    "Card",
    "FrameGrid",
    "HiddenStates",
    "ModuleCandidate",
    "check_name",
    "describe",
    "expand",
    "is_twin",
    "load_candidate",
    "names",
    "twin",
]

_HOMES = {
    "Candidate": "candidate",
    "Card": "candidate",
    "FrameGrid": "frame_grid",
    "HiddenStates": "candidate",
    "ModuleCandidate": "module",
}

TORCHAUDIO = "torchaudio:"
"""Before the name of a bundle of `torchaudio.pipelines`."""
ZOO = Path(__file__).parent / "zoo"
_FEATURES = {"fbank": "filter banks", "mfcc": "cepstral coefficients"}
"""What nothing was trained for, by name, with its family."""
UNTRAINED = "-untrained"
"""Suffix of the twin: the same configuration, weights from a fixed seed."""


def names() -> list[str]:
    """Return the names of the shipped candidates: `fbank`, `mfcc`, the zoo, and its untrained twins."""
    return [*_FEATURES, *_zoo_names(), *(name + UNTRAINED for name in _twins())]


def twin(name: str) -> str | None:
    """Return the untrained twin that ships for an encoder of the zoo; None for anything else.

    Encoders of one configuration share a twin.
    """
    return _twins_by_name().get(name)


def is_twin(name: str) -> bool:
    """Whether this is the name of an untrained twin.

    >>> is_twin("hubert-untrained"), is_twin("hubert")
    (True, False)
    """
    return name.endswith(UNTRAINED)


def expand(given: Sequence[str]) -> list[str]:
    """Return names with `all` replaced by the shipped ones that are not named beside it.

    >>> expand(["fbank", "./mine"])
    ['fbank', './mine']
    """
    if "all" not in given:
        return list(given)
    others = [name for name in given if name != "all"]
    return [*(name for name in names() if name not in others), *others]


def describe() -> list[list[str]]:
    """Return name, family, objective, pre-training data and licence of each shipped candidate."""
    from .huggingface import read_card

    rows = [[name, family, "none", "none", "Apache-2.0"] for name, family in _FEATURES.items()]
    cards = {name: read_card(ZOO / name) for name in _zoo_names()}
    for name, card in cards.items():
        rows.append([name, card.family, card.objective, card.pretraining_data, card.licence])
    for name in _twins():
        rows.append([name + UNTRAINED, cards[name].family, "none", "none", cards[name].licence])
    return rows


def load_candidate(name: str, *, device: str = "cpu") -> Candidate:
    """Load a candidate by name.

    Args:
        name: a shipped one, one of an installed package, `torchaudio:BUNDLE`, a Python file of your own as
            `FILE.py:NAME`, a local folder, or `owner/model[@revision]` on the hub, looked up in this order;
            with `-untrained` after it, the untrained twin of one that ships, a folder or a hub model.
        device: a torch device such as `cpu` or `cuda`.

    Raises:
        InputError: there is no such candidate or device, or it cannot be loaded.
    """
    from .weights import check_device

    start = time.perf_counter()
    check_device(device)
    candidate = _load(name, device)
    candidate.load_seconds = time.perf_counter() - start
    return candidate


def _load(name: str, device: str) -> Candidate:
    if name == "fbank":
        from .filter_banks import FilterBanks

        return FilterBanks(device=device)
    if name == "mfcc":
        from .cepstra import CepstralCoefficients

        return CepstralCoefficients(device=device)
    entry = _entry_point(name)
    if entry is not None:
        candidate: Candidate = entry.load()(device=device)
        return candidate
    if name.startswith(TORCHAUDIO):
        from .torchaudio_models import load_bundle
        from .weights import to_device

        bundle = load_bundle(name)
        to_device(bundle.module, device)
        return bundle
    if is_python_file(name):
        return load_file(name, device=device)
    from .huggingface import load_folder

    base, untrained = _sibling(name)
    return load_folder(_folder(base), name, device=device, untrained=untrained)


def check_name(name: str) -> None:
    """Check that there is a candidate of this name, and download it where need be, without loading it.

    Raises:
        InputError: there is none.
    """
    if name in _FEATURES or _entry_point(name) is not None:
        return
    if name.startswith(TORCHAUDIO):
        from .torchaudio_models import check_bundle

        check_bundle(name)
        return
    if is_python_file(name):
        check_file(name)
        return
    _folder(_sibling(name)[0])


def __getattr__(name: str) -> Any:
    """Import torch only where a class that needs it is asked for."""
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _entry_point(name: str) -> EntryPoint | None:
    installed = entry_points(group="foretune.models", name=name)
    return next(iter(installed), None)


def _sibling(name: str) -> tuple[str, bool]:
    """Return the name without the suffix of twins, and whether it had it."""
    if name.endswith(UNTRAINED) and not Path(name).expanduser().is_dir():
        return name.removesuffix(UNTRAINED), True
    return name, False


def _folder(name: str) -> Path:
    """Return the folder that a name means, downloaded where need be."""
    if is_python_file(name):
        raise InputError(
            f"model {name}{UNTRAINED}: a file has no twin; let it make a candidate of its own for it"
        )
    if name in _zoo_names():
        return ZOO / name
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith((".", "/", "~")):
        raise InputError(f"model {name}: no such folder; check the path")
    from .hub import download, is_hub_id

    if is_hub_id(name):
        return download(name)
    from .hub_pool import meant_by

    near = [model.name for model in meant_by(name)] or difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {' or '.join(near)}?" if near else f"shipped are {', '.join(names())}"
    raise InputError(f"model {name}: unknown; {hint} (or give a local folder, or owner/model on the hub)")


def _zoo_names() -> list[str]:
    return sorted(path.parent.name for path in ZOO.glob("*/config.json"))


def _twins_by_name() -> dict[str, str]:
    """Return the twin of each encoder of the zoo: named after the first one of its configuration."""
    first: dict[str, str] = {}
    return {name: first.setdefault(_configuration(name), name) + UNTRAINED for name in _zoo_names()}


def _configuration(name: str) -> str:
    """Return what an encoder of the zoo is made of, as text; which release wrote the file does not matter."""
    read = json.loads((ZOO / name / "config.json").read_bytes())
    return json.dumps({key: read[key] for key in sorted(read) if key != "transformers_version"})


def _twins() -> list[str]:
    """Return the zoo's names without those of a configuration that an earlier one has: one twin is enough."""
    return [name.removesuffix(UNTRAINED) for name in dict.fromkeys(_twins_by_name().values())]
