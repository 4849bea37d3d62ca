"""RESULTS.md from small records made up for these tests: tables, wording, determinism, errors."""

from __future__ import annotations

import re

import made_up
import numpy as np
import pytest

from foretune import records
from foretune.agreement import candidate_interval, mean_interval
from foretune.report import render, write_report
from foretune.report.tables import number, significant
from foretune.tasks.errors import InputError

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


def rows_under(text, heading):
    """Return the cells of the first table after a heading, header first."""
    after = text[text.index(heading) :]
    table = re.search(r"(?:^\|.*\n)+", after, flags=re.MULTILINE).group()
    rows = [[part.strip() for part in line.strip("|\n").split("|")] for line in table.splitlines()]
    return [rows[0], *rows[2:]]


class TestRender:
    def test_summary_averages_the_default_cells_best_first(self):
        assert rows_under(render(STUDY, RUNS), "## Synthetic speech") == [
            ["estimator", "asr", "mean ρ", "p < 0.01", "regret", "cost ratio"],
            ["logme", "0.75", "0.75", "1 of 2", "0 %", "200"],
            # significant, but the wrong way round
            ["*random*", "-0.75", "-0.75", "0 of 2", "0 %", "4600"],
            ["sliced_wasserstein", "–", "–", "0 of 1", "–", "–"],
        ]

    def test_summary_by_task_with_intervals(self):
        found = [
            cell(
                task="asr", spearman=0.5, low=0.2, high=0.8, candidates=9, p_value=0.02, regret=0.13
            ),  # of 0.65
            models(task="asr", spearman=0.75, low=0.3, high=0.9, candidates=9, p_value=0.001),
            cell(task="emotion_recognition", spearman=0.25, low=None, high=None),
        ]
        rows = rows_under(render(found, []), "## Synthetic speech")
        assert rows[0][1:4] == ["asr", "emotion_recognition", "mean ρ"]
        low, high = mean_interval([0.5, 0.75], [9, 9])
        assert rows[1][1] == f"0.62 [{low:.2f}, {high:.2f}]"
        # without an interval of each setting there is none of the mean
        assert rows[1][2:6] == ["0.25", "0.50", "1 of 3", "7 %"]

    def test_three_sentences_say_how_to_read_it(self):
        text = render([cell(spearman=0.5, low=0.2, high=0.8, ceiling=0.9), models(ceiling=0.8)], [])
        after = text[text.index("logme agrees best with fine-tuning") :]
        short = after[: after.index("\n")]
        assert short.count(". ") == 2
        assert "keep a perfect estimator to 0.85" in short
        assert text.index("## Synthetic speech") < text.index(short) < text.index("### ")

    def test_records_of_schema_1_get_their_interval_and_ceiling(self):
        values = {
            "names": ["0", "1", "2", "3"],
            "scores": [1.0, 2.0, 3.0, 4.0],
            "values": [0.9, 0.7, 0.8, 0.1],
            "deviations": [0.01] * 4,
            "spearman": 0.8,
        }
        low, high = candidate_interval([1, 2, 3, 4], [-0.9, -0.7, -0.8, -0.1])
        for fields in ({"schema": 1}, {"low": low, "high": high, "ceiling": 1.0}):
            rows = rows_under(render([cell(**values, **fields)], []), "#### asr: layers of hubert")
            assert rows[1][:4] == ["logme", "0.80", f"[{low:.2f}, {high:.2f}]", "1.00"]
        rows = rows_under(render([cell(**values)], []), "#### asr: layers of hubert")
        assert rows[1][:4] == ["logme", "0.80", "–", "–"]

    def test_other_ways_to_fine_tune_layers_stand_apart(self):
        found = [cell(), cell(protocol="single-layer", spearman=-1.0)]
        text = render(found, [])
        assert rows_under(text, "## Synthetic speech")[1][1] == "1.00"
        rows = rows_under(text, "#### asr: layers of hubert, each fine-tuned alone")
        assert rows[1][1] == "-1.00"
        assert len(rows) == 2

    def test_ours_is_set_beside_logme_setting_by_setting(self):
        found = [
            *(cell(estimator="logme", task=task, spearman=rho) for task, rho in (("a", 0.5), ("b", 0.5))),
            *(
                cell(estimator="held_out_evidence", task=task, spearman=rho)
                for task, rho in (("a", 0.75), ("b", 0.25))
            ),
            models(estimator="logme", task="a", spearman=0.5),
            models(estimator="held_out_evidence", task="a", spearman=0.5),
            cell(estimator="held_out_evidence", task="c", spearman=1.0),
        ]
        text = render(found, [])
        assert "held_out_evidence against logme**: better in 1 of 3 settings, equal in 1, worse in 1." in text
        assert re.search(r"\| a, layers of hubert +\| +0.75 \| +0.50 \| +better \|", text)
        assert re.search(r"\| b, layers of hubert +\| +0.25 \| +0.50 \| +worse \|", text)
        assert re.search(r"\| a, models +\| +0.50 \| +0.50 \| +equal \|", text)
        assert "held_out_evidence against ridge" not in text

    def test_layers(self):
        rows = rows_under(render(STUDY, RUNS), "#### asr: layers of hubert")
        surely = ["95 %", "ceiling", "over seeds", "over speech"]
        assert rows[0] == ["estimator", "ρ", *surely, "p", "p, smooth", "p against logme", "p against random"]
        # ranks 1 3 2, as the values, and 2 1 3: all or none swapped differ by 1.5, and so or more do those
        # where the third, of middle value, is swapped alone or stays alone: 4 of 8
        assert rows[1] == ["logme", "1.00", *"––––", "0.33", "1.0", "–", "+ 0.50"]
        assert [row[0] for row in rows[1:]] == ["logme", "*random*", "sliced_wasserstein"]
        assert set(rows[3][1:]) == {"–"}

    def test_noise_beside_rho(self):
        found = cell(
            low=0.1,
            high=0.9,
            ceiling=0.876,
            seed_low=0.5,
            seed_high=1.0,
            utterance_low=-0.5,
            utterance_high=1.0,
        )
        text = render([found, cell(estimator="random", ceiling=0.876, split_half=0.8)], [])
        rows = rows_under(text, "#### asr: layers of hubert")
        assert rows[1][2:6] == ["[0.10, 0.90]", "0.88", "[0.50, 1.00]", "[-0.50, 1.00]"]
        assert "Knowing the true values would give ρ = 0.88." in text
        assert "Seeds agree with seeds by 0.80; knowing" in render([cell(ceiling=0.9, split_half=0.8)], [])
        assert "With one seed nothing is known of the noise." in render([cell()], [])

    def test_other_statistics(self):
        found = cell(
            held_fixed="depth", partial_spearman=0.25, partial_p_value=0.04, pearson=0.5, top_3_recall=2 / 3
        )
        rows = rows_under(render([found], []), "What else the scores tell")
        assert rows[0][:7] == ["estimator", "ρ given depth", "p", "r", "τ", "τ_w", "recall@3"]
        assert rows[1][1:7] == ["0.25", "0.040", "0.50", "1.00", "1.00", "0.67"]
        assert rows[1][7:] == ["0.000", "0.000", "1.5", "200", "none"]
        assert "ρ given" not in rows_under(render([cell()], []), "What else the scores tell")[0][1]

    def test_ranking_beside_the_ground_truth_the_lowest_error_first(self):
        text = render(STUDY, RUNS)
        after = text[text.index("#### asr: layers of hubert") :]
        assert rows_under(after, "Fine-tuning, and the rank") == [
            ["layer", "WER", "rank", "logme", "random", "sliced_wasserstein"],
            ["layer 1", "0.250 ± 0.021", "1", "1", "3", "–"],
            ["layer 2", "0.500", "2", "2", "1", "–"],
            ["layer 0", "0.900 ± 0.010", "3", "3", "2", "–"],
        ]

    def test_ties_share_their_mean_rank(self):
        rows = rows_under(render([cell(scores=[0.2, 0.2, 0.1])], []), "Fine-tuning, and the rank")
        assert [(row[0], row[3]) for row in rows[1:]] == [
            ("layer 1", "1.5"),
            ("layer 2", "3"),
            ("layer 0", "1.5"),
        ]

    def test_models_and_gates(self):
        text = render(STUDY, RUNS)
        assert "p, smooth" not in rows_under(text, "#### asr: models")[0]
        rows = rows_under(text[text.index("#### asr: models") :], "What else the scores tell")
        assert rows[1][-1] == "ρ ≥ 0.4, p ≤ 0.05: held"
        assert rows[2][-1] == "ρ ≥ 0.9: **broken**"

    def test_models_that_were_probed_stand_apart(self):
        probed = [
            models(protocol="probe", layer_policy="last", spearman=-0.61),
            models(protocol="probe", layer_policy="best", spearman=-0.62),
        ]
        text = render([*STUDY, *probed], RUNS)
        whole, _, part = text.partition("#### asr: models, probed")
        assert "-0.62" in part.partition("####")[0]
        assert "-0.61" in part.partition("####")[0].partition("ρ by how")[2]
        assert "-0.61" not in whole
        assert "-0.62" not in whole

    def test_layer_policies(self):
        rows = rows_under(render(STUDY, RUNS), "ρ by how a model's score")
        assert rows == [
            ["estimator", "last layer", "best layer", "mean layers"],
            ["logme", "0.50", "0.00", "1.00"],
            ["*random*", "-1.00", "–", "–"],
        ]

    def test_failures_and_reasons_are_said(self):
        text = render(STUDY, RUNS)
        assert "- sliced_wasserstein: no score: needs source features\n" in text
        assert "- sliced_wasserstein: no source speech here\n" in text
        assert "- logme: few models\n" in text

    def test_says_what_was_measured_on_what(self):
        text = render(STUDY, RUNS)
        first_screen = text[: text.index("| estimator")]
        assert "**synthetic**" in first_screen
        assert "espeak-ng" in first_screen
        assert "cannot show" in first_screen
        # the older data's run and the failed one are not behind these numbers
        assert "The ground truth is 2 fine-tuning runs, 1.0 hours on cpu (Linux x86_64)." in first_screen
        assert "3 estimators on asr. Models: fbank, hubert, speaker. Layers of: hubert." in first_screen

    def test_real_speech_has_its_own_section(self):
        real = [models(suite="local", task="emotion_recognition", metric="uar", direction="higher")]
        text = render([*STUDY, *real], RUNS)
        assert (
            text.index("## Synthetic speech")
            < text.index("## Real speech")
            < text.index("## Where the numbers")
        )
        assert rows_under(text, "## Real speech")[1][:2] == ["logme", "1.00"]
        assert text.count("How to read what follows") == 1
        ranked = rows_under(text[text.index("## Real speech") :], "Fine-tuning, and the rank")
        assert [row[0] for row in ranked[1:]] == ["fbank", "speaker", "hubert"]  # the highest first

    def test_a_monte_carlo_p_shows_its_error(self):
        text = render([cell(p_value=0.021, p_value_error=0.0004)], [])
        assert rows_under(text, "#### asr: layers of hubert")[1][6] == "0.021 ± 0.0004"

    def test_the_order_of_records_changes_nothing(self):
        text = render(STUDY, RUNS)
        for seed in range(5):
            shuffled = [STUDY[i] for i in np.random.default_rng(seed).permutation(len(STUDY))]
            assert render(shuffled, RUNS[::-1]) == text


