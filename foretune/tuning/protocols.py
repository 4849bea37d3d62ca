"""What each protocol trains, and on what inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from foretune.models.candidate import Candidate
from foretune.models.layer_states import LayersNotRunError
from foretune.records.tuning import Protocol
from foretune.tasks.task import Kind
from foretune.tasks.utterance import TaskData

from .cut import CutEncoder, FrozenStates, Tunable, own_parameters, reached
from .frozen import FrozenFeatures, SplitFeatures
from .heads import Head
from .one_layer import Listener, SplitCalls, listen, one_layer, stack
from .probe import PROJECTION, Probe, states_of_all_layers
from .stages import infer


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model and its inputs.

    Attributes:
        model: to train.
        train: its input for each training utterance.
        test: likewise for each test utterance.
        encoder: what trains beside the head.
        at_once: whether all of it trains in one stage.
    """

    model: Tunable
    train: Sequence[Any]
    test: Sequence[Any]
    encoder: list[nn.Parameter]
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class SplitHidden:
    """The hidden states of one layer for the two parts of a task's data, each (frames, dimension)."""

    train: list[Tensor]
    test: list[Tensor]

    @property
    def nbytes(self) -> int:
        """Return the size in bytes."""
        return sum(states.nbytes for states in (*self.train, *self.test))


@dataclass(frozen=True, slots=True)
class Preparation:
    """Makes what a protocol trains.

    - `layer`, and `full` at the top: the encoder cut after the layer.
    - `single-layer`: one layer, on what enters it; at layer 0 the head alone.
    - `probe`: a weighted sum of the frozen layers.

    Attributes:
        candidate: what requires gradients in its module is set by preparing.
        data: of the task.
        kind: of the task.
        layer: 0..num_layers.
        head: on the candidate's device, of the dimension that `head_dimension` says.
        seed: of weights beside the head's.
        frozen: keeps what runs share.
    """

    candidate: Candidate
    data: TaskData
    kind: Kind
    layer: int
    head: Head
    seed: int
    frozen: FrozenFeatures

    def by(self, protocol: Protocol) -> Prepared:
        """Prepare for a protocol.

        Raises:
            InputError: an utterance cannot be used, or layers cannot be summed.
        """
        if protocol == "probe":
            return self._probe()
        if protocol == "single-layer":
            return self._single_layer()
        features = self.features
        model = CutEncoder(self.candidate, self.layer, self.head).eval()
        encoder = reached(self.candidate, self.layer, features.train[0])
        return Prepared(model, features.train, features.test, encoder)

    @property
    def features(self) -> SplitFeatures:
        """The front end's output."""
        return self.frozen.of(self.candidate, self.data)

    def _probe(self) -> Prepared:
        features = self.features
        states = self.frozen.keep(
            ("all layers", self.kind),
            self.candidate,
            self.data,
            lambda: states_of_all_layers(self.candidate, self.kind, features.train, features.test),
        )
        model = Probe(self.candidate, self.kind, self.head, self.seed).to(self.candidate.device)
        return Prepared(model, states.train, states.test, [], at_once=True)

    def _single_layer(self) -> Prepared:
        features = self.features
        cut = CutEncoder(self.candidate, self.layer, self.head).eval()
        encoder = own_parameters(self.candidate, self.layer, features.train[0])
        if not encoder:  # layer 0, or a layer without weights
            states = self.frozen.keep(
                ("layer", self.layer),
                self.candidate,
                self.data,
                lambda: SplitHidden(infer(cut, features.train), infer(cut, features.test)),
            )
            return Prepared(FrozenStates(self.head, self.candidate.device), states.train, states.test, [])
        by_itself = self._by_itself(encoder)
        return by_itself or Prepared(cut, features.train, features.test, encoder)

    def _by_itself(self, encoder: list[nn.Parameter]) -> Prepared | None:
        """Prepare the layer to run by itself, on what enters it; None where it cannot run so."""
        train = self.features.train
        by_length = sorted(range(len(train)), key=lambda index: len(train[index]))
        layers = stack(self.candidate, train[by_length[-1]])
        if layers is None:
            return None
        module = layers[self.layer - 1]
        inside = {id(parameter) for parameter in module.parameters()}
        if not all(id(parameter) in inside for parameter in encoder):
            return None
        calls = self._calls(layers)
        if calls is None:
            return None
        into_train, into_test = calls.of(self.layer)
        examples = [(into_train[index], train[index]) for index in (by_length[0], by_length[-1])]
        model = one_layer(self.candidate, self.layer, module, examples, self.head)
        return None if model is None else Prepared(model.eval(), into_train, into_test, encoder)

    def _calls(self, layers: Sequence[nn.Module]) -> SplitCalls | None:
        """Return what enters the layer, and maybe others, in all utterances; None where it is too much."""
        features = self.features

        def compute() -> SplitCalls:
            heard = listen(
                Listener(self.candidate, layers),
                self.layer,
                features.train,
                features.test,
                self.frozen.limit // 2,
            )
            return heard or SplitCalls((), [], [])

        try:
            calls = self.frozen.keep(("calls",), self.candidate, self.data, compute)
            if self.layer not in calls.layers:
                calls = self.frozen.keep(("calls", self.layer), self.candidate, self.data, compute)
        except LayersNotRunError:
            return None
        return calls if self.layer in calls.layers else None


def head_dimension(protocol: Protocol, candidate: Candidate, kind: Kind, layer: int) -> int:
    """Return how many features a frame the head of a protocol takes."""
    return PROJECTION if protocol == "probe" and kind == "utterance" else candidate.dimensions[layer]
