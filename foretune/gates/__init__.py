"""Gates: what must hold of a run by itself, and against a saved run.

`thresholds` reads bench/gates.toml: the least ρ and the largest p of a cell. `comparison` holds the
records of a run against those of an earlier one, cell by cell, within `limits`.
"""

from .comparison import ALLOWABLE, Comparison, Finding, compare
from .limits import DEFAULT_LIMITS, SHORTEST, Limits
from .thresholds import LOW, NO_GATE, Gate, Gates, judged_as

__all__ = [
    "ALLOWABLE",
    "DEFAULT_LIMITS",
    "LOW",
    "NO_GATE",
    "SHORTEST",
    "Comparison",
    "Finding",
    "Gate",
    "Gates",
    "Limits",
    "compare",
    "judged_as",
]