class TestWriteReport:
    def write(self, path, found):
        for record in found:
            records.append(path, record)
        return path

    def test_the_same_records_give_the_same_bytes(self, tmp_path):
        agreements = self.write(tmp_path / "embedded.jsonl", STUDY)
        truth = self.write(tmp_path / "truth.jsonl", RUNS)
        outputs = [tmp_path / "one.md", tmp_path / "two.md"]
        for output in outputs:
            write_report([agreements], output, [truth])
        assert outputs[0].read_bytes() == outputs[1].read_bytes()
        assert outputs[0].read_text(encoding="utf-8") == render(STUDY, RUNS)

    def test_the_last_record_of_a_cell_counts_and_torn_lines_do_not(self, tmp_path):
        path = self.write(tmp_path / "embedded.jsonl", [cell(spearman=0.1), cell(spearman=0.9)])
        with path.open("a") as file:
            file.write('{"kind": "agreement", "task": "as')
        write_report([path], tmp_path / "RESULTS.md", [])
        rows = rows_under((tmp_path / "RESULTS.md").read_text(encoding="utf-8"), "## Synthetic speech")
        assert rows[1][:2] == ["logme", "0.90"]

    def test_no_agreement_leaves_the_old_report(self, tmp_path):
        output = tmp_path / "RESULTS.md"
        output.write_text("old")
        with pytest.raises(InputError, match=r"truth\.jsonl: no agreement to report"):
            write_report([self.write(tmp_path / "truth.jsonl", RUNS)], output, [])
        with pytest.raises(InputError, match="no such file of records"):
            write_report([tmp_path / "absent.jsonl"], output, [])
        assert output.read_text() == "old"


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"), [(0.125, "0.12"), (-0.004, "0.00"), (-0.5, "-0.50"), (1, "1.00"), (None, "–")]
    )
    def test_fixed(self, value, text):
        assert number(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1 / 360, "0.0028"),
            (1.0, "1.0"),
            (2 / 479001600, "4.2e-09"),
            (0.0999, "0.10"),
            (-1234567.0, "-1.2e+06"),
            (200.4, "200"),
            (0.0, "0"),
            (None, "–"),
        ],
    )
    def test_significant(self, value, text):
        assert significant(value) == text
