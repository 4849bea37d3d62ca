"""Any torch module that makes frames of speech through a stack of layers, as a candidate.

Its hidden states are seen by hooks (`layer_states`); its grid (`grid_probe`), whether padding changes
its features, and the norm that follows its layers are found by trying. Nothing goes by its name.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from foretune.tasks.errors import InputError

from .candidate import Candidate, Card, HiddenStates
from .frame_grid import WAVEFORM_RATE, FrameGrid
from .grid_probe import InputFrames, count_grid, see, with_field
from .layer_states import LayersNotRunError, find_norm, parameters_by_stage, states_of_layers
from .waveforms import Waveforms, pad_waveforms, resample
from .weights import weights_hash

Inputs = Callable[[Waveforms], Mapping[str, Tensor]]
"""From waveforms at the module's own rate to its keyword arguments, padded to (batch, …)."""

PADDING_TOLERANCE = 1e-4  # largest relative change by padding that counts as none
_COUNT_DIGITS = 1 << 12  # a count of samples is packed as two numbers below this, exact in half precision too


class PaddedWaveforms:
    """The plainest inputs: waveforms padded with zeros to (batch, samples), under one name."""

    speech_axis = 1

    def __init__(self, argument: str) -> None:
        """Take the name of the module's argument."""
        self.speech = argument

    def __call__(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Return the padded waveforms."""
        return {self.speech: torch.from_numpy(pad_waveforms(waveforms))}

    def frames(self, sample_rate: int) -> InputFrames:
        """Return that each sample is an input frame."""
        del sample_rate
        return InputFrames()


class ModuleCandidate(Candidate):
    """A torch module whose layers are a candidate's layers.

    What fine-tuning freezes is, unless `front_end` says otherwise, all that runs before the first
    layer. The features between the two halves of a forward pass are then the waveform itself, cut
    into as many pieces as there are frames: no clean split is asked of the module.

    >>> import numpy as np, torch
    >>> from foretune.models import ModuleCandidate
    >>> class Encoder(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.convolution = torch.nn.Conv1d(1, 8, 400, 320)
    ...         self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(3))
    ...     def forward(self, waveforms):
    ...         hidden = self.convolution(waveforms[:, None]).transpose(1, 2)
    ...         for layer in self.layers:
    ...             hidden = torch.relu(layer(hidden))
    ...         return hidden
    >>> candidate = ModuleCandidate("mine", Encoder(), layers="layers")
    >>> candidate.grid.stride, candidate.grid.receptive_field, candidate.num_layers
    (320, 400, 3)
    >>> states = candidate.forward(candidate.batch([np.zeros(16_000, np.float32)]))
    >>> [tuple(layer.shape) for layer in states.layers]
    [(1, 49, 8), (1, 49, 8), (1, 49, 8), (1, 49, 8)]

    `foretune.rank(task, data, [candidate])` takes it as it takes a name.
    """

    module: Any

    def __init__(
        self,
        name: str,
        module: nn.Module,
        *,
        layers: str | Sequence[nn.Module],
        inputs: Inputs | None = None,
        grid: FrameGrid | None = None,
        sample_rate: int = WAVEFORM_RATE,
        frames: Callable[[Tensor], Tensor] | None = None,
        front_end: str | nn.Module | None = None,
        norm: str | nn.Module | None = None,
        longest: int | None = None,
        card: Card | None = None,
        code: str = "",
        copies: bool = False,
    ) -> None:
        """Wrap a module, and find out by trying what is not given.

        Args:
            name: what the candidate is called.
            module: run as `module(**inputs)`; only up to its last layer.
            layers: in the order in which they run once each; or the dotted name of a list of them. What
                a layer takes and gives are hidden states: what is added to them has to be added inside.
            inputs: makes the module's arguments of waveforms at `sample_rate`; by default they are
                padded with zeros to (batch, samples), and are the only argument.
            grid: where the frames lie; found by trying unless `inputs` are your own.
            sample_rate: in Hz, of the waveforms that `inputs` takes; they are resampled from 16 kHz.
            frames: brings what enters or leaves a layer to (batch, frames, dimension); needed where
                it is neither that nor (frames, batch, dimension).
            front_end: what fine-tuning freezes, or its dotted name; by default all before the layers.
            norm: applied to the last state, as the module does; found by trying.
            longest: samples, at 16 kHz, that a waveform may have.
            card: what is known about it.
            code: whatever else makes its features, for the revision.
            copies: as of `Candidate`; not known of any module, which may keep things in places of its own.

        Raises:
            InputError: the module does not run its layers, or its frames lie on no grid.
        """
        self.name = name
        self.module = module.eval()
        self.card = card or Card(family=type(module).__name__)
        self.layers: list[Any] = list(self._part(layers)) if isinstance(layers, str) else list(layers)
        if not self.layers:
            raise InputError(f"model {name}: it has no layers; name the list of them")
        self.num_layers = len(self.layers)
        self.native_rate = sample_rate
        self.longest = longest
        self.copies = copies
        self._own_inputs = inputs
        self._inputs: Any = inputs or PaddedWaveforms(_first_argument(module))
        self._frames = frames
        self._front_end = self._part(front_end) if isinstance(front_end, str) else front_end
        self._norm = self._part(norm) if isinstance(norm, str) else norm
        self._pads = self._together = self._time_first = self._packed = False
        try:
            with torch.inference_mode(False), torch.no_grad():
                self._try_out(grid)
        except LayersNotRunError as error:
            raise InputError(f"model {name}: {error}; name the layers that it runs") from None
        self.revision = weights_hash(module, f"{code} {sample_rate} {self.grid}")

    def batch(self, waveforms: Waveforms) -> dict[str, Tensor]:
        """Resample and pad waveforms.

        Returns:
            `waveforms` (batch, samples) at the module's own rate; `samples` and `lengths`, the valid
            samples and frames of each, (batch,), int64.
        """
        self.check_waveforms(waveforms)
        native = [resample(waveform, self.native_rate) for waveform in waveforms]
        lengths = [self.grid.frames(len(waveform)) for waveform in waveforms]
        return {
            "waveforms": torch.from_numpy(pad_waveforms(native)).to(self.device),
            "samples": torch.tensor([len(waveform) for waveform in native], device=self.device),
            "lengths": torch.tensor(lengths, device=self.device),
        }

    def forward(self, batch: dict[str, Tensor], *, last_layer: int | None = None) -> HiddenStates:
        """Run the module on a batch, up to `last_layer`; gradients reach all of it."""
        rows = [row[:count] for row, count in zip(batch["waveforms"], batch["samples"].tolist(), strict=True)]
        return self._encode(rows, batch["lengths"], self.check_layer(last_layer), freeze=False)

    def front_end_features(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Cut each waveform into as many pieces as it has frames.

        Returns:
            Features (batch, frames, 2 + samples of the longest piece there may be), the first two of
            which hold the number of samples; and lengths.
        """
        lengths = batch["lengths"]
        grid = self.grid
        longest_piece = grid.stride + max(grid.first_frame_needs, 0) + 1
        width = 1 + math.ceil(longest_piece * self.native_rate / grid.sample_rate)
        features = batch["waveforms"].new_zeros(len(lengths), int(lengths.max()), 2 + width)
        for row, waveform, count, frames in zip(
            features, batch["waveforms"], batch["samples"].tolist(), lengths.tolist(), strict=True
        ):
            piece = math.ceil(count / frames)
            padded = nn.functional.pad(waveform[:count], (0, frames * piece - count))
            row[:frames, 0], row[:frames, 1] = divmod(count, _COUNT_DIGITS)
            row[:frames, 2 : 2 + piece] = padded.reshape(frames, piece)
        return features, lengths

    def forward_from_features(
        self, features: Tensor, lengths: Tensor, *, last_layer: int | None = None
    ) -> HiddenStates:
        """Put the waveforms together again and run the module; no gradient reaches the front end."""
        rows = []
        for row, frames in zip(features, lengths.tolist(), strict=True):
            count = int(row[0, 0]) * _COUNT_DIGITS + int(row[0, 1])
            piece = math.ceil(count / frames)
            rows.append(row[:frames, 2 : 2 + piece].reshape(-1)[:count])
        return self._encode(rows, lengths, self.check_layer(last_layer), freeze=True)

    def front_end(self) -> nn.Module | None:
        """Return what fine-tuning freezes; None where that has no weights."""
        if self._front_end is not None:
            return self._front_end
        weights = self._stages[0]
        return nn.ParameterList(weights) if weights else None

    def parameters(self, layer: int) -> int:
        """Count what a pass up to `layer` uses, and the norm that follows it."""
        stop = self.check_layer(layer)
        norm = [] if self._norm is None else list(self._norm.parameters())
        used = [weight for stage in self._stages[: stop + 1] for weight in stage]
        return sum(weight.numel() for weight in {id(weight): weight for weight in [*used, *norm]}.values())

    def _encode(self, rows: Sequence[Tensor], lengths: Tensor, stop: int, *, freeze: bool) -> HiddenStates:
        """Run the module on waveforms, in groups that may share a batch."""
        layers: list[Tensor] = []
        longest = int(lengths.max())
        for group in self._groups([len(row) for row in rows]):
            parts = self._states([rows[index] for index in group], stop, freeze=freeze)
            least = int(lengths[group].max())
            if parts[0].shape[1] < least:
                raise InputError(f"{self.name}: {parts[0].shape[1]} frames where its grid says {least}")
            parts = [_resize(part, longest) for part in parts]
            if len(group) == len(rows):
                layers = parts
                break
            if not layers:
                layers = [part.new_zeros(len(rows), *part.shape[1:]) for part in parts]
            where = torch.tensor(group, device=lengths.device)
            layers = [layer.index_copy(0, where, part) for layer, part in zip(layers, parts, strict=True)]
        return HiddenStates(layers, lengths)

    def _groups(self, samples: Sequence[int]) -> list[list[int]]:
        """Return which waveforms may share a batch: all, those of one length, or none."""
        if self._pads:
            return [list(range(len(samples)))]
        if not self._together:
            return [[index] for index in range(len(samples))]
        groups: dict[int, list[int]] = {}
        for index, count in enumerate(samples):
            groups.setdefault(count, []).append(index)
        return list(groups.values())

    def _states(self, rows: Sequence[Tensor], stop: int, *, freeze: bool = False) -> list[Tensor]:
        """Return states 0..stop, (batch, frames, dimension) each, of waveforms that share a batch."""
        arguments = self._arguments([row.detach().float().cpu().numpy() for row in rows])
        states = states_of_layers(
            lambda: self.module(**arguments), self.layers, stop, freeze=freeze, front_end=self._front_end
        )
        states = [self._batch_first(state) for state in states]
        if self._norm is not None and self._fits(states[-1]):
            states[-1] = self._norm(states[-1])
        return states

    def _fits(self, state: Tensor) -> bool:
        """Return whether the final norm is of a state's dimension; where layers differ, the last is."""
        weights = [] if self._norm is None else list(self._norm.parameters())
        return all(weight.numel() == state.shape[2] for weight in weights)

    def _arguments(self, waveforms: Waveforms) -> dict[str, Any]:
        made = self._inputs(waveforms)
        return {
            key: given.to(self.device) if isinstance(given, Tensor) else given for key, given in made.items()
        }

    def _batch_first(self, state: Tensor) -> Tensor:
        if self._frames is not None:
            return self._frames(state)
        if self._packed:
            return state[None]
        return state.transpose(0, 1) if self._time_first else state

    def _part(self, path: str) -> Any:
        """Return the part of the module under a dotted name."""
        try:
            return functools.reduce(getattr, path.split("."), self.module)
        except AttributeError:
            raise InputError(f"model {self.name}: the module has no part {path}; check the name") from None

    @functools.cached_property
    def _stages(self) -> list[list[nn.Parameter]]:
        """The weights that a pass uses, by the layer up to which they are first used."""
        arguments = self._arguments([self._noise(self._trial_samples(0.5))])
        return parameters_by_stage(lambda: self.module(**arguments), self.layers)

    # --- trying out

    def _try_out(self, grid: FrameGrid | None) -> None:
        """Find the layout of hidden states, the grid, the norm, and whether padding changes anything."""
        waveform = self._noise(min(self.native_rate, self.longest_native))
        arguments = self._arguments([waveform, waveform])
        if self._frames is None:
            raw = states_of_layers(lambda: self.module(**arguments), self.layers, 0)[0]
            self._packed = raw.ndim == 2
            self._time_first = raw.ndim == 3 and raw.shape[0] != 2 and raw.shape[1] == 2
            if not self._packed and (raw.ndim != 3 or 2 not in raw.shape[:2]):
                raise InputError(f"model {self.name}: its layers take {tuple(raw.shape)}; give `frames`")
        self.grid = grid or self._find_grid()
        if self._norm is None:
            self._norm = find_norm(lambda: self.module(**arguments), self.module, self.layers[-1])
        short, long = (self._noise(self._trial_samples(seconds)) for seconds in (0.613, 0.987))
        alone = self._states([torch.from_numpy(short)], self.num_layers)
        self.dimensions = tuple(state.shape[2] for state in alone)
        if not self._packed:
            loud = np.ascontiguousarray(10 * short[::-1])
            self._together = self._unchanged_by(loud, short, alone)
            self._pads = self._together and self._unchanged_by(long, short, alone)

    def _unchanged_by(
        self, other: NDArray[np.float32], waveform: NDArray[np.float32], alone: Sequence[Tensor]
    ) -> bool:
        """Return whether another waveform in its batch leaves a waveform's states as they are alone."""
        both = self._states([torch.from_numpy(waveform), torch.from_numpy(other)], self.num_layers)
        frames = min(self.grid.frames(len(waveform) * WAVEFORM_RATE // self.native_rate), alone[0].shape[1])
        return all(
            bool((one[0, :frames] - many[0, :frames]).abs().max() <= PADDING_TOLERANCE * one.abs().max())
            for one, many in zip(alone, both, strict=True)
        )

    @property
    def longest_native(self) -> int:
        """Return the most samples at the module's own rate, or more than anything tried."""
        return 1 << 40 if self.longest is None else self.longest * self.native_rate // WAVEFORM_RATE

    def _find_grid(self) -> FrameGrid:
        if self._own_inputs is not None and not hasattr(self._own_inputs, "speech"):
            raise InputError(f"model {self.name}: its inputs are your own; give the grid of its frames")

        def frames(samples: int) -> int:
            try:
                return self._first_state(self._arguments([self._noise(samples)])).shape[1]
            except (RuntimeError, ValueError, IndexError):  # too short for a window or a kernel
                return 0

        try:
            counted = count_grid(
                frames, self.native_rate, None if self.longest is None else self.longest_native
            )
            key, axis = self._inputs.speech, self._inputs.speech_axis
            samples = counted.first_frame_needs + max(40 * counted.stride, self.native_rate)
            arguments = self._arguments([self._noise(min(samples, self.longest_native))])
            seen = see(self._first_state, arguments, key, axis, self.module)
            input_frames = self._inputs.frames(self.native_rate)
            return with_field(counted, seen, input_frames, arguments[key].shape[axis])
        except InputError as error:
            raise InputError(f"model {self.name}: {error}") from None

    def _first_state(self, arguments: Mapping[str, Tensor]) -> Tensor:
        return self._batch_first(states_of_layers(lambda: self.module(**arguments), self.layers, 0)[0])

    def _trial_samples(self, seconds: float) -> int:
        """Return samples for about so many seconds, more where frames are long."""
        least = 5 * self.grid.stride * self.native_rate // self.grid.sample_rate
        return min(int(max(seconds * self.native_rate, seconds * least)), self.longest_native)

    def _noise(self, samples: int) -> NDArray[np.float32]:
        return (0.1 * np.random.default_rng(samples).standard_normal(samples)).astype(np.float32)


def _first_argument(module: nn.Module) -> str:
    """Return the name of a module's first argument."""
    import inspect

    names = list(inspect.signature(module.forward).parameters)
    return names[0] if names else "input"


def _resize(states: Tensor, frames: int) -> Tensor:
    """Cut or pad (batch, frames, dimension) to so many frames."""
    return nn.functional.pad(states[:, :frames], (0, 0, 0, max(0, frames - states.shape[1])))
