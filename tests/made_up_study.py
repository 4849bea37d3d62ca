"""A study of two settings that tests of RESULTS.md make up, and how they find a table in it."""

from __future__ import annotations

import re

import made_up

from foretune.report import pages

PROVENANCE = made_up.PROVENANCE.model_copy(update={"packages": {"torch": "2.11.0", "POT": "0.9.6"}})


def cell(**changes):
    values = {"provenance": PROVENANCE, "deviations": [0.01, 0.0214, None]}
    return made_up.agreement(**(values | changes))


def models(**changes):
    values = {
        "model": "all",
        "setting": "models",
        "layer_policy": "last",
        "names": ["fbank", "hubert", "speaker"],
        "smooth_p_value": None,
    }
    return cell(**(values | changes))


def run(seed, **changes):
    values = {
        "provenance": PROVENANCE,
        "layer": 1,
        "seed": seed,
        "value": 0.25,
        "metrics": {"wer": 0.25},
        "wall_seconds": 1800.0,
        "cpu_seconds": 1800.0,
        "peak_memory_bytes": 0,
    }
    return made_up.tuning(**(values | changes))


STUDY = [
    cell(),
    cell(estimator="random", scores=[0.5, 0.4, 0.6], spearman=-0.5, p_value=1.0, cost_ratio=9000.0),
    cell(
        estimator="sliced_wasserstein",
        status="failed",
        error="needs source features",
        scores=[None, None, None],
        spearman=None,
        p_value=None,
        smooth_p_value=None,
        kendall=None,
        weighted_kendall=None,
        regret=None,
        regret_at_3=None,
        cost_ratio=None,
        reason="no source speech here",
    ),
    models(spearman=0.5, p_value=0.005, least_spearman=0.4, largest_p_value=0.05, reason="few models"),
    models(layer_policy="best", spearman=-0.001),
    models(layer_policy="mean", spearman=1.0),
    models(estimator="random", spearman=-1.0, p_value=0.005, least_spearman=0.9, passed=False),
]
RUNS = [run(0), run(1), run(2, data_revision="older0000000"), run(3, status="failed", value=None)]


def of_task(found, task="asr"):
    """Return the page of a task, where everything stands."""
    return pages.render(found, "../../RESULTS.md")[task]


SUMMARY = "### Every estimator, every task"


def rows_under(text, heading):
    """Return the cells of the first table after a heading, header first."""
    after = text[text.index(heading) :]
    table = re.search(r"(?:^\|.*\n)+", after, flags=re.MULTILINE).group()
    rows = [[part.strip() for part in line.strip("|\n").split("|")] for line in table.splitlines()]
    return [rows[0], *rows[2:]]
