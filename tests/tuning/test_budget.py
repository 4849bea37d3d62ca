"""What a grid will cost, and what of it fits into a budget."""

from __future__ import annotations

import dataclasses

import pytest

from foretune.records import append
from foretune.tasks import InputError
from foretune.tuning import Run, Settings, costs, fine_tune, settings, worker
from foretune.tuning.budget import duration, fit, seconds_of
from foretune.tuning.costs import Estimate, Pace, Timing, estimate
from foretune.tuning.worker import Worker

BRIEF = Settings(steps=2, head_steps=2, batch_size=4, head_batch_size=4)


def grid(models=("toy",), layers=(0, 1, 2, 3), seeds=2, task="asr"):
    return [
        Run(task, model, "layer", layer, seed)
        for seed in range(seeds)
        for model in models
        for layer in layers
    ]


def known(runs, **seconds):
    """Return an estimate of so many seconds a run, by model."""
    return Estimate({run: seconds.get(run.model, 10.0) for run in runs})


class TestFit:
    def test_what_fits_is_left_alone(self):
        runs = grid()
        assert fit(runs, known(runs), 80) == (runs, [])

    def test_the_highest_seeds_go_first(self):
        runs = grid(seeds=3)
        kept, left_out = fit(runs, known(runs), 79)
        assert kept == [run for run in runs if run.seed == 0]
        assert left_out == ["seed 2", "seed 1"]

    def test_then_every_other_layer_goes_from_the_top_down(self):
        runs = grid(seeds=1, layers=range(6))
        kept, left_out = fit(runs, known(runs), 59)
        assert [run.layer for run in kept] == [1, 3, 5]
        assert left_out == ["layers 0, 2, 4 of toy on asr"]
        kept, left_out = fit(runs, known(runs), 29)
        assert [run.layer for run in kept] == [1, 5]
        kept, left_out = fit(runs, known(runs), 10)
        assert [run.layer for run in kept] == [5]
        assert left_out == ["layers 0, 1, 2, 3, 4 of toy on asr"]

    def test_then_the_dearest_models_go(self):
        runs = grid(models=("cheap", "dear", "middling"), layers=(4,), seeds=1)
        costs_of = known(runs, cheap=1.0, middling=5.0, dear=20.0)
        kept, left_out = fit(runs, costs_of, 7)
        assert [run.model for run in kept] == ["cheap", "middling"]
        assert left_out == ["dear on asr"]

    def test_not_even_one_run(self):
        runs = grid()
        with pytest.raises(InputError, match=r"a budget of 5 s: one run alone takes about 10 s; give that"):
            fit(runs, known(runs), 5)

    def test_workers_share_the_time(self):
        runs = grid()
        assert fit(runs, known(runs), 40, workers=2) == (runs, [])

    def test_what_runs_share_counts_once_and_only_where_it_is_needed(self):
        runs = grid(models=("toy", "other"), layers=(3,), seeds=2)
        costs_of = known(runs)
        costs_of.shared = {("asr", "toy"): 7.0, ("asr", "other"): 100.0}
        assert costs_of.seconds(runs) == 4 * 10 + 107
        assert fit(runs, costs_of, 17)[0] == [runs[0]]


class TestPace:
    def test_a_run_by_hand(self, tones):  # 48 training and 24 test utterances
        pace = Pace(head_update=0.1, update=1.0, rest=6.0)
        assert pace.run(Settings(steps=10, head_steps=20), tones) == pytest.approx(2 + 10 + 6)
        choice = Settings(
            steps=10, head_steps=20, validation=0.15, learning_rates=(1e-3, 1e-2), evaluations=5
        )
        # two last stages, and ten times a tenth of all utterances evaluated
        assert pace.run(choice, tones) == pytest.approx(2 + 20 + 6 + 6)


