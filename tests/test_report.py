"""RESULTS.md from small records made up for these tests: tables, wording."""

from __future__ import annotations

import numpy as np
from made_up_study import PROVENANCE, RUNS, STUDY, SUMMARY, cell, models, of_task, rows_under

from foretune.agreement import candidate_interval, mean_interval
from foretune.report import render


class TestRender:
    def test_summary_averages_the_default_cells_best_first(self):
        assert rows_under(render(STUDY, RUNS), SUMMARY) == [
            ["estimator", "asr", "mean ρ", "p < 0.01", "regret", "cost ratio"],
            ["logme", "0.75", "0.75", "1 of 2", "0 %", "–"],
            # significant, but the wrong way round
            ["*random*", "-0.75", "-0.75", "0 of 2", "0 %", "–"],
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
        rows = rows_under(render(found, []), SUMMARY)
        assert rows[0][1:4] == ["asr", "emotion_recognition", "mean ρ"]
        low, high = mean_interval([0.5, 0.75], [9, 9])
        assert rows[1][1] == f"0.62 [{low:.2f}, {high:.2f}]"
        # without an interval of each setting there is none of the mean
        assert rows[1][2:6] == ["0.25", "0.50", "1 of 3", "7 %"]

    def test_one_sentence_says_what_came_of_it(self):
        text = render([cell(spearman=0.5, low=0.2, high=0.8, ceiling=0.9), models(ceiling=0.8)], [])
        after = text[text.index("logme agrees best with fine-tuning") :]
        short = after[: after.index("\n")]
        assert "keep a perfect estimator to 0.85" in short
        assert "over 2 settings, each counted once" in short
        assert text.index("## Synthetic speech") < text.index(short) < text.index("### ")
        assert text.index(short) < text.index("### Which estimator") < text.index(SUMMARY)

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
            rows = rows_under(of_task([cell(**values, **fields)]), "### asr: layers of hubert")
            assert rows[1][:4] == ["logme", "0.80", f"[{low:.2f}, {high:.2f}]", "1.00"]
        rows = rows_under(of_task([cell(**values)]), "### asr: layers of hubert")
        assert rows[1][:4] == ["logme", "0.80", "–", "–"]

    def test_every_setting_counts_once_and_is_named_by_its_kind(self):
        found = [
            cell(spearman=1.0),
            cell(protocol="single-layer", spearman=-1.0),
            models(spearman=0.5),
            models(protocol="probe", layer_policy="best", spearman=0.25),
            models(protocol="probe", layer_policy="last", spearman=-0.25),
            models(estimator="knn", protocol="probe", layer_policy="last", spearman=0.125),
        ]
        text = render(found, [])
        summed = {row[0]: row for row in rows_under(text, SUMMARY)[1:]}
        assert summed["logme"][2] == "0.19"  # (1 - 1 + 0.5 + 0.25) / 4
        assert summed["knn"][2] == "0.12"  # which needs samples: of the last layer
        kinds = rows_under(text, "### By kind of setting")
        assert kinds[0][1:] == [
            "layers (1)", "layers, each alone (1)", "models, full (1)", "models, probed (1)"
        ]  # fmt: skip
        by_name = {row[0]: row[1:] for row in kinds[1:]}
        assert by_name["logme"] == ["1.00", "-1.00", "0.50", "0.25"]
        assert by_name["knn"] == ["–", "–", "–", "0.12"]
        assert (
            "in 4 settings: 1 of layers; 1 of layers, each alone; 1 of models, full; 1 of models, probed"
            in text
        )
        headings = [line for line in text.splitlines() if line.startswith("#### asr")]
        assert headings == [
            "#### asr: layers of hubert",
            "#### asr: layers of hubert, each alone",
            "#### asr: models, full",
            "#### asr: models, probed",
        ]
        assert [row[1] for row in rows_under(text, headings[1] + "\n")[1:]] == ["-1.00"]
        assert [row[:2] for row in rows_under(text, headings[3])[1:]] == [["logme", "0.25"], ["knn", "0.12"]]
        whole = of_task(found)
        for heading in headings:
            assert f"\n{heading[1:]}\n" in whole

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
        assert "| a, layers of hubert | 0.75 | 0.50 |" in text
        assert "| b, layers of hubert | 0.25 | 0.50 |" in text
        assert "| a, models, full | 0.50 | 0.50 |" in text
        assert "held_out_evidence against ridge" not in text

    def test_the_estimator_for_each_task_how_sure_and_at_what_cost(self):
        names = [str(number) for number in range(6)]
        truth = {"names": names, "candidates": 6, "values": [0.6, 0.5, 0.4, 0.3, 0.2, 0.1],
                 "deviations": [None] * 6, "low": 0.2, "high": 1.0}  # fmt: skip
        rising, falling = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
        found = [
            cell(estimator=name, task=task, scores=scores, spearman=rho, score_seconds=seconds, **truth)
            for task in ("asr", "emotion_recognition")
            for name, scores, rho, seconds in (
                ("knn", rising, 1.0, 4.0),
                ("logme", falling, -1.0, 2.0),
                ("depth", falling, -1.0, 0.1),
            )
        ]
        text = render(found, [])
        head, *rows = rows_under(text, "### Which estimator for which task?")
        assert [row[0] for row in rows] == ["asr", "emotion_recognition", "**all tasks**"]
        row = dict(zip(head, rows[0], strict=True))
        assert row["use"] == "**knn**"
        assert row["mean ρ"].startswith("1.00 [")
        assert row["next"] == "logme -1.00"  # a baseline is no answer
        # swapping all or none of six is as extreme: 2 of 64, and twice that for two comparisons
        assert row["above LogME"] == "+2.00: surely better in 0, worse in 0 of 1; p 1.0"
        assert dict(zip(head, rows[2], strict=True))["above LogME"].endswith("of 2; p 1.0")
        assert row["regret"] == "0 %"
        assert row["seconds"] == "4.0"
        assert row["cost ratio"] == "–"

    def test_a_setting_is_shown_in_short_and_in_full_on_its_page(self):
        names = ["logme", "held_out_evidence", "sliced_wasserstein", *"abcdefg", "random", "depth"]
        found = [cell(estimator=name, spearman=1 - 0.1 * place) for place, name in enumerate(names)]
        short = [row[0] for row in rows_under(render(found, []), "#### asr: layers of hubert")[1:]]
        assert short == ["logme", "held_out_evidence", "sliced_wasserstein", "*random*"]
        assert len(rows_under(of_task(found), "### asr: layers of hubert")) == len(names) + 1

    def test_layers(self):
        rows = rows_under(of_task(STUDY), "### asr: layers of hubert")
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
        text = of_task([found, cell(estimator="random", ceiling=0.876, split_half=0.8)])
        rows = rows_under(text, "### asr: layers of hubert")
        assert rows[1][2:6] == ["[0.10, 0.90]", "0.88", "[0.50, 1.00]", "[-0.50, 1.00]"]
        assert "Knowing the true values would give ρ = 0.88." in text
        assert "Seeds agree with seeds by 0.80; knowing" in of_task([cell(ceiling=0.9, split_half=0.8)])
        assert "With one seed nothing is known of the noise." in of_task([cell()])

    def test_different_numbers_of_seeds(self):
        assert "3 candidates, fine-tuned with 3 seeds each;" in of_task([cell()])
        found = cell(seeds_each=[3, 5, 3])
        assert "3 candidates, fine-tuned with 3 to 5 seeds each;" in of_task([found])
        assert "at least 11 fine-tuning runs: 11 layers of hubert for asr." in render([found], [])

    def test_other_statistics(self):
        found = cell(
            held_fixed="depth", partial_spearman=0.25, partial_p_value=0.04, pearson=0.5, top_3_recall=2 / 3
        )
        rows = rows_under(of_task([found]), "What else the scores tell")
        assert rows[0][:7] == ["estimator", "ρ given depth", "p", "r", "τ", "τ_w", "recall@3"]
        assert rows[1][1:7] == ["0.25", "0.040", "0.50", "1.00", "1.00", "0.67"]
        assert rows[1][7:] == ["0.000", "0.000", "1.5", "none"]
        assert "ρ given" not in rows_under(of_task([cell()]), "What else the scores tell")[0][1]

    def test_ranking_beside_the_ground_truth_the_lowest_error_first(self):
        text = of_task(STUDY)
        after = text[text.index("### asr: layers of hubert") :]
        assert rows_under(after, "Fine-tuning, and the rank") == [
            ["layer", "WER", "rank", "logme", "random", "sliced_wasserstein"],
            ["layer 1", "0.250 ± 0.021", "1", "1", "3", "–"],
            ["layer 2", "0.500", "2", "2", "1", "–"],
            ["layer 0", "0.900 ± 0.010", "3", "3", "2", "–"],
        ]

    def test_ties_share_their_mean_rank(self):
        rows = rows_under(of_task([cell(scores=[0.2, 0.2, 0.1])]), "Fine-tuning, and the rank")
        assert [(row[0], row[3]) for row in rows[1:]] == [
            ("layer 1", "1.5"),
            ("layer 2", "3"),
            ("layer 0", "1.5"),
        ]

    def test_models_and_gates(self):
        text = of_task(STUDY)
        assert "p, smooth" not in rows_under(text, "### asr: models, full")[0]
        rows = rows_under(text[text.index("### asr: models, full") :], "What else the scores tell")
        assert rows[1][-1] == "ρ ≥ 0.4, p ≤ 0.05: held"
        assert rows[2][-1] == "ρ ≥ 0.9: **broken**"

    def test_models_that_were_probed_stand_apart(self):
        probed = [
            models(protocol="probe", layer_policy="last", spearman=-0.61),
            models(protocol="probe", layer_policy="best", spearman=-0.62),
        ]
        whole, _, part = of_task([*STUDY, *probed]).partition("### asr: models, probed")
        assert "-0.62" in part.partition("###")[0]
        assert "-0.61" in part.partition("###")[0].partition("ρ by how")[2]
        assert "-0.61" not in whole
        assert "-0.62" not in whole

    def test_layer_policies(self):
        rows = rows_under(of_task(STUDY), "ρ by how a model's score")
        assert rows == [
            ["estimator", "last layer", "best layer", "mean layers"],
            ["logme", "0.50", "0.00", "1.00"],
            ["*random*", "-1.00", "–", "–"],
        ]

    def test_failures_and_reasons_are_said(self):
        text = of_task(STUDY)
        assert "- sliced_wasserstein: no score: needs source features\n" in text
        assert "- sliced_wasserstein: no source speech here\n" in text
        assert "- logme: few models\n" in text

    def test_says_what_was_measured_on_what(self):
        text = render(STUDY, RUNS)
        first_screen = text[: text.index("### Which estimator")]
        assert "**synthetic**" in first_screen
        assert "espeak-ng" in first_screen
        assert "cannot show" in first_screen
        # the older data's run and the failed one are not behind these numbers
        assert "The ground truth is 2 fine-tuning runs, 1.0 hours on cpu (Linux x86_64)." in first_screen
        assert "3 estimators on asr, in 2 settings: 1 of layers; 1 of models, full." in first_screen
        assert "Models: fbank, hubert, speaker. Layers of: hubert." in first_screen

    def test_real_speech_has_its_own_section(self):
        real = [models(suite="local", task="emotion_recognition", metric="uar", direction="higher")]
        text = render([*STUDY, *real], RUNS)
        assert (
            text.index("## Synthetic speech")
            < text.index("## Real speech")
            < text.index("## Where the numbers")
        )
        assert rows_under(text[text.index("## Real speech") :], SUMMARY)[1][:2] == ["logme", "1.00"]
        assert text.count("How to read this") == 1
        ranked = rows_under(of_task(real, "emotion_recognition"), "Fine-tuning, and the rank")
        assert [row[0] for row in ranked[1:]] == ["fbank", "speaker", "hubert"]  # the highest first

    def test_real_speech_by_both_protocols_with_dates_and_runs(self):
        day = [PROVENANCE.model_copy(update={"started": f"2026-01-0{day}T00:00:00+00:00"}) for day in (2, 9)]
        real = {"suite": "nEMO, real speech", "task": "emotion_recognition", "metric": "uar"}
        found = [
            models(**real, provenance=day[0], spearman=0.5),
            models(**real, provenance=day[1], protocol="probe", layer_policy="best", spearman=1.0, seeds=2),
        ]
        text = render([*STUDY, *found], RUNS)
        own = text[text.index("## Real speech: nEMO, real speech") : text.index("## Where the numbers")]
        assert "2026-01-02 to 2026-01-09" in own
        # three candidates with three seeds, and with two
        runs = "at least 15 fine-tuning runs: 9 models, full for emotion_recognition; 6 models, probed for"
        assert runs in own
        assert rows_under(own, "#### emotion_recognition: models, full")[1][:2] == ["logme", "0.50"]
        assert rows_under(own, "#### emotion_recognition: models, probed")[1][:2] == ["logme", "1.00"]
        assert rows_under(own, "### By kind of setting")[1] == ["logme", "0.50", "1.00"]

    def test_a_monte_carlo_p_shows_its_error(self):
        found = [cell(p_value=0.021, p_value_error=0.0004)]
        assert rows_under(of_task(found), "### asr: layers of hubert")[1][6] == "0.021 ± 0.0004"
        assert rows_under(render(found, []), "#### asr: layers of hubert")[1][3] == "0.021 ± 0.0004"

    def test_the_order_of_records_changes_nothing(self):
        text = render(STUDY, RUNS)
        for seed in range(5):
            shuffled = [STUDY[i] for i in np.random.default_rng(seed).permutation(len(STUDY))]
            assert render(shuffled, RUNS[::-1]) == text
