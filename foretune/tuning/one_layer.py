"""One layer of an encoder, run on what entered it: all below it is frozen, so that is computed once.

What enters a layer is seen by hooks while each utterance runs by itself: hidden states, and whatever
else the encoder hands to its layers (masks, positions). Nothing goes by a model's name: how the layer's
output becomes the candidate's hidden states (turned, normed) is found by trying, and where the layer by
itself does not give what the whole encoder gives, the whole encoder runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from foretune.models.candidate import Candidate
from foretune.models.layer_states import LayersNotRunError, find_layers, first_tensor

from .cut import Tunable
from .frozen import pad
from .heads import Head

_TOLERANCE = 1e-4  # largest difference, relative to the largest hidden state, that counts as none
_TRIED = 8  # utterances by which the size of all is estimated

Turn = Callable[[Tensor], Tensor]
_TURNS: tuple[Turn, ...] = (
    lambda output: output,
    lambda output: output.transpose(0, 1),  # (frames, batch, dimension)
    lambda output: output[None],  # (frames, dimension)
)


@dataclass(frozen=True, slots=True)
class Call:
    """What a layer takes for one utterance.

    Attributes:
        leaves: its arguments, flattened; tensors are on the CPU.
        form: what they were flattened from: positional and named arguments.
        frames: valid frames of the utterance.
    """

    leaves: tuple[object, ...]
    form: TreeSpec
    frames: int

    def __len__(self) -> int:
        """Return the valid frames."""
        return self.frames

    def to(self, device: torch.device) -> Call:
        """Bring the tensors to a device."""
        if device.type == "cpu":
            return self
        moved = (leaf.to(device) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves)
        return Call(tuple(moved), self.form, self.frames)

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the layer's positional and named arguments."""
        args, kwargs = tree_unflatten(list(self.leaves), self.form)
        return args, kwargs


@dataclass(frozen=True, slots=True)
class SplitCalls:
    """What enters layers of a candidate, for the two parts of a task's data.

    Attributes:
        layers: which layers, 1..num_layers.
        train: for each training utterance the calls of `layers`.
        test: likewise for each test utterance.
    """

    layers: tuple[int, ...]
    train: list[tuple[Call, ...]]
    test: list[tuple[Call, ...]]

    @property
    def nbytes(self) -> int:
        """Return the size in bytes; what calls share counts once."""
        return size(call for calls in (*self.train, *self.test) for call in calls)

    def of(self, layer: int) -> tuple[list[Call], list[Call]]:
        """Return one layer's calls for the two parts."""
        place = self.layers.index(layer)
        return [calls[place] for calls in self.train], [calls[place] for calls in self.test]


def size(calls: Iterable[Call]) -> int:
    """Return the bytes that calls hold; what they share counts once."""
    tensors = {id(leaf): leaf.nbytes for call in calls for leaf in call.leaves if isinstance(leaf, Tensor)}
    return sum(tensors.values())


def stack(candidate: Candidate, features: Tensor) -> list[nn.Module] | None:
    """Return a candidate's layers in their order; None where they are not one stack.

    Args:
        candidate: tried out on one utterance.
        features: the front end's output for it, (frames, channels).
    """
    known = getattr(candidate, "layers", None)
    if known is not None:
        return list(known)
    padded, lengths = pad([features], candidate.device)
    try:
        found = find_layers(lambda: candidate.forward_from_features(padded, lengths), candidate.module)
    except LayersNotRunError:
        return None
    return found if len(found) == candidate.num_layers else None


class Listener:
    """Runs utterances one by one, and keeps what enters the layers."""

    def __init__(self, candidate: Candidate, layers: Sequence[nn.Module]) -> None:
        """Take a candidate and its layers, from `stack`."""
        self.candidate = candidate
        self.layers = layers
        self._shared: dict[tuple[int, torch.Size, torch.dtype], Tensor] = {}

    @torch.no_grad()
    def calls(self, features: Tensor, wanted: Sequence[int]) -> tuple[Call, ...]:
        """Return what enters the wanted layers for one utterance.

        Args:
            features: the front end's output, (frames, channels).
            wanted: layers, 1..num_layers, in rising order.

        Raises:
            LayersNotRunError: a layer does not run once.
        """
        padded, lengths = pad([features], self.candidate.device)
        heard: list[Call] = []

        def enter(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            heard.append(self._call(args, kwargs, len(features)))

        chosen = [self.layers[layer - 1] for layer in wanted]
        hooks = [layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in chosen]
        with _removing(hooks):
            self.candidate.forward_from_features(padded, lengths, last_layer=max(wanted))
        if len(heard) != len(wanted):
            raise LayersNotRunError(f"{len(wanted)} layers ran {len(heard)} times")
        return tuple(heard)

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], frames: int) -> Call:
        leaves, form = tree_flatten((args, dict(kwargs)))
        hidden = first_tensor((args, kwargs))
        kept = (
            leaf
            if not isinstance(leaf, Tensor)
            else leaf.detach().cpu().clone()
            if leaf is hidden
            else self._share(place, leaf.detach().cpu())
            for place, leaf in enumerate(leaves)
        )
        return Call(tuple(kept), form, frames)

    def _share(self, place: int, tensor: Tensor) -> Tensor:
        """Keep one of equal masks and positions, which utterances of one length and all layers share."""
        key = (place, tensor.shape, tensor.dtype)
        known = self._shared.get(key)
        if known is None or not torch.equal(known, tensor):
            known = self._shared[key] = tensor.clone()
        return known


