"""Hidden states of every layer, batch by batch, in one forward pass; never stored.

Utterances are taken in order of length, so that batches hold little padding, and a batch holds no
more samples, padding included, than its budget. The order does not depend on the budget.

    batches.py     which utterances go together
    windows.py     long recordings, cut and joined
    reading.py     decoding ahead of the forward pass
    streams.py     batches side by side on the cores of a CPU
    precision.py   half precision, checked against float32
    engine.py      `extract`, which joins them
"""

from .batches import batches_by_length, default_batch_seconds, samples
from .engine import Batch, Progress, extract
from .precision import LARGEST_DIFFERENCE, PRECISIONS
from .streams import streams_of
from .windows import OVERLAP_SECONDS, WINDOW_SECONDS

__all__ = [
    "LARGEST_DIFFERENCE",
    "OVERLAP_SECONDS",
    "PRECISIONS",
    "WINDOW_SECONDS",
    "Batch",
    "Progress",
    "batches_by_length",
    "default_batch_seconds",
    "extract",
    "samples",
    "streams_of",
]
