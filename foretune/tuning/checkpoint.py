"""Where a run stands, kept in a file of tensors, so that one that was interrupted goes on from there.

Runs of the embedded speech end before a first file is due; those of large encoders on hours of speech do not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from foretune import tensor_files
from foretune.memory import peak_memory
from foretune.pace import Pace
from foretune.records.origin import Provenance, device_kind
from foretune.records.tuning import Trial
from foretune.tensor_files import Tensors

from .validation import Best

EVERY_SECONDS = 60.0
"""Least time from one file to the next."""
_LARGEST_SHARE = 0.05  # of the time that may go into writing files


@dataclass(slots=True)
class Standing:
    """What a run has done so far.

    Attributes:
        stage: the one that is under way, from 0.
        step: updates made in it.
        done: updates made in all.
        frames: valid ones in the stage's updates.
        flops_a_frame: floating-point operations of the stage's updates, for each valid frame.
        flops: of the stages that have ended.
        order: state of the random numbers when the stage began; empty before.
        trials: learning rates that have ended.
        trial: evaluations of the one under way, where there is a validation part.
        best: of those that have ended.
        start: the weights that every learning rate starts from, where there are several.
    """

    stage: int = 0
    step: int = 0
    done: int = 0
    frames: int = 0
    flops_a_frame: float = 0.0
    flops: int = 0
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    trials: list[Trial] = field(default_factory=list)
    trial: Best | None = None
    best: Best | None = None
    start: list[Tensor] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return all but tensors, as JSON has it."""
        plain = ("stage", "step", "done", "frames", "flops_a_frame", "flops")
        said: dict[str, Any] = {name: getattr(self, name) for name in plain}
        said["trials"] = [trial.model_dump(mode="json") for trial in self.trials]
        for name in ("trial", "best"):
            kept: Best | None = getattr(self, name)
            said[name] = None if kept is None else asdict(kept) | {"weights": []}
        return said

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors, by name."""
        lists = {
            "start": self.start,
            "trial": self.trial.weights if self.trial else [],
            "best": self.best.weights if self.best else [],
        }
        return {"order": self.order} | {
            f"{name}/{place}": tensor for name, each in lists.items() for place, tensor in enumerate(each)
        }

    @classmethod
    def read(cls, summary: Mapping[str, Any], tensors: Tensors) -> Standing:
        """Return what `summary` and `tensors` were made of."""
        said = dict(summary)
        said["trials"] = [Trial.model_validate(trial) for trial in said["trials"]]
        for name in ("trial", "best"):
            if said[name] is not None:
                said[name] = Best(**said[name] | {"weights": _listed(tensors, name)})
        return cls(**said, order=tensors["order"].cpu(), start=_listed(tensors, "start"))


class Spent:
    """What a run costs, over all of the sessions that it took."""

    def __init__(self, device: torch.device) -> None:
        """Begin to count."""
        self.device = device
        self._wall, self._cpu, self._peak = time.perf_counter(), time.process_time(), 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def so_far(self) -> tuple[float, float, int]:
        """Return wall and CPU seconds, and the most bytes in use."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return wall, cpu, max(self._peak, peak_memory(self.device))

    def add(self, wall: float, cpu: float, peak: int) -> None:
        """Take in what was spent by a session that was interrupted, up to what it kept."""
        self._wall -= wall
        self._cpu -= cpu
        self._peak = max(self._peak, peak)


class Checkpoint:
    """A file that says where a run stands.

    What was kept by other versions, or on another kind of machine or device, is not gone on from, since a
    result has one provenance: the run begins anew.
    """

    def __init__(self, path: Path, provenance: Provenance, spent: Spent) -> None:
        """Name the file, and what is written into it beside where the run stands.

        Args:
            path: of the file; its folder is made when it is first written.
            provenance: of the run.
            spent: what the run costs; what an interrupted session had spent is added.
        """
        self.path = path
        self.spent = spent
        self.origin = provenance.model_dump(mode="json", exclude={"started", "dirty"})
        self.origin["device"] = device_kind(provenance.device)
        self._pace = Pace(_LARGEST_SHARE, EVERY_SECONDS)

    def read(self, device: torch.device) -> tuple[Standing, Tensors] | None:
        """Return where the run stood, and its tensors on a device; None where it has to begin.

        The tensors are for `give_back`.
        """
        try:
            tensors, said = tensor_files.read(self.path, str(device))
        except (FileNotFoundError, SafetensorError):
            return None
        if said["origin"] != self.origin:
            return None
        self.spent.add(*said["spent"])
        return Standing.read(said["standing"], tensors), tensors

    def due(self) -> bool:
        """Say whether it is time to write again."""
        return self._pace.due()

    def write(self, standing: Standing, parameters: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
        """Write where the run stands, as a whole or not at all.

        Args:
            standing: after an update.
            parameters: what the stage trains.
            optimizer: of these.
        """
        begun = time.perf_counter()
        named = _named(parameters)
        tensors = standing.tensors() | {f"parameter/{name}": each for name, each in named.items()}
        tensors |= tensor_files.optimizer_tensors(optimizer, named)
        said = {"origin": self.origin, "spent": self.spent.so_far(), "standing": standing.summary()}
        tensor_files.write(self.path, tensors, said)
        self._pace.saved(begun)


@torch.no_grad()
def give_back(tensors: Tensors, parameters: Sequence[nn.Parameter], optimizer: Optimizer) -> None:
    """Give parameters, and the optimizer's state of each, what a checkpoint has kept of them."""
    named = _named(parameters)
    for name, parameter in named.items():
        parameter.copy_(tensors[f"parameter/{name}"])
    tensor_files.give_back(tensors, optimizer, named)


def _named(parameters: Sequence[nn.Parameter]) -> dict[str, nn.Parameter]:
    return {str(place): parameter for place, parameter in enumerate(parameters)}


def _listed(tensors: Tensors, name: str) -> list[Tensor]:
    count = sum(key.startswith(f"{name}/") for key in tensors)
    return [tensors[f"{name}/{place}"] for place in range(count)]