def listen(
    listener: Listener,
    layer: int,
    train: Sequence[Tensor],
    test: Sequence[Tensor],
    limit: int,
) -> SplitCalls | None:
    """Run all utterances, and keep what enters the layers: all of them, or the wanted one alone.

    Args:
        listener: of a candidate.
        layer: the wanted one, 1..num_layers.
        train: the front end's output for each training utterance, (frames, channels).
        test: likewise for each test utterance.
        limit: bytes to keep at most. What enters all layers costs one pass, and serves the runs that
            train the others; where that is too much, only the wanted layer's is kept.

    Returns:
        None where even that is too much.
    """
    everything = [*train, *test]
    tried = everything[:: max(1, len(everything) // _TRIED)]
    for wanted in (tuple(range(1, len(listener.layers) + 1)), (layer,)):
        expected = size(call for features in tried for call in listener.calls(features, wanted))
        if expected * len(everything) / len(tried) <= limit:
            return SplitCalls(
                wanted,
                [listener.calls(features, wanted) for features in train],
                [listener.calls(features, wanted) for features in test],
            )
    return None


class OneLayer(Tunable):
    """One layer under a head; its inputs are `Call`s."""

    def __init__(
        self, layer: nn.Module, turn: Turn, norm: nn.Module | None, head: Head, device: torch.device
    ) -> None:
        """Take the parts.

        Args:
            layer: called as it was when it was listened to.
            turn: brings its output to (batch, frames, dimension).
            norm: what the encoder applies to the last layer's output.
            head: gives logits.
            device: to compute on.
        """
        super().__init__()
        self.layer = layer
        self.turn = turn
        self.norm = norm
        self.head = head
        self.device = device

    def collate(self, inputs: Sequence[Call]) -> tuple[list[Call], Tensor]:
        """Bring calls to the device."""
        calls = [call.to(self.device) for call in inputs]
        return calls, torch.tensor([len(call) for call in calls], device=self.device)

    def hidden(self, inputs: Sequence[Call], lengths: Tensor) -> Tensor:
        """Run the layer on each utterance by itself, and pad what it gives."""
        rows = []
        with warnings.catch_warnings():
            # WavLM mixes a boolean and a float mask, which torch still takes
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask", UserWarning)
            for call in inputs:
                args, kwargs = call.arguments()
                states = self.turn(first_tensor(self.layer(*args, **kwargs)))[0, : len(call)]
                rows.append(states if self.norm is None else self.norm(states))
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)


@torch.no_grad()
def one_layer(
    candidate: Candidate,
    layer: int,
    module: nn.Module,
    examples: Sequence[tuple[Call, Tensor]],
    head: Head,
) -> OneLayer | None:
    """Find out how a layer by itself gives the candidate's hidden states; None where it does not.

    Args:
        candidate: the encoder.
        layer: which layer, 1..num_layers.
        module: the layer.
        examples: two utterances of different length: what enters the layer, and the front end's output.
        head: gives logits from the layer's hidden states.
    """
    features = [each for _, each in examples]
    wanted = candidate.forward_from_features(*pad(features, candidate.device), last_layer=layer).layers[-1]
    longest = max(features, key=len)
    for norm in (None, *_norms(candidate, layer, module, longest)):
        for turn in _TURNS:
            model = OneLayer(module, turn, norm, head, candidate.device)
            try:
                # twice, since a layer could change what it is given
                agree = [
                    _agree(model.hidden(*model.collate([call for call, _ in examples])), wanted, features)
                    for _ in range(2)
                ]
            except (RuntimeError, ValueError, TypeError, IndexError):  # shapes that do not fit
                continue
            if all(agree):
                return model
    return None


def _agree(states: Tensor, wanted: Tensor, features: Sequence[Tensor]) -> bool:
    """Whether two batches of hidden states are the same in all valid frames."""
    if states.ndim != wanted.ndim or states.shape[2] != wanted.shape[2]:
        return False
    for one, other, frames in zip(states, wanted, map(len, features), strict=True):
        if len(one) < frames or len(other) < frames:
            return False
        difference = (one[:frames] - other[:frames]).abs().max()
        if not difference <= _TOLERANCE * other[:frames].abs().max():
            return False
    return True


def _norms(candidate: Candidate, layer: int, module: nn.Module, features: Tensor) -> list[nn.Module]:
    """Return the modules beyond the layer that take its output, when the encoder is cut after it."""
    inside = {id(part) for part in module.modules()}
    given: list[Tensor] = []
    found: list[nn.Module] = []

    def leave(_: nn.Module, __: object, output: object) -> None:
        given[:] = [first_tensor(output)]

    def take(part: nn.Module, args: tuple[Any, ...], __: object) -> None:
        tensors = [each for each in args[:1] if isinstance(each, Tensor)]
        if given and tensors and tensors[0].data_ptr() == given[0].data_ptr():
            found.append(part)

    others = [part for part in candidate.module.modules() if id(part) not in inside]
    hooks = [part.register_forward_hook(take) for part in others if not list(part.children())]
    hooks.append(module.register_forward_hook(leave))
    with _removing(hooks):
        candidate.forward_from_features(*pad([features], candidate.device), last_layer=layer)
    return [part for part in dict.fromkeys(found) if list(part.parameters(recurse=False))]


@contextmanager
def _removing(hooks: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
