"""The candidates: what ships, and how any other is loaded.

Shipped are the folders in `zoo/`, an untrained twin of each, and `fbank`. Others come from a local
folder, from the Hugging Face hub, or from a package with an entry point of the group
`foretune.models`: a callable `load(*, device: str) -> Candidate` under the candidate's name.
"""

from __future__ import annotations

import difflib
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING

from foretune.tasks.errors import InputError

if TYPE_CHECKING:
    from .candidate import Candidate

ZOO = Path(__file__).parent / "zoo"
UNTRAINED = "-untrained"
"""Suffix of the twin: the same configuration, weights from a fixed seed."""


def names() -> list[str]:
    """Return the names of the shipped candidates: `fbank`, the zoo, and its untrained twins."""
    zoo = _zoo_names()
    return ["fbank", *zoo, *(name + UNTRAINED for name in zoo)]


def load_candidate(name: str, *, device: str = "cpu") -> Candidate:
    """Load a candidate by name.

    Args:
        name: a shipped one, one of an installed package, a local folder, or `owner/model[@revision]`
            on the hub, looked up in this order; with `-untrained` after it, its untrained twin.
        device: a torch device such as `cpu` or `cuda`.

    Raises:
        InputError: there is no such candidate, or it cannot be loaded.
    """
    if name == "fbank":
        from .filter_banks import FilterBanks

        return FilterBanks(device=device)
    installed = importlib.metadata.entry_points(group="foretune.models")
    if name in installed.names:
        candidate: Candidate = installed[name].load()(device=device)
        return candidate
    from .huggingface import load_folder

    untrained = name.endswith(UNTRAINED) and not Path(name).expanduser().is_dir()
    base = name.removesuffix(UNTRAINED) if untrained else name
    return load_folder(_folder(base), name, device=device, untrained=untrained)


def _folder(name: str) -> Path:
    """Return the folder that a name means, downloaded where need be."""
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
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"shipped are {', '.join(names())}"
    raise InputError(f"model {name}: unknown; {hint} (or give a local folder, or owner/model on the hub)")


def _zoo_names() -> list[str]:
    return sorted(path.parent.name for path in ZOO.glob("*/config.json"))
