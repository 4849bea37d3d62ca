"""What enters and leaves the layers of any module, seen by hooks while the module runs itself.

State l is what enters layer l + 1, so it holds whatever the module does between two layers; the last
state is what the last layer returns. A run stops where nothing more is wanted, by an exception that
is caught here, so that what lies above (decoders, heads, adapters) is never run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


class LayersNotRunError(ValueError):
    """A module did not run its layers once each, in their order."""


class _EnoughError(Exception):
    """Ends a run."""


def states_of_layers(
    run: Callable[[], object],
    layers: Sequence[nn.Module],
    stop: int,
    *,
    freeze: bool = False,
    front_end: nn.Module | None = None,
) -> list[Tensor]:
    """Run a module up to a layer, and return what its layers took and gave.

    Args:
        run: calls the module.
        layers: in the order in which the module runs them.
        stop: the last state wanted, 0..len(layers).
        freeze: let no gradient reach the front end.
        front_end: what `freeze` means; all that runs before the first layer by default.

    Returns:
        States 0..stop, in the module's own shape.

    Raises:
        LayersNotRunError: the layers did not run once each, in order.
    """
    states: list[Tensor] = []
    with _hooks() as hooks, torch.set_grad_enabled(torch.is_grad_enabled()):
        enabled = torch.is_grad_enabled()
        if freeze and front_end is not None:
            hooks += [
                front_end.register_forward_pre_hook(lambda *_: torch.set_grad_enabled(False) and None),
                front_end.register_forward_hook(lambda *_: torch.set_grad_enabled(enabled) and None),
            ]

        def enter(index: int) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
                if freeze and front_end is None and index == 0:
                    torch.set_grad_enabled(enabled)
                if len(states) != index:
                    raise LayersNotRunError(f"layer {index + 1} ran when layer {len(states)} was due")
                states.append(first_tensor((args, kwargs)))
                if index == stop:
                    raise _EnoughError

            return hook

        def leave(_: nn.Module, __: object, output: object) -> None:
            states.append(first_tensor(output))
            raise _EnoughError

        for index, layer in enumerate(layers[: stop + 1]):
            hooks.append(layer.register_forward_pre_hook(enter(index), with_kwargs=True))
        if stop == len(layers):
            hooks.append(layers[-1].register_forward_hook(leave))
        if freeze and front_end is None:
            torch.set_grad_enabled(False)
        try:
            run()
        except _EnoughError:
            return states
    raise LayersNotRunError(f"the module ran {len(states)} of its {len(layers)} layers")


def first_tensor(given: object) -> Tensor:
    """Return the first floating-point tensor of what a layer took or gave: its hidden states."""
    for leaf in tree_leaves(given):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            return leaf
    raise LayersNotRunError("a layer took or gave no floating-point tensor")


def parameters_by_stage(run: Callable[[], object], layers: Sequence[nn.Module]) -> list[list[nn.Parameter]]:
    """Return the parameters that a run uses, each where it is first used.

    Args:
        run: calls the module.
        layers: in the order in which the module runs them.

    Returns:
        One list for what comes before the first layer, then one for each layer, with what comes
        between it and the next.
    """
    used: list[list[nn.Parameter]] = [[] for _ in range(len(layers) + 1)]
    seen: set[int] = set()
    stage = 0

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            attribute = getattr(function, "__name__", "") == "__get__"  # a weight's dtype is no use of it
            for leaf in [] if attribute else tree_leaves((args, kwargs)):
                if isinstance(leaf, nn.Parameter) and id(leaf) not in seen:
                    seen.add(id(leaf))
                    used[stage].append(leaf)
            return function(*args, **(kwargs or {}))

    def next_stage(*_: object) -> None:
        nonlocal stage
        stage += 1

    with _hooks() as hooks:
        hooks += [layer.register_forward_pre_hook(next_stage) for layer in layers]
        with torch.no_grad(), Watch():
            states_of_layers(run, layers, len(layers))
    return used


def find_layers(run: Callable[[], object], module: nn.Module) -> list[nn.Module]:
    """Find a module's stack of layers: the longest of its lists of modules.

    Among equally long ones it is that with the most weights. A list counts whose members all run once,
    in order, on hidden states of one shape (batch, frames, dimension); the first one's dimension may
    be another.

    Args:
        run: calls the module; that it fails above the layers does not matter.
        module: to be searched.

    Raises:
        LayersNotRunError: there is none.
    """
    lists = [list(part) for part in module.modules() if isinstance(part, nn.ModuleList) and _is_stack(part)]
    calls: list[tuple[int, torch.Size]] = []

    def note(layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        calls.append((id(layer), tensors[0].shape if tensors else torch.Size()))

    failure = "they differ in shape, or do not run once each"
    with _hooks() as hooks, torch.no_grad():
        for part in {id(part): part for layers in lists for part in layers}.values():
            hooks.append(part.register_forward_pre_hook(note, with_kwargs=True))
        try:
            run()
        except Exception as error:
            failure = str(error).strip().split("\n")[0] or type(error).__name__
    found = [layers for layers in lists if _ran_in_order(layers, calls)]
    if not found:
        raise LayersNotRunError(f"it has no list of layers that run as a stack over frames ({failure})")
    return max(found, key=lambda layers: (len(layers), _weights(layers)))


def find_norm(run: Callable[[], object], module: nn.Module, last: nn.Module) -> nn.Module | None:
    """Find the norm that follows the last layer: the first module to take its output, if it is one.

    A norm is told by its weights, which are vectors, by its output's shape, and by its place: beside
    the list of layers, or beside what holds that list.

    Args:
        run: calls the module; that it fails above the norm does not matter.
        module: to be searched.
        last: its last layer.
    """
    output: list[Tensor] = []
    beside = _beside(module, last)
    found: list[nn.Module] = []

    def keep(_: nn.Module, __: object, given: object) -> None:
        output.append(first_tensor(given))

    def take(part: nn.Module, args: tuple[Any, ...], result: object) -> None:
        weights = list(part.parameters(recurse=False))
        if not output or not weights:
            return
        vectors = all(weight.ndim <= 1 for weight in weights)
        if vectors and args and isinstance(args[0], Tensor) and isinstance(result, Tensor):
            same = args[0].data_ptr() == output[0].data_ptr() and args[0].numel() == output[0].numel()
            if same and result.shape == args[0].shape and id(part) in beside:
                found.append(part)
        raise _EnoughError

    with _hooks() as hooks, torch.no_grad():
        hooks.append(last.register_forward_hook(keep))
        for part in module.modules():
            if part is not last and not list(part.children()):
                hooks.append(part.register_forward_hook(take))
        try:
            run()
        except Exception:
            return found[0] if found else None
    return found[0] if found else None


def _beside(module: nn.Module, last: nn.Module) -> set[int]:
    """Return the ids of the children of all that holds a layer."""
    holders = [part for part in module.modules() if any(inner is last for inner in part.modules())]
    return {id(child) for part in holders if part is not last for child in part.children()} - {id(last)}


def _is_stack(part: nn.ModuleList) -> bool:
    return len(part) > 0 and not isinstance(part, ParametrizationList)


def _ran_in_order(layers: Sequence[nn.Module], calls: Sequence[tuple[int, torch.Size]]) -> bool:
    members = {id(layer) for layer in layers}
    ran = [(identity, shape) for identity, shape in calls if identity in members]
    in_order = [identity for identity, _ in ran] == [id(layer) for layer in layers]
    if not in_order or len(ran[0][1]) not in (2, 3):
        return False
    # the first layer may be the one that brings frames to the others' dimension
    same_frames = ran[0][1][:-1] == ran[-1][1][:-1]
    return same_frames and len({shape for _, shape in ran[1:]}) <= 1


def _weights(layers: Sequence[nn.Module]) -> int:
    return sum(weight.numel() for layer in layers for weight in layer.parameters())


@contextmanager
def _hooks() -> Iterator[list[Any]]:
    """Give a list whose hooks are removed in the end."""
    hooks: list[Any] = []
    try:
        yield hooks
    finally:
        for hook in hooks:
            hook.remove()
