"""A run of three estimators on the layers of one model, and files of its records."""

from __future__ import annotations

import pytest

from foretune import records as files
from foretune.records import AgreementRecord, Provenance, ScoreRecord

PROVENANCE = Provenance(
    commit="0",
    dirty=False,
    python="3.11",
    machine="here",
    device="cpu",
    threads=1,
    packages={},
    started="2026-01-01",
)
SHARED = {"task": "asr", "suite": "embedded", "data_revision": "d0", "model": "ctc", "provenance": PROVENANCE}
ESTIMATORS = ("logme", "h_score", "nleep")
LAYERS = 2


class Run:
    """Makes records, each of a cell that a test may change."""

    estimators = ESTIMATORS
    provenance = PROVENANCE

    def agreement(self, estimator="logme", **changes):
        values = {
            "setting": "layers",
            "estimator": estimator,
            "layer_policy": "each",
            "metric": "cer",
            "direction": "lower",
            "candidates": LAYERS,
            "names": [str(layer) for layer in range(LAYERS)],
            "scores": [0.1, 0.2],
            "values": [0.5, 0.4],
            "deviations": [None, None],
            "seeds": 1,
            "spearman": 0.9,
            "p_value": 0.01,
            "smallest_p_value": 0.001,
            "smooth_p_value": None,
            "kendall": 0.8,
            "weighted_kendall": 0.8,
            "regret": 0.02,
            "regret_at_3": 0.0,
            "score_seconds": 10.0,
            "fine_tune_seconds": 100.0,
            "cost_ratio": 10.0,
        }
        return AgreementRecord(**(SHARED | values | changes))

    def score(self, estimator="logme", layer=0, **changes):
        values = {
            "model_revision": "w0",
            "layer": layer,
            "estimator": estimator,
            "score": 0.5 + layer,
            "seed": 0,
            "utterances": 10,
            "samples": 100,
            "forward_seconds": 5.0,
            "accumulate_seconds": 1.0,
            "score_seconds": 2.0,
        }
        return ScoreRecord(**(SHARED | values | changes))

    def whole(self):
        """Return every record of the run: of each estimator its scores, then its agreement."""
        return [
            record
            for estimator in ESTIMATORS
            for record in (
                *(self.score(estimator, layer) for layer in range(LAYERS)),
                self.agreement(estimator),
            )
        ]

    def write(self, path, records):
        path.write_bytes(b"")
        for record in records:
            files.append(path, record)
        return path


@pytest.fixture(scope="session")
def a_run():
    """Return what makes the records of a run."""
    return Run()
