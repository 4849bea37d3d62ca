"""What scoring and fine-tuning cost, added up by hand, and that seconds of different machines never meet."""

from __future__ import annotations

import made_up
import pytest

from foretune.report import cost_section
from foretune.report.costs import Costs, Spent

HERE = made_up.PROVENANCE.model_copy(update={"processor": "abc", "cores": 2})
ELSEWHERE = HERE.model_copy(update={"cores": 16})
NAMES = {"names": ["0", "1", "2"]}


def score(layer, model="hubert", **changes):
    values = {
        "layer": layer, "model": model, "provenance": HERE, "forward_seconds": 10.0,
        "accumulate_seconds": 5.0, "score_seconds": 1.0, "forward_cpu_seconds": 8.0,
        "accumulate_cpu_seconds": 4.0, "score_cpu_seconds": 1.0, "forward_flops": 90, "accumulate_flops": 10,
    }  # fmt: skip
    return made_up.score(**(values | changes))


def run(layer, model="hubert", seed=0, **changes):
    values = {"layer": layer, "model": model, "seed": seed, "provenance": HERE, "wall_seconds": 30.0 + seed,
              "cpu_seconds": 15.0, "flops": 1000}  # fmt: skip
    return made_up.tuning(**(values | changes))


SCORES = [score(layer) for layer in range(3)]
RUNS = [run(layer, seed=seed) for layer in range(3) for seed in range(3)]
CELL = made_up.agreement(provenance=HERE)


def of_models(protocol="layer", policy="last"):
    return made_up.agreement(
        setting="models", model="all", names=["apc", "ctc", "hubert"], protocol=protocol, layer_policy=policy
    )


class TestLayers:
    def test_one_pass_serves_all_layers_and_runs_are_means_over_seeds(self):
        costs = Costs(SCORES, RUNS)
        assert costs.scoring(CELL) == Spent(18.0, 15.0, 100, HERE.place)
        assert costs.tuning(CELL) == Spent(93.0, 45.0, 3000, HERE.place)
        assert [costs.ratio(CELL, what) for what in ("wall", "cpu", "flops")] == [93 / 18, 3.0, 30.0]
        assert costs.own_share(CELL) == 3 / 15

    @pytest.mark.parametrize(
        "runs",
        [
            [run(layer, provenance=ELSEWHERE) for layer in range(3)],
            [run(layer, provenance=HERE if layer else ELSEWHERE) for layer in range(3)],
            [run(layer, provenance=made_up.PROVENANCE) for layer in range(3)],
        ],
        ids=["elsewhere", "on two machines", "nobody knows where"],
    )
    def test_seconds_of_other_machines_give_no_ratio_operations_do(self, runs):
        costs = Costs(SCORES, runs)
        assert costs.tuning(CELL).wall == 90.0
        assert [costs.ratio(CELL, what) for what in ("wall", "cpu", "flops")] == [None, None, 30.0]

    def test_what_was_timed_where_the_scores_were_made_counts(self):
        made = [run(layer, provenance=ELSEWHERE, wall_seconds=9e9) for layer in range(3)]
        timed = [run(layer, wall_seconds=3.0, flops=500) for layer in range(3)]
        costs = Costs(SCORES, made, timed)
        assert costs.is_timed(CELL)
        assert costs.tuning(CELL) == Spent(9.0, 45.0, 1500, HERE.place)
        assert costs.ratio(CELL, "wall") == 9 / 18

    @pytest.mark.parametrize(
        "lost",
        [
            lambda each: [each[0], each[1]],
            lambda each: [*each[:2], each[2].model_copy(update={"provenance": ELSEWHERE})],
            lambda each: [*each[:2], each[2].model_copy(update={"status": "failed"})],
            lambda each: [*each[:2], each[2].model_copy(update={"data_revision": "other"})],
        ],
        ids=["a layer is missing", "one was elsewhere", "one failed", "one heard other speech"],
    )
    def test_what_was_timed_in_part_does_not(self, lost):
        timed = lost([run(layer, wall_seconds=3.0) for layer in range(3)])
        costs = Costs(SCORES, RUNS, timed)
        assert not costs.is_timed(CELL)
        assert costs.tuning(CELL) == Costs(SCORES, RUNS).tuning(CELL)

    def test_what_old_records_lack_is_not_made_up(self):
        lacking = {"forward_cpu_seconds": None, "forward_flops": None, "score_cpu_seconds": None}
        costs = Costs([score(layer, **lacking) for layer in range(3)], [run(n, flops=None) for n in range(3)])
        assert costs.scoring(CELL) == Spent(18.0, None, None, HERE.place)
        assert costs.tuning(CELL).flops is None
        assert costs.own_share(CELL) is None

    @pytest.mark.parametrize(
        "changes", [{"data_revision": "other"}, {"task": "other"}, {"protocol": "single-layer"}]
    )
    def test_other_data_and_protocols_do_not_count(self, changes):
        assert Costs(SCORES, [each.model_copy(update=changes) for each in RUNS]).tuning(CELL) is None

    def test_the_same_data_may_be_judged_under_another_name(self):
        costs = Costs(SCORES, [each.model_copy(update={"suite": "local"}) for each in RUNS])
        assert costs.tuning(CELL) == Spent(93.0, 45.0, 3000, HERE.place)

    def test_a_missing_layer_or_a_failed_run_leaves_the_cost_unknown(self):
        failed = [each.model_copy(update={"status": "failed"}) for each in RUNS if each.layer == 1]
        costs = Costs(SCORES[:2], [*(each for each in RUNS if each.layer != 1), *failed])
        assert costs.scoring(CELL) is None
        assert costs.tuning(CELL) is None
        assert costs.ratio(CELL) is None


