"""Forced alignment: the likeliest CTC path of given tokens, in bounded memory.

CTC (Graves et al., 2006) lets a token last any number of frames, with blanks between tokens where it
likes, and one at least between equal ones. The states of its paths are blank, y₁, blank, y₂, … blank; from
frame to frame a path stays, goes on by one state, or by two where that skips a blank between different
tokens. Viterbi (1967) finds the likeliest path. `torchaudio.functional.forced_align` does the same without
star tokens, and keeps a step for each frame and state; here the steps of one block of frames are kept at a
time and made again from the block's beginning on the way back.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from foretune.tasks.errors import InputError

STAR_TOKEN = -1
"""Index, among the tokens, of the star, which any sound may be."""
STAR_PENALTY = float(np.log(2.0))
"""A star's log-probability lies below that of the frame's likeliest token by this, so that a frame which
a letter of the transcript explains goes to the letter; it is no better than others at silence."""
_SHORTEST_BLOCK = 256


class Path(NamedTuple):
    """The likeliest path.

    Attributes:
        tokens: position of the token that each frame belongs to, -1 for blank, shape (frames,).
        log_probs: of each frame on the path, natural logarithm, shape (frames,).
    """

    tokens: NDArray[np.int64]
    log_probs: NDArray[np.float64]


def fewest_frames(tokens: Sequence[int]) -> int:
    """Return how many frames tokens need: one each, and one between equal neighbours.

    >>> fewest_frames([8, 5, 12, 12, 15])
    6
    """
    equal = sum(one == other for one, other in itertools.pairwise(tokens))
    return len(tokens) + equal


def forced_align(log_probs: NDArray[np.floating], tokens: Sequence[int], *, blank: int = 0) -> Path:
    """Find the likeliest CTC path that writes the tokens.

    Time grows with frames times tokens, memory with tokens times the square root of frames.

    Args:
        log_probs: of each token of the vocabulary at each frame, shape (frames, vocabulary), finite
            or -inf.
        tokens: what was said, indices into the vocabulary or `STAR_TOKEN`; at least one, no blank.
        blank: index of the blank.

    Raises:
        InputError: there are no tokens, or more than the frames can hold.
        ValueError: a token is not in the vocabulary or is the blank, or a log-probability is NaN.
    """
    frames, vocabulary = log_probs.shape
    _check(tokens, frames, vocabulary, blank)
    if np.isnan(log_probs).any():
        raise ValueError("a log-probability is NaN; the aligner's weights may be damaged")
    trellis = _Trellis(log_probs, np.asarray(tokens, dtype=np.int64), blank)
    states = trellis.best_path()
    positions = np.where(states % 2 == 1, states // 2, -1)
    return Path(positions, trellis.along(states))


def _check(tokens: Sequence[int], frames: int, vocabulary: int, blank: int) -> None:
    if not tokens:
        raise InputError("the transcript has no letter; there is nothing to align")
    for token in tokens:
        if token == blank or not (token == STAR_TOKEN or 0 <= token < vocabulary):
            raise ValueError(f"token {token}: give indices of the vocabulary without the blank")
    needed = fewest_frames(tokens)
    if needed > frames:
        raise InputError(
            f"the transcript needs {needed} frames and the audio has {frames}; is it the right one?"
        )


class _Trellis:
    """States over frames; what a path may do from one frame to the next."""

    def __init__(self, log_probs: NDArray[np.floating], tokens: NDArray[np.int64], blank: int) -> None:
        self._log_probs = log_probs
        self._blank = blank
        self._star = tokens == STAR_TOKEN
        self._tokens = np.where(self._star, 0, tokens)
        self._others = np.arange(log_probs.shape[1]) != blank
        self._states = 2 * len(tokens) + 1
        # state 2k+1 may be entered from 2k-1 where the tokens differ
        self._skip_cost = np.full(self._states, -np.inf)
        self._skip_cost[3::2] = np.where(tokens[1:] != tokens[:-1], 0.0, -np.inf)

    def best_path(self) -> NDArray[np.int64]:
        """Return the state of each frame, shape (frames,)."""
        frames = len(self._log_probs)
        block = max(_SHORTEST_BLOCK, int(np.ceil(np.sqrt(frames))))
        starts = list(range(0, frames, block))
        before = [np.full(self._states, -np.inf)]  # the scores that each block begins from
        for start in starts[:-1]:
            scores, _ = self._run(before[-1], start, start + block, keep=False)
            before.append(scores)
        path = np.empty(frames, dtype=np.int64)
        state = -1
        for start, entering in zip(reversed(starts), reversed(before), strict=True):
            stop = min(start + block, frames)
            leaving, steps = self._run(entering, start, stop, keep=True)
            if state < 0:  # the last frame: the last token or the blank behind it
                state = self._states - 1 - int(leaving[-2] >= leaving[-1])
            for frame in range(stop - 1, start - 1, -1):
                path[frame] = state
                state -= int(steps[frame - start, state])
        return path

    def _run(
        self, scores: NDArray[np.float64], start: int, stop: int, *, keep: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Go through frames from the scores before them; return the scores after, and the steps taken."""
        steps = np.zeros((stop - start if keep else 0, self._states), dtype=np.int8)
        choices = np.full((3, self._states), -np.inf)
        for frame in range(start, stop):
            emitted = self._emissions(frame)
            if frame == 0:
                scores = np.full(self._states, -np.inf)
                scores[:2] = emitted[:2]
                continue
            choices[0] = scores
            choices[1, 1:] = scores[:-1]
            choices[2, 2:] = scores[:-2] + self._skip_cost[2:]
            if keep:
                steps[frame - start] = choices.argmax(axis=0)
            scores = choices.max(axis=0) + emitted
        return scores, steps

    def _emissions(self, frame: int) -> NDArray[np.float64]:
        """Return each state's log-probability at a frame."""
        row = self._log_probs[frame]
        emitted = np.full(self._states, float(row[self._blank]))
        emitted[1::2] = row[self._tokens]
        if self._star.any():
            emitted[1::2][self._star] = float(row[self._others].max()) - STAR_PENALTY
        return emitted

    def along(self, states: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the log-probability of each frame on a path, shape (frames,)."""
        rows = np.arange(len(states))
        positions = np.maximum(states - 1, 0) // 2
        columns = np.where(states % 2 == 1, self._tokens[positions], self._blank)
        along = self._log_probs[rows, columns].astype(np.float64)
        starred = (states % 2 == 1) & self._star[positions]
        along[starred] = self._log_probs[starred][:, self._others].max(axis=1) - STAR_PENALTY
        return along
