"""Append-only records of results, one JSON line each.

A record is written the moment its result exists, flushed and fsynced, under a file lock, so that
several workers may share one file and an interrupted run loses nothing. A torn last line (from a
process that was killed while writing) is skipped on reading and mended by the next writer.
"""

from .agreements import AgreementRecord, PublishedRecord
from .files import Record, append, compact, latest, read
from .merging import Merged, merge, write_merged
from .origin import Provenance, provenance
from .schema import SCHEMA
from .scores import LabelOrigin, ScoreRecord
from .tuning import TuningRecord, read_tuning

__all__ = [
    "SCHEMA",
    "AgreementRecord",
    "LabelOrigin",
    "Merged",
    "Provenance",
    "PublishedRecord",
    "Record",
    "ScoreRecord",
    "TuningRecord",
    "append",
    "compact",
    "latest",
    "merge",
    "provenance",
    "read",
    "read_tuning",
    "write_merged",
]