class TestEstimate:
    @pytest.fixture
    def mine(self, make_toy, spelled, monkeypatch, tmp_path):
        monkeypatch.setattr(worker, "load_candidate", lambda name, device: make_toy())
        monkeypatch.setattr(settings, "DEFAULTS", {"utterance": BRIEF, "sequence": BRIEF})
        return Worker(tmp_path / "records.jsonl", {"asr": spelled}, "cpu")

    def record(self, mine, layer, seconds, **changes):
        made = fine_tune(mine.candidate("toy"), costs.get_task("asr"), mine.data["asr"], layer=layer)
        provenance = made.provenance.model_copy(update={"threads": 1})
        values = {"wall_seconds": seconds, "provenance": provenance, "seed": 7}
        append(mine.records, made.model_copy(update=values | changes))

    def test_recorded_runs_tell_their_layers_and_those_between(self, mine):
        self.record(mine, 0, 4.0)
        self.record(mine, 0, 6.0, seed=8)
        self.record(mine, 2, 9.0)
        self.record(mine, 3, 20.0, protocol="full")
        found = estimate(grid(seeds=1), mine, 1)
        assert [found.runs[run] for run in grid(seeds=1)] == [5.0, 7.0, 9.0, 20.0]
        assert (found.recorded, found.shared) == (4, {})

    def test_runs_with_other_threads_settings_or_protocols_do_not_tell(self, mine):
        self.record(mine, 3, 1e6, settings={"steps": 7.0})
        self.record(mine, 3, 1e6, protocol="single-layer")
        self.record(mine, 3, 1e6, status="failed", value=None)
        found = estimate(grid(seeds=1, layers=(3,)), mine, 1)
        assert found.recorded == 0
        assert 0 < found.seconds(grid(seeds=1, layers=(3,))) < 1e5
        self.record(mine, 3, 1e6)
        assert estimate(grid(seeds=1, layers=(3,)), mine, 2).recorded == 0

    def test_what_is_unknown_is_timed_at_both_ends(self, mine, monkeypatch):
        timed = []

        def pace(self, layer):
            timed.append(layer)
            # the first run computes what is shared
            before = 3.5 if len(timed) == 1 else 1.5
            return Timing(head_update=0.5, update=1.0 + layer, before=before, after=0.5)

        monkeypatch.setattr(costs.Stopwatch, "_time", pace)
        said = []
        found = estimate(grid(seeds=2), mine, 1, said.append)
        assert timed == [3, 0, 3]
        assert said == ["timing a few updates: asr, toy, layer"]
        # all 72 utterances are in the sample: two updates of the head, two more, and the rest
        assert [found.runs[run] for run in grid()] == 2 * [1 + 2 * (1 + layer) + 2 for layer in range(4)]
        assert found.shared == {("asr", "toy"): 2.0}

    def test_what_utterances_cost_is_stretched_to_all_of_them(self, mine, monkeypatch):
        # 12 of 48 and 12 of 24: an utterance takes 0.1 s, so of the 2 s before, 0.8 s are fixed
        monkeypatch.setattr(costs.Stopwatch, "_time", lambda self, layer: Timing(0.0, 0.0, 2.0, 1.2))
        monkeypatch.setattr(costs, "_SAMPLED", 12)
        found = estimate(grid(seeds=1, layers=(3,)), mine, 1)
        assert found.seconds(grid(seeds=1, layers=(3,))) == pytest.approx(0.8 + 72 * 0.1)

    def test_a_sample_has_two_classes(self, emotion, tones, monkeypatch):
        monkeypatch.setattr(costs, "_SAMPLED", 3)
        alike = [each for each in tones.train if each.emotion == "a"]
        other = next(each for each in tones.train if each.emotion == "b")
        assert {each.emotion for each in costs._sample([*alike, other], emotion)} == {"a", "b"}

    def test_records_are_left_alone(self, mine):
        estimate(grid(seeds=1), mine, 1)
        assert not mine.records.exists()


class TestWords:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("10m", 600), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800), ("1h 5s", 3605)]
    )
    def test_times_are_read(self, text, seconds):
        assert seconds_of(text) == seconds

    @pytest.mark.parametrize("text", ["10", "m", "10 minutes", "-5m", "", "10m!"])
    def test_other_texts_are_refused(self, text):
        with pytest.raises(InputError, match="give a time such as 10m, 90s or 1h30m"):
            seconds_of(text)

    def test_nothing_is_no_budget(self):
        with pytest.raises(InputError, match="--budget 0m: give more than nothing"):
            seconds_of("0m")

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.2, "1 s"),
            (89, "89 s"),
            (119, "119 s"),
            (121, "2 min"),
            (3600, "1 h"),
            (3661, "1 h 1 min"),
            (90_000, "25 h"),
        ],
    )
    def test_durations_are_said(self, seconds, text):
        assert duration(seconds) == text


def test_steps_are_part_of_what_is_timed(make_toy, spelled):
    watch = costs.Stopwatch(
        make_toy(), costs.get_task("asr"), spelled, "layer", dataclasses.replace(BRIEF, batch_size=2)
    )
    assert (watch.settings.batch_size, watch.settings.steps) == (2, 4)
    assert set(watch.paces([1, 2, 3])) == {1, 3}
