"""From spans in seconds to labels of frames, on any encoder's own grid.

A frame gets the label of the span in which its centre lies. Where it lies in none, silence or CTC's
blank, the policy says what happens:

- `drop`: the frame is no sample.
- `own-class`: its label is `SILENCE`.
- `nearest`: it gets the label of the span that is nearest in time, the earlier of two.

Frames within a star are dropped always: nobody knows what was said there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span

from .normalise import STAR

Silence = Literal["drop", "own-class", "nearest"]
SILENCE = "<silence>"
"""Label of frames outside of every span, under the policy `own-class`."""


def check_silence(policy: str) -> Silence:
    """Return a policy, having checked that there is one of this name.

    Raises:
        InputError: there is none.
    """
    if policy not in get_args(Silence):
        raise InputError(f"--silence {policy}: give {', '.join(get_args(Silence))}")
    return cast(Silence, policy)


def frame_labels(
    spans: Sequence[Span], centres: NDArray[np.float64], silence: Silence = "drop"
) -> list[str | None]:
    """Return the label of each frame, None for those that are no samples.

    Args:
        spans: in order of time, not overlapping, half-open.
        centres: of the frames, in seconds, shape (frames,).
        silence: what happens to frames outside of every span.
    """
    if not spans:
        return [SILENCE if silence == "own-class" else None] * len(centres)
    starts = np.array([span.start for span in spans])
    ends = np.array([span.end for span in spans])
    before = np.searchsorted(starts, centres, side="right") - 1
    owner = np.maximum(before, 0)
    inside = (before >= 0) & (centres < ends[owner])
    if silence == "nearest":
        after = np.minimum(before + 1, len(spans) - 1)
        nearer_after = (before < 0) | (starts[after] - centres < centres - ends[owner])
        owner = np.where(~inside & nearer_after & (after > before), after, owner)
        inside[:] = True
    outside = SILENCE if silence == "own-class" else None
    labels = [spans[index].label if within else outside for index, within in zip(owner, inside, strict=True)]
    return [None if label == STAR else label for label in labels]
