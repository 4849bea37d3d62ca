"""Accumulators as text and plain arrays, and back again, so that an interrupted pass over speech can go on.

Nothing is pickled: what can be dumped is a short list of types, and anything else is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .moments import Moments
from .samples import Reservoir, _objects
from .sums import Sums

_CLASSES: dict[str, type[Any]] = {each.__name__: each for each in (Moments, Reservoir, Sums)}
_DERIVED = "_cache"
"""Attribute of what is computed again when it is needed."""


def dump(value: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return a value as JSON and the arrays that it refers to by name.

    Args:
        value: `Moments`, a `Reservoir`, numpy arrays (also structured ones, and object arrays of the rest),
            strings, numbers, None, and lists, tuples and dictionaries of these. Arrays are not copied.

    Raises:
        TypeError: something in it is of another type.
    """
    arrays: dict[str, NDArray[Any]] = {}
    return json.dumps(_dump(value, arrays)), arrays


def load(text: str, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value that `dump` was given.

    Args:
        text: as `dump` gave it.
        arrays: as well; they become part of the value, and are not copied.

    Raises:
        ValueError: the text is not JSON, or not of `dump`.
        KeyError: an array is missing.
    """
    return _load(json.loads(text), arrays)


def _dump(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.generic) and not isinstance(value, np.void):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [type(value).__name__, [_dump(item, arrays) for item in value]]
    if isinstance(value, dict):
        return ["dict", [[_dump(key, arrays), _dump(item, arrays)] for key, item in value.items()]]
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return ["objects", [_dump(item, arrays) for item in value.tolist()]]
        name = f"array{len(arrays)}"
        arrays[name] = value
        return ["array", name]
    kind = type(value).__name__
    if _CLASSES.get(kind) is not type(value):
        raise TypeError(f"a {kind} cannot be dumped")
    return [kind, [[name, _dump(item, arrays)] for name, item in _attributes(value).items()]]


def _attributes(value: Any) -> dict[str, Any]:
    """Return what an accumulator consists of, all of it on the host."""
    if isinstance(value, Moments):
        value._bring_to_host()
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: item for name, item in vars(value).items() if name != _DERIVED}


def _load(content: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if content is None or isinstance(content, bool | int | float | str):
        return content
    kind, items = content
    if kind == "array":
        return arrays[items]
    if kind == "dict":
        return {_load(key, arrays): _load(item, arrays) for key, item in items}
    if kind in ("list", "tuple", "objects"):
        loaded = [_load(item, arrays) for item in items]
        if kind == "objects":
            return _objects(loaded)
        return tuple(loaded) if kind == "tuple" else loaded
    if kind not in _CLASSES:
        raise ValueError(f"{kind!r} is nothing that is dumped")
    made: Any = object.__new__(_CLASSES[kind])
    if kind == "Moments":
        made._cache = {}
    for name, item in items:
        setattr(made, name, _load(item, arrays))
    return made
