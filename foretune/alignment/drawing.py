"""A picture of an aligned utterance: waveform, words, letters, and how sure the aligner is of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foretune.tasks.errors import InputError
from foretune.tasks.utterance import SAMPLE_RATE, Utterance

from .aligned import Aligned, AlignedSpan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_OF_SECOND = 3.0  # inches
_NARROWEST, _WIDEST = 8.0, 40.0  # inches
_WORST = -6.0  # log-probability of the palest colour


def draw(utterance: Utterance, aligned: Aligned, folder: Path, *, suffix: str = ".png") -> Path:
    """Draw an aligned utterance into a file that is named for it.

    Above the waveform with the words in it, in the middle the letters, below the confidence of each
    letter over its span (natural log-probability a frame, 0 is certain).

    Args:
        utterance: its waveform is drawn.
        aligned: its spans.
        folder: that gets the file; made where it is not there.
        suffix: `.png` or `.svg`.

    Returns:
        The file.

    Raises:
        InputError: matplotlib is not installed, or the folder cannot be made.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise InputError("pictures need matplotlib: python -m pip install 'foretune[draw]'") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--draw {folder}: {error.strerror}; name a folder that can be made") from None
    waveform = utterance.waveform()
    seconds = len(waveform) / SAMPLE_RATE
    width = float(np.clip(_WIDTH_OF_SECOND * seconds, _NARROWEST, _WIDEST))
    figure = Figure(figsize=(width, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 1.4])
    above.plot(np.arange(len(waveform)) / SAMPLE_RATE, waveform, color="0.35", linewidth=0.4)
    _name_spans(above, aligned.words, 1.02)
    above.set_ylabel("waveform")
    above.set_title(f"{aligned.id}: confidence {aligned.confidence:.2f}", loc="left", pad=22, fontsize=10)
    _name_spans(middle, aligned.tokens, 0.45)
    middle.set_yticks([])
    middle.set_ylabel("letters")
    for span in aligned.tokens:
        if not np.isnan(span.confidence):
            below.plot([span.start, span.end], [span.confidence] * 2, color="C0", linewidth=2.5)
    below.set_ylim(_WORST, 0.2)
    below.set_ylabel("log-prob.")
    below.set_xlabel("seconds")
    below.set_xlim(0, seconds)
    path = folder / (re.sub(r"[^\w.-]+", "_", aligned.id) + suffix)
    figure.savefig(path, dpi=110)
    return path


def _name_spans(axes: Axes, spans: tuple[AlignedSpan, ...], height: float) -> None:
    """Shade spans, the paler the less sure, and write their labels at a height (0 to 1) of the axes."""
    text: dict[str, Any] = {"ha": "center", "va": "bottom" if height > 1 else "center", "fontsize": 9}
    for index, span in enumerate(spans):
        sure = 1.0 if np.isnan(span.confidence) else float(np.clip(1 - span.confidence / _WORST, 0.1, 1))
        axes.axvspan(span.start, span.end, color=f"C{index % 2}", alpha=0.45 * sure, linewidth=0)
        axes.axvline(span.start, color="0.6", linewidth=0.5)
        axes.text(
            (span.start + span.end) / 2, height, span.label, transform=axes.get_xaxis_transform(), **text
        )
