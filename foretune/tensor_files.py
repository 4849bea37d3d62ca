"""Files that say where a training stands: tensors, and what JSON can hold, as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

_STATES = ("step", "exp_avg", "exp_avg_sq")  # of AdamW

Tensors = Mapping[str, Tensor]


def write(path: Path, tensors: Tensors, said: Any) -> None:
    """Write a file, whose folder is made where missing.

    Args:
        path: of the file.
        tensors: by name; no two may share memory.
        said: what else there is to say, as JSON has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, unfinished(path), metadata={"progress": json.dumps(said)})
    unfinished(path).replace(path)


def read(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], Any]:
    """Return the tensors of a file, on a device, and what else it says.

    Raises:
        FileNotFoundError: there is no such file.
        SafetensorError: it is damaged.
    """
    with safe_open(path, framework="pt", device=device) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return tensors, json.loads(file.metadata()["progress"])


def remove(path: Path) -> None:
    """Remove a file, and what had been begun of it."""
    path.unlink(missing_ok=True)
    unfinished(path).unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return the file that becomes another one when it is whole."""
    return path.with_suffix(".unfinished")


def optimizer_tensors(optimizer: Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return what an optimizer keeps of parameters, for `give_back`."""
    return {
        f"optimiser/{state}/{name}": value
        for name, parameter in named.items()
        for state, value in optimizer.state[parameter].items()
    }


def give_back(tensors: Tensors, optimizer: Optimizer, named: Mapping[str, nn.Parameter]) -> None:
    """Give an optimizer what `optimizer_tensors` had of parameters, on the device of each."""
    for name, parameter in named.items():
        optimizer.state[parameter] = {
            state: tensors[f"optimiser/{state}/{name}"].to(parameter.device)
            for state in _STATES
            if f"optimiser/{state}/{name}" in tensors
        }
