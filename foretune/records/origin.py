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
        machine: operating system and architecture.
        processor: its name; empty where not known.
        cores: that this process may use; None where not known.
        processes: that ran tests side by side (pytest-xdist), this one included: more than one spoil each
            other's times, and the seconds of a record are no timings.
        started: UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: bool
    python: str
    machine: str
    processor: str = ""
    cores: int | None = None
    device: str
    threads: int
    processes: int = 1
    packages: dict[str, str]
    started: str

    @property
    def place(self) -> tuple[str, str, int, str, int] | None:
        """Return what makes two results' seconds comparable: the same kind of machine, used alike.

        None where too little is known of it, or tests ran side by side.
        """
        if not self.processor or self.cores is None or self.processes > 1:
            return None
        return (self.machine, self.processor, self.cores, self.device, self.threads)


def device_kind(device: str) -> str:
    """Return the kind of a device, whichever it is of several.

    >>> device_kind("cuda:1")
    'cuda'
    """
    return device.partition(":")[0]


def provenance(device: str = "cpu") -> Provenance:
    """Describe this process: code, packages, machine, time (UTC)."""
    import torch

    commit, dirty = _code_version()
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=_cores(),
        device=device,
        threads=torch.get_num_threads(),
        processes=int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
        packages=_package_versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@functools.cache
def _processor() -> str:
    """Return the processor's name, as Linux tells it or Python knows it; empty where neither does."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8", errors="replace").splitlines() if listed.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _cores() -> int | None:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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
