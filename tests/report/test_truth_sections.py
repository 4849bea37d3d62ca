"""The sections of RESULTS.md on the ground truth and on the paper's experiments, from made-up records."""

from __future__ import annotations

import made_up

from foretune.agreement import ceiling
from foretune.models import names, twin
from foretune.report import experiments, ground_truth, render, settings
from foretune.tasks import TASKS


def run(model, layer, seed, value, **changes):
    values = {
        "model": model, "layer": layer, "seed": seed, "metric": "cer", "value": value,
        "metrics": {"cer": value}, "cpu_seconds": 30.0,
    }  # fmt: skip
    return made_up.tuning(**(values | changes))


def rows(text):
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[field.strip() for field in line.strip("|").split("|")] for line in table[2:]]


RUNS = [run("ctc", layer, seed, 0.5 - 0.1 * layer + 0.03 * seed) for layer in range(3) for seed in range(3)]


class TestGroundTruth:
    def test_spread_over_deviation_by_hand(self):
        (row,) = rows(ground_truth.section(RUNS)[2])
        # means 0.53, 0.43, 0.33; each candidate's three seeds lie 0.03 apart, a deviation of 0.03
        assert row[:10] == ["asr", "layers of ctc", "3", "3", "CER", "0.530", "0.330", "0.200", "0.0300",
                            "6.7"]  # fmt: skip
        reach = ceiling([-0.53, -0.43, -0.33], [0.03] * 3, [3] * 3)
        assert row[10:12] == ["1.00", f"{reach:.2f}"]
        assert row[12:] == ["9"]

    def test_what_the_grid_cost_with_failures_and_each_run_once(self):
        counted = [each.model_copy(update={"flops": 2 * 10**12}) for each in RUNS[:4]]
        failed = run("ctc", 2, 3, None, status="failed", error="no", metrics={}, protocol="full")
        parts = ground_truth.section([*counted, *RUNS[4:], failed])
        found = rows(parts[parts.index("### What the grid cost") + 2])
        machine = "processor unknown (Linux x86_64)"
        assert found == [
            ["asr", "full", machine, "1", "1", "0.02", "0.01", "–"],
            ["asr", "layer", machine, "9", "0", "0.15", "0.07", "8.00 (of 4 runs)"],
            ["**all**", "", machine, "10", "1", "0.17", "0.08", "8.00 (of 4 runs)"],
        ]

    def test_a_spread_of_less_than_five_deviations_is_marked(self):
        noisy = [each.model_copy(update={"value": each.value * (1 + each.seed / 5)}) for each in RUNS]
        (row,) = rows(ground_truth.section(noisy)[2])
        assert row[9].endswith("*")

    def test_rankings_that_differ_by_seeds_are_marked_though_the_spread_is_wide(self):
        values = [[2.0, 2.0, 2.0], [0.2, 0.2, 0.3], [0.3, 0.3, 0.2]]
        mixed = [run("ctc", layer, seed, values[layer][seed]) for layer in range(3) for seed in range(3)]
        (row,) = rows(ground_truth.section(mixed)[2])
        assert not row[9].endswith("*")
        assert row[10] == "0.86*"

    def test_candidates_with_different_numbers_of_seeds(self):
        more = [run("ctc", 2, seed, 0.33) for seed in (3, 4)]
        (row,) = rows(ground_truth.section([*RUNS, *more])[2])
        assert row[3] == "3 to 5"
        # layer 2: 0.30, 0.33, 0.36 and twice 0.33, a variance of 0.0018 / 4; the others' 0.0018 / 2 each
        assert row[8] == f"{(3 * 0.0018 / 8) ** 0.5:.4f}"
        reach = ceiling([-0.53, -0.43, -0.33], [0.03, 0.03, (0.0018 / 4) ** 0.5], [3, 3, 5])
        assert row[10:] == ["1.00", f"{reach:.2f}", "11"]

    def test_one_layer_alone_is_another_setting_and_no_model(self):
        alone = [each.model_copy(update={"protocol": "single-layer"}) for each in RUNS]
        found = rows(ground_truth.section([*RUNS, *alone])[2])
        assert [row[:3] for row in found] == [
            ["asr", "layers of ctc", "3"],
            ["asr", "layers of ctc, each alone", "3"],
        ]

    def test_a_whole_encoder_counts_among_its_layers_however_it_was_told(self):
        told = [each.model_copy(update={"protocol": "full"}) if each.layer == 2 else each for each in RUNS]
        assert ground_truth.section(told)[2] == ground_truth.section(RUNS)[2]

    def test_models_are_compared_at_their_tops(self):
        others = [run(name, 6, 0, 0.7) for name in ("speaker", "fbank")]
        found = {row[1]: row for row in rows(ground_truth.section([*RUNS, *others])[2])}
        assert found["models, full"][2:8] == ["3", "1 to 3", "CER", "0.700", "0.330", "0.370"]

    def test_a_candidate_is_set_beside_its_twin(self):
        untrained = [run("ctc-untrained", 2, seed, 0.8 + 0.03 * seed) for seed in range(3)]
        text = ground_truth.section([*RUNS, *untrained])[-1]
        # 0.83 − 0.33 = 0.5; two runs differ by √2 · 0.03; ± 2.776 (t, 4 degrees) · 0.03 · √(2/3)
        row = ["ctc", "asr", "CER", "full", "0.330", "0.830", "0.500", "0.432 to 0.568", "12"]
        assert rows(text) == [row]

    def test_one_seed_of_each_gives_no_interval(self):
        one = [run("ctc", 2, 0, 0.3), run("ctc-untrained", 2, 0, 0.8)]
        (row,) = rows(ground_truth.section(one)[-1])
        assert row[6:] == ["0.500", "–", "–"]

    def test_a_frozen_candidate_is_set_beside_its_frozen_twin(self):
        probed = [run("ctc", 2, seed, 0.4, protocol="probe") for seed in range(3)]
        of_twin = [run("ctc-untrained", 2, seed, 0.9 + 0.02 * seed, protocol="probe") for seed in range(3)]
        text = ground_truth.section([*RUNS, *probed, *of_twin])[-1]
        # 0.92 − 0.40 = 0.52; the pooled deviation is 0.02/√2, two runs differ by √2 times that
        row = ["ctc", "asr", "CER", "probed", "0.400", "0.920", "0.520", "0.488 to 0.552", "26"]
        assert rows(text) == [row]

    def test_twins_are_not_among_models(self):
        others = [run(name, 6, 0, 0.7) for name in ("speaker", "fbank")]
        untrained = [run("ctc-untrained", 2, seed, 0.9) for seed in range(3)]
        settings = [
            ground_truth.section(runs)[2] for runs in ([*RUNS, *others], [*RUNS, *others, *untrained])
        ]
        assert settings[0] == settings[1]

    def test_failures_do_not_count_and_nothing_is_no_section(self):
        failed = run("ctc", 0, 0, None, status="failed", error="no", metrics={})
        assert ground_truth.section([failed]) == ground_truth.section([]) == []

    def test_every_encoder_that_has_a_twin_serves_a_task(self):
        encoders = [name for name in names() if twin(name) is not None]
        assert encoders
        assert set(encoders) <= set(ground_truth.SERVES)
        assert set(ground_truth.SERVES.values()) <= set(TASKS)