class TestModels:
    SCORES = (*SCORES, *(score(layer, model) for model in ("apc", "ctc") for layer in range(2)))

    def test_by_the_last_layer_and_runs_of_whole_encoders(self):
        runs = [
            run(2),
            run(1, "apc", protocol="full"),
            run(1, "ctc", protocol="full"),
            run(0, wall_seconds=9e9),
        ]
        costs = Costs(self.SCORES, runs)
        assert costs.scoring(of_models()) == Spent(48.0, 39.0, 300, HERE.place)
        assert costs.tuning(of_models()) == Spent(90.0, 45.0, 3000, HERE.place)

    def test_probes_are_not_whole_runs_and_the_best_layer_needs_all(self):
        runs = [run(2), run(1, "apc"), run(1, "ctc")]
        probes = [each.model_copy(update={"protocol": "probe", "flops": 10}) for each in runs]
        costs = Costs(self.SCORES, [*runs, *probes])
        assert costs.tuning(of_models("probe", "best")).flops == 30
        assert costs.tuning(of_models()).flops == 3000
        assert costs.scoring(of_models("probe", "best")).wall == 3 * 15 + 3 + 2 + 2


class TestSection:
    def test_a_row_a_setting_and_medians_beside_the_papers(self):
        paper = made_up.published(
            suite="chen2023_models", estimator="logme", score_seconds=2.0, fine_tune_seconds=4376.0
        )
        text = "\n".join(cost_section.section([CELL], Costs(SCORES, RUNS), [paper], [], []))
        spent = "93.0 | 45.0 | 3.00e-09 | 18.0 | 15.0 | 1.00e-10"
        assert f"| asr, layers of hubert | 3 | {spent} | 5.2 | 3.0 | 30 |" in text
        assert "| logme | 1 | 5.2 | 3.0 | 30 | 2,188 | 20 % |" in text

    def test_recordings_stand_apart_and_do_not_count_in_medians(self):
        recorded = {"suite": "nEMO", "data_revision": "eeeeeeeeeeee"}
        cell = CELL.model_copy(update=recorded)
        scores = [each.model_copy(update=recorded) for each in SCORES]
        runs = [run(layer, wall_seconds=60.0, **recorded) for layer in range(3)]
        costs = Costs([*SCORES, *scores], [*RUNS, *runs])
        text = "\n".join(cost_section.section([cell, CELL], costs, [], [], []))
        spent = "180 | 45.0 | 3.00e-09 | 18.0 | 15.0 | 1.00e-10"
        assert f"| nEMO: asr, layers of hubert | 3 | {spent} | 10 | 3.0 | 30 |" in text
        assert "| logme | 1 | 5.2 | 3.0 | 30 |" in text
        assert text.index("| logme |") < text.index("nEMO")
        alone = "\n".join(cost_section.section([cell], costs, [], [], []))
        assert "| nEMO: asr, layers of hubert |" in alone
        assert "| logme |" not in alone

    def test_runs_of_settings_timed_as_a_whole_do_not_stand_alone(self):
        timed = [run(layer, wall_seconds=3.0) for layer in range(3)]
        alone = "\n".join(cost_section.section([CELL], Costs(SCORES, RUNS, timed[:2]), [], timed[:2], SCORES))
        assert alone.count("side by side") == 1
        whole = "\n".join(cost_section.section([CELL], Costs(SCORES, RUNS, timed), [], timed, SCORES))
        assert "side by side" not in whole
        assert "| asr, layers of hubert | 3 | 9.00 | 45.0 |" in whole

    def test_side_by_side_needs_one_machine_and_the_same_weights(self):
        costs = Costs([], [])
        for changes in ({"provenance": ELSEWHERE}, {"model_revision": "other"}, {"data_revision": "other"}):
            assert cost_section.section([], costs, [], [run(2)], [score(2, **changes)]) == []
        beside = cost_section.section([], costs, [], [run(2)], [score(2), score(1)])
        assert beside[-1].count("\n") == 2
        assert "abc (Linux x86_64), 1 thread of 2 cores, cpu" in beside[-1]

    def test_nothing_known_is_no_section(self):
        assert cost_section.section([CELL], Costs([], []), [], [], []) == []
