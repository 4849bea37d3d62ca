"""Cells of the grid: which statistics a setting gets, and what noise and size leave of them."""

from __future__ import annotations

import math
from dataclasses import replace

import made_up
import numpy as np
import pytest

from foretune import agreement
from foretune.ground_truth import Outcome
from foretune.judging import over_layers, over_models
from foretune.tasks import get_task
from foretune.tasks.errors import InputError

EXACT = 1e-12
TASK = get_task("asr")  # an error rate: lower is better
RUNS = {
    0: [0.9, 0.8, 0.85],
    1: [0.5, 0.6, 0.58],
    2: [0.2, 0.3, 0.21],
    3: [0.4, 0.35, 0.3],
    4: [0.7, 0.7, 0.6],
}
SCORES = [0.1, 0.3, 0.9, 0.5, 0.4]
GROUPS = np.random.default_rng(0).normal(size=(5, 8)) / 10


def score(number=0, **changes):
    values = {
        "task": TASK.name,
        "layer": number,
        "score": SCORES[number],
    }
    return made_up.score(**(values | changes))


def outcome(values):
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Outcome(
        float(np.mean(values)), deviation, len(values), 10.0, by_seed=dict(enumerate(map(float, values)))
    )


def layers(scores=None, runs=RUNS):
    given = [score(layer) for layer in runs] if scores is None else scores
    return over_layers(TASK, given, {layer: outcome(values) for layer, values in runs.items()})


GOODNESS = [-outcome(values).value for values in RUNS.values()]


class TestLayers:
    def test_every_statistic_is_that_of_scores_and_turned_values(self):
        cell = layers()
        found = agreement.spearman(SCORES, GOODNESS)
        assert (cell.spearman, cell.p_value) == (found.rho, found.p_value)
        assert cell.spearman > 0  # an error rate that falls where scores rise
        assert cell.pearson == agreement.pearson(SCORES, GOODNESS)
        assert cell.top_3_recall == agreement.top_recall(SCORES, GOODNESS)
        assert (cell.low, cell.high) == agreement.candidate_interval(SCORES, GOODNESS)
        assert cell.low < cell.spearman < cell.high

    def test_depth_is_held_fixed(self):
        cell = layers()
        partial = agreement.partial_spearman(SCORES, GOODNESS, range(5))
        assert (cell.held_fixed, cell.partial_spearman) == ("depth", partial.rho)
        assert cell.partial_p_value == partial.p_value
        by_depth = layers([score(layer, score=float(layer)) for layer in RUNS])
        assert (by_depth.partial_spearman, by_depth.partial_p_value) == (None, None)

    def test_seeds(self):
        cell = layers()
        deviations = [outcome(values).deviation for values in RUNS.values()]
        interval = agreement.seed_interval(SCORES, GOODNESS, deviations, [3] * 5)
        assert (cell.seed_low, cell.seed_high) == interval
        assert cell.split_half == agreement.split_half(list(RUNS.values()))
        assert cell.ceiling == agreement.ceiling(GOODNESS, deviations, [3] * 5)
        assert 0.8 < cell.ceiling <= 1

    def test_one_seed_has_no_ceiling(self):
        cell = layers(runs={layer: values[:1] for layer, values in RUNS.items()})
        assert cell.spearman is not None
        assert (cell.seed_low, cell.seed_high, cell.split_half, cell.ceiling) == (None,) * 4

    def test_only_seeds_that_all_candidates_have_are_split(self):
        cell = layers(runs=RUNS | {0: [0.9, 0.8, 0.85, 0.99]})
        assert cell.split_half == agreement.split_half([*RUNS.values()])

    def test_candidates_with_different_numbers_of_seeds(self):
        runs = RUNS | {0: [0.9, 0.8, 0.85, 0.99, 0.7]}
        cell = layers(runs=runs)
        deviations, numbers = [outcome(values).deviation for values in runs.values()], [5, 3, 3, 3, 3]
        assert (cell.seeds, cell.seeds_each) == (3, numbers)
        assert cell.values[0] == pytest.approx(0.848, rel=EXACT)  # the mean of all five
        goodness = [-value for value in cell.values]
        assert cell.ceiling == agreement.ceiling(goodness, deviations, numbers)
        interval = agreement.seed_interval(SCORES, goodness, deviations, numbers)
        assert (cell.seed_low, cell.seed_high) == interval

    def test_errors_by_groups_of_utterances(self):
        given = [
            score(layer, group_errors=GROUPS[layer], standard_error=math.hypot(*GROUPS[layer]))
            for layer in RUNS
        ]
        cell = layers(given)
        interval = agreement.utterance_interval(SCORES, GOODNESS, GROUPS)
        assert (cell.utterance_low, cell.utterance_high) == interval
        assert cell.utterance_errors == "groups"
        assert cell.score_errors == pytest.approx([math.hypot(*errors) for errors in GROUPS], rel=EXACT)

    def test_standard_errors_alone(self):
        errors = [0.1, 0.2, 0.05, 0.1, 0.3]
        cell = layers([score(layer, standard_error=errors[layer]) for layer in RUNS])
        interval = agreement.utterance_interval(SCORES, GOODNESS, errors)
        assert (cell.utterance_low, cell.utterance_high) == interval
        assert (cell.utterance_errors, cell.score_errors) == ("standard errors", errors)

    def test_errors_of_some_layers_only(self):
        cell = layers([score(layer, standard_error=0.1 if layer else None) for layer in RUNS])
        assert (cell.utterance_low, cell.utterance_high, cell.utterance_errors) == (None, None, "")
        assert cell.score_errors == [None, 0.1, 0.1, 0.1, 0.1]
        assert layers().score_errors == []

    def test_constant_scores(self):
        cell = layers([score(layer, score=2.0) for layer in RUNS])
        assert (cell.spearman, cell.p_value, cell.low, cell.high) == (0.0, 1.0, None, None)
        assert (cell.pearson, cell.partial_spearman, cell.seed_low) == (0.0, None, None)
        assert cell.top_3_recall == pytest.approx(3 / 5, rel=EXACT)

    def test_a_score_that_is_missing(self):
        cell = layers([score(layer, score=None if layer == 2 else 1.0, error="no source") for layer in RUNS])
        assert (cell.status, cell.error) == ("failed", "2: no source")
        assert (cell.spearman, cell.pearson, cell.low, cell.utterance_low) == (None,) * 4
        assert cell.ceiling == layers().ceiling  # of the ground truth, whoever scores

    def test_a_layer_that_was_not_scored(self):
        with pytest.raises(InputError, match="layer 4 was fine-tuned, but not scored"):
            layers([score(layer) for layer in range(4)])

    def test_a_part_of_a_task_has_no_cost_ratio(self):
        whole = get_task("multilingual_asr")
        outcomes = {layer: outcome(values) for layer, values in RUNS.items()}
        cells = [
            over_layers(task, [score(layer, task=task.name) for layer in RUNS], outcomes)
            for task in (whole, whole.part("de"))
        ]
        # five runs of 10 s, and one pass of 1.5 s with five scores of 0.1 s; languages are tuned for together
        assert [cell.cost_ratio for cell in cells] == [pytest.approx(25, rel=EXACT), None]