class TestExperiments:
    @staticmethod
    def cell(**changes):
        values = {
            "task": "phoneme_recognition", "model": "hubert2", "protocol": "single-layer", "metric": "per",
            "deviations": [0.03, 0.04, None], "seeds": 1, "low": 0.25, "high": 1.0,
        }  # fmt: skip
        return made_up.agreement(**(values | changes))

    PAPER = made_up.published(suite="chen2023_hubert", task="PR", model="HuBERT Base", truth="printed ranks")

    def test_ours_stands_beside_the_papers(self):
        parts = experiments.section([self.cell()], [self.PAPER])
        assert parts[2].startswith("### Layers of HuBERT Base, phoneme recognition")
        # √((0.03² + 0.04²) / 2) = 0.0354, and 0.65 is 18 times that
        assert "worst is 0.650, 18 times the standard deviation over seeds (0.0354, pooled)" in parts[3]
        (row,) = rows(parts[4])
        assert row == ["phoneme_recognition", "logme", "3", "1.00", "0.25 to 1.00", "0.33", "0.000", "1.5",
                       "300", "–", "0.944", "1.8e-05"]  # fmt: skip

    def test_the_reader_is_warned_of_labels_from_the_tuned_layer(self):
        parts = experiments.section([self.cell()], [self.PAPER])
        assert sum("*tuned* at the very layer" in part for part in parts) == 1
        assert not any("*tuned*" in part for part in experiments.section([self.cell(
            task="keyword_spotting", setting="models", model="all", protocol="layer", layer_policy="last",
        )], []))  # fmt: skip

    def test_other_cells_are_not_the_experiments(self):
        others = [
            self.cell(protocol="layer"), self.cell(model="ctc"), self.cell(task="asr"),
            self.cell(estimator="knn"), self.cell(suite="local"),
        ]  # fmt: skip
        assert experiments.section(others, [self.PAPER]) == []

    def test_languages_stand_below_the_whole(self):
        cells = [
            self.cell(task=task, model="conformer")
            for task in ("multilingual_asr:pl", "multilingual_asr", "multilingual_asr:de")
        ]
        found = rows(experiments.section(cells, [])[4])
        assert [row[0] for row in found] == ["multilingual_asr", "multilingual_asr:de", "multilingual_asr:pl"]
        assert {row[-1] for row in found} == {"–"}
        # the languages are fine-tuned for together: their own seconds of scoring stand beside none of these
        assert [row[8] for row in found] == ["300", "–", "–"]


class TestDefaultCells:
    def test_each_protocol_is_a_setting_that_counts_once(self):
        cell = TestExperiments.cell
        usual, alone = cell(protocol="layer"), cell(protocol="single-layer")
        of_models = {"setting": "models", "model": "all"}
        full, probed = cell(protocol="layer", **of_models, layer_policy="last"), [
            cell(protocol="probe", **of_models, layer_policy=policy) for policy in ("last", "best", "mean")
        ]  # fmt: skip
        from_samples = cell(protocol="probe", **of_models, layer_policy="last", estimator="knn")
        given = [usual, alone, full, *probed, from_samples]
        assert settings.default_cells(given) == [usual, alone, full, probed[1], from_samples]
        assert [settings.kind_of(each) for each in (usual, alone, full, probed[0])] == [
            "layers", "layers, each alone", "models, full", "models, probed"
        ]  # fmt: skip

    def test_parts_of_a_task_stand_among_the_experiments_alone(self):
        cells = [
            TestExperiments.cell(model="conformer", task=task)
            for task in ("multilingual_asr", "multilingual_asr:de")
        ]
        text = render(cells, []).partition("## Where the numbers come from")[0]
        assert text.count("multilingual_asr:de") == 1
        assert text.index("The paper's experiments") < text.index("multilingual_asr:de")
