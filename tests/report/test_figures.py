"""The figures of RESULTS.md: what they choose to show, where marks lie, and that bytes do not vary."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from foretune import records
from foretune.report import figures, render, settings, write_report
from foretune.report.figures import palette
from foretune.report.figures.cost import cost, pareto
from foretune.report.figures.heat_map import heat_map
from foretune.report.figures.layer_curves import layer_curves
from foretune.report.figures.scatter import scatter
from foretune.tasks.errors import InputError

SVG = "{http://www.w3.org/2000/svg}"
PAGES = {"light": "#ffffff", "dark": "#0d1117"}
READABLE, VISIBLE = 4.5, 3.0
"""Least contrast of text and of marks (WCAG 2.2, success criteria 1.4.3 and 1.4.11)."""


def parsed(svg):
    return ElementTree.fromstring(svg)  # noqa: S314 (our own)


def marks(drawing):
    """Return (what it stands for, x, y, style) of every mark with a value, in the order of drawing."""
    root = parsed(drawing.svg)
    return [
        (use.find(f"{SVG}title").text, float(use.get("x")), float(use.get("y")), use.get("style", ""))
        for use in root.iter(f"{SVG}use")
        if use.find(f"{SVG}title") is not None
    ]


def contrast(colour, other):
    """Return the contrast of two colours, from 1 to 21, as WCAG 2.2 defines it."""

    def luminance(text):
        channels = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(colour), luminance(other)))
    return (high + 0.05) / (low + 0.05)


class TestChoice:
    def test_settings_hold_the_default_policy_only_embedded_first(self, study):
        found = settings.judged(study)
        assert [(key.suite, key.label) for key in found] == [
            ("embedded", "layers of hubert"),
            ("embedded", "models, full"),
            ("nEMO, real speech", "models, full"),
        ]
        layers, models, _ = found.values()
        assert models["logme"].spearman == 0.5
        assert list(layers) == ["held_out_evidence", "logme", "otce", "random"]

    def test_protocols_are_settings_of_their_own(self, layers):
        found = settings.judged([layers(), layers(protocol="single-layer", spearman=0.1)])
        assert [key.label for key in found] == ["layers of hubert", "layers of hubert, each alone"]

    def test_means_best_first(self, study):
        assert settings.mean_agreement(settings.judged(study[:-1])) == {
            "held_out_evidence": 0.75,
            "logme": 0.75,
            "random": -0.75,
        }

    def test_means_leave_out_what_few_estimators_were_judged_in(self, study, layers):
        few = layers(task="keyword_spotting", spearman=-1.0)
        found = settings.widely_judged(settings.judged([*study[:-1], few]))
        assert {key.task for key in found} == {"asr"}

    def test_leading_are_ours_the_papers_and_the_best_baseline(self, layers):
        names = {"knn": 0.9, "lda": 0.8, "random": 0.1, "depth": 0.2, "logme": -1.0, "held_out_evidence": 0.0}
        cells = [layers(name, spearman=rho) for name, rho in names.items()]
        failed = layers("sliced_wasserstein", status="failed")
        found = settings.leading(settings.judged([*cells, failed]))
        assert found == ["held_out_evidence", "logme", "depth", "knn"]

    def test_front_by_its_definition(self):
        generator = np.random.default_rng(0)
        points = {f"{i}": tuple(generator.integers(0, 6, 2).tolist()) for i in range(12)}
        front = {points[name] for name in pareto(points)}
        unbeaten = {
            (c, r) for c, r in points.values()
            if not any((c2 <= c and r2 > r) or (c2 < c and r2 >= r) for c2, r2 in points.values())
        }  # fmt: skip
        assert front == unbeaten
        assert len(pareto(points)) == len(unbeaten)


class TestHeatMap:
    def test_a_mark_a_value_blue_where_it_agrees(self, study):
        found = {text: (x, y, style) for text, x, y, style in marks(heat_map(study))}
        assert len(found) == 3 + 7  # means over the settings of most estimators, and cells with a ρ
        agrees = found["held_out_evidence, asr, models, full: ρ 1.00, p 0.33"]
        disagrees = found["random, asr, models, full: ρ -1.00, p 0.33"]
        red, _, blue = (int(agrees[2].partition("#")[2][i : i + 2], 16) for i in (0, 2, 4))
        assert blue > red
        red, _, blue = (int(disagrees[2].partition("#")[2][i : i + 2], 16) for i in (0, 2, 4))
        assert red > blue
        assert agrees[0] == disagrees[0]
        assert agrees[1] < disagrees[1]

    def test_estimators_without_a_score_are_named(self, study):
        assert ">otce<" in heat_map(study).svg

    def test_no_score_at_all(self, layers):
        assert marks(heat_map([layers(status="failed")])) == []


class TestCost:
    def test_cheap_to_the_left_agreeing_above(self, study):
        found = {text.partition(":")[0]: (x, y) for text, x, y, _ in marks(cost(study, "embedded"))}
        assert found["random"][0] < found["logme"][0] < found["held_out_evidence"][0]
        assert found["random"][1] > found["logme"][1] == found["held_out_evidence"][1]

    def test_says_mean_range_and_seconds(self, study):
        texts = [text for text, *_ in marks(cost(study, "embedded"))]
        assert "random: mean ρ -0.75 (-1.00 to -0.50 over settings), 0.0020 s" in texts

    def test_one_estimator_is_no_comparison(self, layers):
        assert cost([layers()], "embedded") is None

    def test_all_cost_the_same(self, layers):
        equal = [layers(name, score_seconds=300.0, spearman=rho) for name, rho in (("knn", 1), ("lda", 0))]
        assert len(marks(cost(equal, "embedded"))) == 2


class TestScatter:
    def test_marks_say_and_show_score_and_result(self, study):
        found = marks(scatter(study, "embedded", "asr"))
        assert len(found) == 3 * 6  # three estimators gave scores, in two settings of three candidates
        ours = {text: (x, y) for text, x, y, _ in found if text.startswith("layer") and "logme" in text}
        worst, best, middle = ours.values()
        assert list(ours)[1] == "layer 1: logme 0.3, WER 0.250 ± 0.020"
        assert list(ours)[2] == "layer 2: logme 0.2, WER 0.500"
        assert worst[0] < middle[0] < best[0]
        assert best[1] < middle[1] < worst[1]  # the lowest error at the top
        np.testing.assert_allclose((middle[0] - worst[0]) / (best[0] - worst[0]), 0.5, atol=0.01)
        np.testing.assert_allclose((worst[1] - middle[1]) / (worst[1] - best[1]), 0.4 / 0.65, atol=0.01)

    def test_higher_is_better_at_the_top_too(self, study):
        found = marks(scatter(study, "nEMO, real speech", "emotion_recognition"))
        assert [text.partition(":")[0] for text, *_ in sorted(found, key=lambda mark: mark[2])] == [
            "fbank",
            "hubert-untrained",
            "hubert",
        ]

    def test_an_untrained_twin_is_hollow_in_its_models_colour(self, study):
        styles = {
            text.partition(":")[0]: style
            for text, *_, style in marks(scatter(study, "nEMO, real speech", "emotion_recognition"))
        }
        trained = re.search(r"fill:(#\w{6})", styles["hubert"])[1]
        assert f"fill:{palette.PAPER}" in styles["hubert-untrained"]
        assert f"stroke:{trained}" in styles["hubert-untrained"]

    def test_candidates_without_a_score_are_left_out(self, models):
        found = marks(scatter([models(scores=[0.1, None, 0.2])], "embedded", "asr"))
        assert [text.partition(":")[0] for text, *_ in found] == ["fbank", "hubert-untrained"]

    def test_no_scores_no_figure(self, layers):
        assert scatter([layers(status="failed")], "embedded", "asr") is None

    def test_says_how_sure_the_agreement_is(self, layers):
        known = scatter([layers(low=0.2, high=1.0)], "embedded", "asr").svg
        assert ">ρ 1.00 [0.20, 1.00], p 0.33<" in known
        assert ">ρ 1.00, p 0.33<" in scatter([layers()], "embedded", "asr").svg

    def test_equal_values(self, layers):
        flat = layers(values=[0.5] * 3, deviations=[None] * 3, scores=[1.0] * 3)
        assert len({(x, y) for _, x, y, _ in marks(scatter([flat], "embedded", "asr"))}) == 1

    def test_parts_of_a_task_share_a_figure(self, layers):
        cells = [layers(task=f"multilingual_asr{part}", model="ctc") for part in ("", ":de", ":fr")]
        drawings = figures.draw(cells)
        assert [drawing.name for drawing in drawings] == [
            "heat_map",
            "scatter-embedded-multilingual_asr",
            "layer_curves-embedded-multilingual_asr",
        ]
        assert "de: layers of ctc" in drawings[1].alt


class TestLayerCurves:
    def test_truth_and_scores_over_layers(self, study):
        found = marks(layer_curves(study, "embedded", "asr"))
        texts = [text for text, *_ in found]
        assert texts[:3] == [
            "layer 0: WER 0.900 ± 0.010",
            "layer 1: WER 0.250 ± 0.020",
            "layer 2: WER 0.500",
        ]
        assert "layer 1: logme 0.3 (ρ 1.00)" in texts
        truth = [y for _, _, y, _ in found[:3]]
        assert truth[1] < truth[2] < truth[0]
        logme = [y for text, _, y, _ in found if "logme" in text]
        np.testing.assert_allclose((logme[0] - logme[2]) / (logme[0] - logme[1]), 0.5, atol=0.01)

    def test_known_errors_of_scores_give_a_band(self, layers):
        without = layer_curves([layers()], "embedded", "asr").svg
        bands = layer_curves([layers(score_errors=[0.01, 0.02, None])], "embedded", "asr").svg
        assert bands.count("opacity:0.18") == without.count("opacity:0.18") + 1

    def test_a_band_stays_within_its_panel_however_large_the_errors(self, layers):
        sizes = [
            layer_curves([layers(score_errors=[error] * 3)], "embedded", "asr").svg for error in (10, 1e6)
        ]
        assert sizes[0] == sizes[1]  # both fill the panel of scores from edge to edge

    def test_a_layer_without_a_score(self, layers):
        found = marks(layer_curves([layers(scores=[0.1, None, 0.2])], "embedded", "asr"))
        assert [text[:7] for text, *_ in found[3:]] == ["layer 0", "layer 2"]

    def test_models_have_none(self, models):
        assert layer_curves([models()], "embedded", "asr") is None


class TestFiles:
    def test_the_same_records_give_the_same_bytes_whatever_the_users_style(self, study):
        expected = [drawing.file(dark=dark) for drawing in figures.draw(study) for dark in (False, True)]
        with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
            drawn = figures.draw(study[::-1])
        assert [drawing.file(dark=dark) for drawing in drawn for dark in (False, True)] == expected

    def test_references_resolve_and_nothing_else_is_named(self, study):
        names = []
        for drawing in figures.draw(study):
            root = parsed(drawing.file())
            named = [element.get("id") for element in root.iter() if element.get("id")]
            referred = set(re.findall(r"#([\w-]*-\d+)", drawing.file()))
            assert set(named) == referred
            names += named
            assert re.findall(r"https?://[^\"]*", drawing.file()) == ["http://www.w3.org/2000/svg"]
        assert len(names) == len(set(names))  # so that they can stand on one page

    def test_dark_differs_in_colours_only(self, study):
        for drawing in figures.draw(study):
            light, dark = drawing.file(), drawing.file(dark=True)
            assert light != dark
            assert re.sub(r"#[0-9a-f]{6}", "", light) == re.sub(r"#[0-9a-f]{6}", "", dark)
            assert palette.INK not in dark

    def test_names_are_text_even_those_that_look_like_markup(self, layers):
        odd = "a$b_1$ <script>&amp;"
        drawings = figures.draw([layers(odd, model=odd), layers(model=odd)])
        for drawing in drawings:
            root = parsed(drawing.svg)
            assert not [element for element in root.iter() if "script" in element.tag]
        texts = [element.text for element in parsed(drawings[0].svg).iter(f"{SVG}text")]
        assert odd in texts

    def test_no_setting_of_the_default_policy(self, models):
        assert figures.draw([models(layer_policy="best")]) == []

    def test_written_for_light_pages_and_dark_ones_and_shown(self, study, tmp_path):
        path = tmp_path / "records.jsonl"
        for record in study:
            records.append(path, record)
        output, folder = tmp_path / "RESULTS.md", tmp_path / "some results" / "figures"
        write_report([path], output, [], figures=folder)
        text = output.read_text(encoding="utf-8")
        shown = re.findall(r'srcset="([^"]*)"><img alt="[^"]+" src="([^"]*)">', text)
        assert {name.replace("%20", " ") for pair in shown for name in pair} == {
            file.relative_to(tmp_path).as_posix() for file in folder.iterdir()
        }
        assert text.index("heat_map.svg") < text.index("cost-embedded.svg") < text.index("scatter-embedded")
        assert re.sub(r"<picture>.*</picture>\n\n", "", text) == render(study, [])
        dark = (folder / "cost-embedded-dark.svg").read_text(encoding="utf-8")
        assert dark == cost(study, "embedded").file(dark=True)

    def test_without_matplotlib(self, study, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(InputError, match="figures need matplotlib"):
            figures.draw(study)

    def test_the_command(self, study, tmp_path, run):
        path, output = tmp_path / "records.jsonl", tmp_path / "R.md"
        for record in study[:2]:
            records.append(path, record)
        assert run("report", "--records", path, "--output", output, "--no-figures")[0] == 0
        assert not (tmp_path / "results" / "figures").exists()
        assert (tmp_path / "results" / "tasks" / "asr.md").is_file()
        assert run("report", "--records", path, "--output", output)[0] == 0
        assert (tmp_path / "results" / "figures" / "heat_map.svg").is_file()


class TestPalette:
    @pytest.mark.parametrize("theme", PAGES)
    def test_contrast(self, theme):
        for light, (name, dark) in palette.ROLES.items():
            if name in ("paper", "grid"):
                continue
            least = READABLE if name in ("ink", "muted") else VISIBLE
            assert contrast(light if theme == "light" else dark, PAGES[theme]) >= least, name

    def test_every_colour_has_a_name_and_a_dark_one_of_its_own(self):
        names, dark = zip(*palette.ROLES.values(), strict=True)
        assert len(set(names)) == len(set(dark)) == len(palette.ROLES)

    def test_candidates_look_different(self):
        assert len({palette.look(index) for index in range(84)}) == 84
