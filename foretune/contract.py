"""What every candidate promises, tried on noise: `foretune check`.

Rankings of layers mean nothing where padding leaks into features, frames lie elsewhere than the grid
says, or layers are counted wrong. Each promise is a function that raises where it is broken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foretune.models.candidate import Candidate, HiddenStates
from foretune.models.frame_grid import WAVEFORM_RATE

TOLERANCE = 1e-4
"""Largest difference, relative to a layer's largest value, that single precision explains."""

_SECONDS = (1.37, 0.61, 2.05)  # of the utterances that share a batch
_CUT_TOLERANCE = 1e-3  # of the fit of a norm, solved in single precision

_EPSILONS = (1e-12, 1e-8, 1e-6, 1e-5)  # that norms add to the variance

Waveform = NDArray[np.float32]


class BrokenPromiseError(Exception):
    """A candidate does not do what its interface says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one promise stands.

    Attributes:
        promise: what is promised, in a few words.
        holds: whether it is kept.
        measured: the figure, or what was wrong.
    """

    promise: str
    holds: bool
    measured: str


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything found about a candidate.

    Attributes:
        facts: what it says of itself, name to value.
        findings: one for each promise.
        frames_per_second: of speech encoded, all layers, in a batch of two utterances of 5 s.
    """

    facts: dict[str, object]
    findings: list[Finding]
    frames_per_second: float

    @property
    def holds(self) -> bool:
        """Return whether every promise is kept."""
        return all(finding.holds for finding in self.findings)


def check(candidate: Candidate) -> Contract:
    """Try every promise on a candidate; its weights are left as they are.

    Args:
        candidate: on any device.
    """
    candidate.module.eval()
    trial = _Trial(candidate)
    findings = []
    for promise, try_it in PROMISES.items():
        try:
            findings.append(Finding(promise, True, try_it(trial)))
        except BrokenPromiseError as broken:
            findings.append(Finding(promise, False, str(broken)))
        except Exception as error:  # a family that nobody has tried may fail in any way
            reason = " ".join(str(error).split())[:200]
            findings.append(Finding(promise, False, f"{type(error).__name__}: {reason}"))
    return Contract(facts(candidate), findings, _speed(trial) if findings[0].holds else 0.0)


def facts(candidate: Candidate) -> dict[str, object]:
    """Return what a candidate says of itself, by name."""
    grid, card = candidate.grid, candidate.card
    return {
        "model": candidate.name,
        "revision": candidate.revision,
        "family": card.family,
        "sample rate (Hz)": grid.sample_rate,
        "layers": candidate.num_layers,
        "dimensions": list(candidate.dimensions),
        "frame stride (ms)": round(1000 * grid.stride / grid.sample_rate, 3),
        "receptive field (ms)": round(1000 * grid.receptive_field / grid.sample_rate, 3),
        "longest (s)": candidate.longest and candidate.longest / WAVEFORM_RATE,
        "parameters": candidate.parameters(candidate.num_layers),
        "pre-training data": card.pretraining_data or None,
        "licence": card.licence or None,
    }


def fact_rows(facts: dict[str, object]) -> list[list[str]]:
    """Return facts as rows of text: dimensions that are all alike once, what is unknown as a dash."""
    return [[name, _text(value)] for name, value in facts.items()]


def _text(value: object) -> str:
    if isinstance(value, list) and len(set(value)) == 1:
        return str(value[0])
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value is None else str(value)


class _Trial:
    """A candidate, utterances of noise for it, and what it makes of them."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        needs = candidate.grid.first_frame_needs + 4 * candidate.grid.stride
        least = max(needs * WAVEFORM_RATE // candidate.grid.sample_rate, WAVEFORM_RATE // 2)
        scale = max(1.0, least / (min(_SECONDS) * WAVEFORM_RATE))
        most = candidate.longest or 1 << 40
        sizes = [
            min(int(scale * seconds * WAVEFORM_RATE), most - 97 * place)
            for place, seconds in enumerate(_SECONDS)
        ]
        self.waveforms = [noise(samples) for samples in sizes]

    @torch.inference_mode()
    def states(self, waveforms: Sequence[Waveform], last_layer: int | None = None) -> HiddenStates:
        return self.candidate.forward(self.candidate.batch(waveforms), last_layer=last_layer)


def noise(samples: int) -> Waveform:
    """Return noise that swells and fades, the same on each call, shape (samples,)."""
    rng = np.random.default_rng(samples)
    level = 0.1 * (1.2 + np.sin(np.arange(samples) / 3_000))
    return np.asarray(level * rng.standard_normal(samples), dtype=np.float32)


def difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference relative to the largest value of the first."""
    return float((one - other).abs().max() / one.abs().max().clamp_min(1e-30))


# --- the promises


def _layers(trial: _Trial) -> str:
    candidate, states = trial.candidate, trial.states(trial.waveforms)
    _require(
        len(states.layers) == candidate.num_layers + 1 == len(candidate.dimensions),
        f"{len(states.layers)} hidden states, {candidate.num_layers} layers, "
        f"{len(candidate.dimensions)} dimensions",
    )
    for layer, dimension in zip(states.layers, candidate.dimensions, strict=True):
        expected = (len(trial.waveforms), int(states.lengths.max()), dimension)
        _require(tuple(layer.shape) == expected, f"shape {tuple(layer.shape)} where {expected} is due")
    return f"0 to {candidate.num_layers}"


def _numbers(trial: _Trial) -> str:
    candidate, states = trial.candidate, trial.states(trial.waveforms)
    for number, layer in enumerate(states.layers):
        _require(layer.dtype == torch.float32, f"layer {number} is {layer.dtype}")
        _require(layer.device.type == candidate.device.type, f"layer {number} is on {layer.device}")
        for row, frames in zip(layer, states.lengths.tolist(), strict=True):
            _require(
                bool(torch.isfinite(row[:frames]).all()), f"layer {number} has values that are not finite"
            )
            _require(bool(row[:frames].any()), f"layer {number} is zero throughout")
    return f"float32 on {candidate.device}"


def _repeats(trial: _Trial) -> str:
    first, again = trial.states(trial.waveforms), trial.states(trial.waveforms)
    same = all(torch.equal(one, other) for one, other in zip(first.layers, again.layers, strict=True))
    _require(same, "two runs differ")
    return "bit by bit"


def _padding(trial: _Trial) -> str:
    together = trial.states(trial.waveforms)
    worst = 0.0
    for row, waveform in enumerate(trial.waveforms):
        alone = trial.states([waveform])
        frames = int(alone.lengths[0])
        _require(frames == int(together.lengths[row]), "other numbers of frames alone than in a batch")
        for one, many in zip(alone.layers, together.layers, strict=True):
            worst = max(worst, difference(one[0, :frames], many[row, :frames]))
    return _within(worst, TOLERANCE)


def _order(trial: _Trial) -> str:
    order = [2, 0, 1]
    first, other = trial.states(trial.waveforms), trial.states([trial.waveforms[index] for index in order])
    worst = 0.0
    for place, row in enumerate(order):
        frames = int(first.lengths[row])
        for one, many in zip(first.layers, other.layers, strict=True):
            worst = max(worst, difference(one[row, :frames], many[place, :frames]))
    return _within(worst, TOLERANCE)


def _counts(trial: _Trial) -> str:
    """Frames come out as the grid counts them, at lengths on both sides of where it adds one."""
    candidate = trial.candidate
    stride = candidate.grid.stride * WAVEFORM_RATE / candidate.grid.sample_rate
    base = len(trial.waveforms[1])
    lengths = sorted({base + round(step * stride / 7) for step in range(0, 8, 2)} | {base - 1, base + 3_001})
    for samples in lengths:
        if candidate.refusal(samples) is not None:
            continue
        states = trial.states([noise(samples)])
        due, got = candidate.grid.frames(samples), states.layers[0].shape[1]
        _require(
            got == due == int(states.lengths[0]), f"{got} frames of {samples} samples where {due} are due"
        )
    return f"{len(lengths)} lengths, exactly"


def _places(trial: _Trial) -> str:
    """Clicks change layer 0 around the frames that see them, to within a frame.

    Where a click's change lies is the median of its energy over time, averaged over clicks. Convolutions
    that encode positions see further than the grid says, and may lean to one side by as much as they
    spread: by half of what holds the middle two thirds of the energy.
    """
    candidate, grid = trial.candidate, trial.candidate.grid
    quiet = 0.1 * noise(min(3 * WAVEFORM_RATE, candidate.longest or 1 << 40))
    before = trial.states([quiet], 0).layers[0][0]
    centres = grid.centres(len(before))
    offsets = []
    for part in np.linspace(0.3, 0.7, 5):
        place = int(part * len(quiet))
        loud = quiet.copy()
        loud[place : place + 32] += np.float32(0.8) * noise(32) / np.abs(noise(32)).max()
        energy = (trial.states([loud], 0).layers[0][0] - before).double().square().sum(1).cpu().numpy()
        shares = np.cumsum(energy) / energy.sum()
        offsets.append(centres[np.searchsorted(shares, (1 / 6, 1 / 2, 5 / 6))] - (place + 16) / WAVEFORM_RATE)
    low, middle, high = np.mean(offsets, axis=0)
    reach = max((high - low) / 2, grid.receptive_field / 2 / grid.sample_rate)
    frames = (abs(middle) - reach) / grid.seconds
    _require(frames <= 1.0, f"clicks show {frames:.1f} frames beside those that see them")
    return f"clicks show {1000 * middle:+.0f} ms off, from {1000 * low:+.0f} to {1000 * high:+.0f}"


def _cuts(trial: _Trial) -> str:
    candidate = trial.candidate
    full = trial.states(trial.waveforms)
    worst, normed = 0.0, 0
    for stop in range(candidate.num_layers + 1):
        cut = trial.states(trial.waveforms, stop)
        _require(len(cut.layers) == stop + 1, f"last_layer={stop} gives {len(cut.layers)} states")
        for one, other in zip(full.layers[:stop], cut.layers[:stop], strict=True):
            worst = max(worst, _valid_difference(one, other, full.lengths))
        last = _valid_difference(full.layers[stop], cut.layers[stop], full.lengths)
        if last > TOLERANCE and stop < candidate.num_layers:
            normed += 1
            fit = _norm_residual(
                _valid(full.layers[stop], full.lengths), _valid(cut.layers[stop], full.lengths)
            )
            _require(
                fit <= _CUT_TOLERANCE,
                f"last_layer={stop} is neither layer {stop} nor a norm of it ({fit:.1e})",
            )
        else:
            worst = max(worst, last)
    return _within(worst, TOLERANCE) + (", then the final norm" if normed else ", no final norm")


def _halves(trial: _Trial) -> str:
    """The two halves of a pass give what the whole gives, with other padding between them."""
    candidate = trial.candidate
    with torch.inference_mode():
        batch = candidate.batch(trial.waveforms)
        whole = candidate.forward(batch)
        features, lengths = candidate.front_end_features(batch)
        other = torch.full_like(torch.cat([features, features[:, :2]], dim=1), 9.0)
        for row, frames in enumerate(lengths.tolist()):
            other[row, :frames] = features[row, :frames]
        split = candidate.forward_from_features(other, lengths)
    pairs = zip(whole.layers, split.layers, strict=True)
    return _within(max(_valid_difference(one, two, lengths) for one, two in pairs), TOLERANCE)


def _gradients(trial: _Trial) -> str:
    candidate = trial.candidate
    if candidate.num_layers == 0:
        return "nothing to train"
    parameters = list(candidate.module.parameters())
    flags = [parameter.requires_grad for parameter in parameters]
    try:
        counts = [_reached(trial, stop, parameters) for stop in (1, candidate.num_layers)]
    finally:
        for parameter, flag in zip(parameters, flags, strict=True):
            parameter.requires_grad_(flag)
            parameter.grad = None
    limits = [candidate.parameters(stop) for stop in (1, candidate.num_layers)]
    for count, limit in zip(counts, limits, strict=True):
        _require(0 < count <= limit, f"{count:,} weights get a gradient, of {limit:,} below the cut")
    _require(candidate.num_layers == 1 or counts[0] < counts[1], "a cut trains as much as the whole")
    return f"reach {counts[1]:,} of {limits[1]:,} weights"


def _reached(trial: _Trial, stop: int, parameters: Sequence[torch.nn.Parameter]) -> int:
    candidate = trial.candidate
    for parameter in parameters:
        parameter.requires_grad_(True)
        parameter.grad = None
    with torch.no_grad():
        features, lengths = candidate.front_end_features(candidate.batch(trial.waveforms[1:2]))
    last = candidate.forward_from_features(features, lengths, last_layer=stop).layers[-1]
    last.square().sum().backward()  # type: ignore[no-untyped-call]
    front_end = candidate.front_end()
    if front_end is not None:
        _require(
            all(weight.grad is None for weight in front_end.parameters()), "a gradient reaches the front end"
        )
    return sum(parameter.numel() for parameter in parameters if parameter.grad is not None)


def _refusals(trial: _Trial) -> str:
    candidate = trial.candidate
    _require(candidate.refusal(0) is not None, "takes an empty waveform")
    if candidate.longest is not None:
        _require(
            candidate.refusal(candidate.longest + WAVEFORM_RATE) is not None, "takes more than its longest"
        )
    return "too short, too long" if candidate.longest is not None else "too short"


PROMISES: dict[str, Callable[[_Trial], str]] = {
    "layers are counted right": _layers,
    "finite, single precision, on its device": _numbers,
    "two runs agree": _repeats,
    "padding changes nothing": _padding,
    "order in the batch changes nothing": _order,
    "frames are counted as by the grid": _counts,
    "frames lie where the grid says": _places,
    "a cut gives the layer of the whole pass": _cuts,
    "two halves make the whole": _halves,
    "gradients stop where they should": _gradients,
    "what it cannot take is refused": _refusals,
}
"""What is promised, in the order in which it is tried."""


def _speed(trial: _Trial) -> float:
    most = trial.candidate.longest or 1 << 40
    waveforms = [noise(min(5 * WAVEFORM_RATE, most))] * 2
    start = time.perf_counter()
    states = trial.states(waveforms)
    if trial.candidate.device.type == "cuda":
        torch.cuda.synchronize(trial.candidate.device)
    return float(states.lengths.sum()) / (time.perf_counter() - start)


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise BrokenPromiseError(otherwise)


def _within(measured: float, tolerance: float) -> str:
    _require(
        measured <= tolerance, f"differs by {measured:.1e} of the largest value, more than {tolerance:.0e}"
    )
    return f"to {measured:.1e}"


def _valid(layer: Tensor, lengths: Tensor) -> Tensor:
    """Return the valid frames of a batch, (frames of all, dimension)."""
    return torch.cat([row[:frames] for row, frames in zip(layer, lengths.tolist(), strict=True)])


def _valid_difference(one: Tensor, other: Tensor, lengths: Tensor) -> float:
    return difference(_valid(one, lengths), _valid(other, lengths))


def _norm_residual(before: Tensor, after: Tensor) -> float:
    """Return how far from a norm of some states others are: the residual of the best weight and bias."""
    after = after.double()
    best = float("inf")
    y = after - after.mean(0)
    for centred in (before.double() - before.double().mean(1, keepdim=True), before.double()):
        for epsilon in _EPSILONS:
            standard = centred / (centred.square().mean(1, keepdim=True) + epsilon).sqrt()
            x = standard - standard.mean(0)
            weight = (x * y).sum(0) / x.square().sum(0).clamp_min(1e-12)
            best = min(best, difference(y, x * weight))
    return best
