"""A run of three estimators on the layers of one model, and files of its records."""

from __future__ import annotations

import made_up
import pytest

from foretune import records as files

SHARED = {"data_revision": "d0", "model": "ctc"}
ESTIMATORS = ("logme", "h_score", "nleep")
LAYERS = 2


class Run:
    """Makes records, each of a cell that a test may change."""

    estimators = ESTIMATORS
    provenance = made_up.PROVENANCE

    def agreement(self, estimator="logme", **changes):
        values = {
            "estimator": estimator,
            "metric": "cer",
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
        return made_up.agreement(**(SHARED | values | changes))

    def score(self, estimator="logme", layer=0, **changes):
        values = {
            "model_revision": "w0",
            "layer": layer,
            "estimator": estimator,
            "score": 0.5 + layer,
            "forward_seconds": 5.0,
            "accumulate_seconds": 1.0,
            "score_seconds": 2.0,
        }
        return made_up.score(**(SHARED | values | changes))

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
