"""Small agreements made up for the figures and the page."""

from __future__ import annotations

import made_up
import pytest

PROVENANCE = made_up.PROVENANCE.model_copy(update={"dirty": True})

STATISTICS = ("spearman", "p_value", "smooth_p_value", "kendall", "weighted_kendall", "regret", "regret_at_3")
NO_SCORE = dict.fromkeys((*STATISTICS, "cost_ratio"))


def agreement(estimator="logme", **changes):
    values = {"estimator": estimator, "provenance": PROVENANCE}
    if changes.get("status") == "failed":
        values |= NO_SCORE | {"scores": [None] * 3}
    return made_up.agreement(**(values | changes))


def of_models(estimator="logme", **changes):
    values = {
        "model": "all",
        "setting": "models",
        "layer_policy": "last",
        "names": ["fbank", "hubert", "hubert-untrained"],
        "smooth_p_value": None,
    }
    return agreement(estimator, **(values | changes))


@pytest.fixture
def layers():
    """Return a function from an estimator and changes to its agreement on layers."""
    return agreement


@pytest.fixture
def models():
    """Return a function from an estimator and changes to its agreement on models."""
    return of_models


@pytest.fixture
def study():
    """Return two settings of one task, one of another suite; one estimator fails, a baseline costs little."""
    return [
        agreement(),
        agreement("held_out_evidence", spearman=0.5, score_seconds=2.0),
        agreement("random", spearman=-0.5, p_value=1.0, score_seconds=0.001, scores=[0.5, 0.4, 0.6]),
        agreement("otce", status="failed", error="needs source features"),
        of_models(spearman=0.5, p_value=0.01),
        of_models(layer_policy="best", spearman=0.25),
        of_models("held_out_evidence", spearman=1.0),
        of_models("random", spearman=-1.0, score_seconds=0.003),
        of_models(suite="nEMO, real speech", task="emotion_recognition", metric="uar", direction="higher"),
    ]