class TestModels:
    SIZES = (1e6, 2e6, 4e6, 3e6, 9e6)

    def cell(self, policy="last", sizes=SIZES, deep=()):
        scores = {
            f"m{i}": [
                *deep,
                score(
                    i,
                    model=f"m{i}",
                    layer=6,
                    score=SCORES[i],
                    parameters=sizes[i],
                    group_errors=GROUPS[i],
                    standard_error=math.hypot(*GROUPS[i]),
                ),
            ]
            for i in RUNS
        }
        outcomes = {f"m{i}": outcome(values) for i, values in RUNS.items()}
        return over_models(TASK, scores, outcomes, policy)

    def test_size_is_held_fixed(self):
        cell = self.cell()
        partial = agreement.partial_spearman(SCORES, GOODNESS, np.log(self.SIZES))
        assert (cell.held_fixed, cell.partial_spearman) == ("log parameters", partial.rho)

    def test_unknown_size(self):
        cell = self.cell(sizes=(None, *self.SIZES[1:]))
        assert (cell.held_fixed, cell.partial_spearman, cell.partial_p_value) == ("", None, None)

    def test_errors_follow_the_layer_policy(self):
        low = score(0, layer=3, score=-5.0, group_errors=np.ones(8), standard_error=math.sqrt(8))
        best, mean = (self.cell(policy, deep=[low]) for policy in ("best", "mean"))
        assert best.score_errors == pytest.approx(self.cell().score_errors, rel=EXACT)
        halves = [math.hypot(*errors) for errors in (GROUPS + 1) / 2]
        assert mean.score_errors == pytest.approx(halves, rel=EXACT)
        assert best.utterance_errors == mean.utterance_errors == "groups"

    @pytest.mark.parametrize(("protocol", "policy"), [("layer", "last"), ("probe", "best")])
    def test_the_default_policy_is_that_of_the_protocol(self, protocol, policy):
        scores = {
            f"m{i}": [score(model=f"m{i}", layer=layer, score=SCORES[(i + layer) % 5]) for layer in range(3)]
            for i in RUNS
        }
        outcomes = {f"m{i}": replace(outcome(values), protocol=protocol) for i, values in RUNS.items()}
        cell = over_models(TASK, scores, outcomes)
        assert (cell.protocol, cell.layer_policy) == (protocol, policy)
        assert cell == over_models(TASK, scores, outcomes, policy)
        assert cell != over_models(TASK, scores, outcomes, "mean")

    @pytest.mark.parametrize("processes", [1, 2])
    def test_seconds_beside_other_tests_are_no_cost(self, processes):
        origin = made_up.PROVENANCE.model_copy(update={"processes": processes})
        scores = {f"m{i}": [score(i, model=f"m{i}", provenance=origin)] for i in RUNS}
        cell = over_models(TASK, scores, {f"m{i}": outcome(values) for i, values in RUNS.items()})
        assert cell.cost_ratio == (pytest.approx(50 / cell.score_seconds) if processes == 1 else None)

    def test_three_models_have_no_interval(self):
        scores = {f"m{i}": [score(i, model=f"m{i}", layer=6, score=SCORES[i])] for i in range(3)}
        cell = over_models(TASK, scores, {f"m{i}": outcome(RUNS[i]) for i in range(3)})
        assert (cell.low, cell.seed_low, cell.partial_spearman) == (None, None, None)
        assert cell.top_3_recall == 1.0
        assert cell.ceiling is not None
