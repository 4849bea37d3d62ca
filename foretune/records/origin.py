"""Where a result came from: code, packages, machine and time."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Provenance(BaseModel):
    """Where a result came from.

    Attributes:
        processes: that ran tests side by side (pytest-xdist), this one included: more than one spoil each
            other's times, and the seconds of a record are no timings.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: bool
    python: str
    machine: str
    device: str
    threads: int
    processes: int = 1
    packages: dict[str, str]
    started: str


def provenance(device: str = "cpu") -> Provenance:
    """Describe this process: code, packages, machine, time (UTC)."""
    import torch

    commit, dirty = _code_version()
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        device=device,
        threads=torch.get_num_threads(),
        processes=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
        packages=_package_versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@functools.cache
def _package_versions() -> dict[str, str]:
    names = ("foretune", "torch", "transformers", "numpy", "scipy", "scikit-learn", "POT")
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@functools.cache
def _code_version() -> tuple[str, bool]:
    """Return (commit, dirty) of the checkout this code runs from; the version where there is none."""
    root = Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(root)]
    try:
        top = subprocess.run(
            [*git, "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, text=True, check=True
        )
        toplevel, commit = top.stdout.splitlines()
        if Path(toplevel).resolve() != root:
            raise FileNotFoundError(toplevel)  # installed inside somebody else's checkout
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError, ValueError):
        return _package_versions()["foretune"], False
    return commit[:12], bool(status.stdout.strip())
