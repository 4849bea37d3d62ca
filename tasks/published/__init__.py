"""Published results of real models, each value with its source: ground truth without any weights.

Leaderboards (models × tasks): `superb`, `superb_hidden`, `emobox`, `xares`. The tables of Chen et al.
2023, candidate by candidate: `chen2023`. The CSV files beside this one hold what is used, and where
each row comes from; they are checked when read.
"""

from __future__ import annotations

from .chen2023 import Claim, Experiment, chen2023
from .encoders import emobox, xares
from .leaderboard import Entry, Leaderboard, Metric, pretraining_hours
from .superb import superb, superb_hidden

__all__ = [
    "Claim",
    "Entry",
    "Experiment",
    "Leaderboard",
    "Metric",
    "chen2023",
    "emobox",
    "pretraining_hours",
    "superb",
    "superb_hidden",
    "xares",
]
