"""Further seeds where the first ones disagree: which settings get them, and that a grid does so once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import made_up
import pytest

from foretune.records import read
from foretune.tasks import InputError
from foretune.tuning import Run, further_runs, plan, run_grid
from foretune.tuning.further import possible_runs

SURE = [[0.1, 0.11, 0.1], [0.2, 0.2, 0.21], [0.3, 0.31, 0.3]]
UNSURE = [[0.1, 0.1, 0.1], [0.2, 0.2, 0.3], [0.3, 0.3, 0.2]]


def run(model="hubert", layer=0, seed=0, value=0.5, **changes):
    return made_up.tuning(model=model, layer=layer, seed=seed, value=value, **changes)


def layers(table, model="hubert", **changes):
    """Return the records of a model's layers, by layer and seed."""
    return [
        run(model, layer, seed, value, **changes)
        for layer, values in enumerate(table)
        for seed, value in enumerate(values)
    ]


def of_layers(model, count, seeds=(3, 4), protocol="layer"):
    return [Run("asr", model, protocol, layer, seed) for seed in seeds for layer in range(count)]


class TestWhichRuns:
    def test_settings_whose_seeds_disagree_get_all_further_ones(self):
        records = [*layers(UNSURE), *layers(SURE, "ctc")]
        assert further_runs(records) == of_layers("hubert", 3)
        assert further_runs(records, max_seeds=4) == of_layers("hubert", 3, seeds=(3,))
        assert further_runs(layers(SURE)) == further_runs([]) == []

    def test_each_protocol_is_a_setting(self):
        records = [*layers(SURE), *layers(UNSURE, protocol="single-layer")]
        assert further_runs(records) == of_layers("hubert", 3, protocol="single-layer")

    def test_models_at_their_tops_are_a_setting_and_share_runs_with_layers(self):
        models = [
            record
            for name, values in zip(("a", "b", "c"), UNSURE, strict=True)
            for record in layers([[0.9, 0.9, 0.91], [0.8, 0.8, 0.81], values], name)
        ]
        assert further_runs(models) == [
            Run("asr", name, "layer", 2, seed) for seed in (3, 4) for name in ("a", "b", "c")
        ]
        # the layers of `a` disagree too: its top is asked for once
        more = [record for record in models if record.model != "a"] + layers(UNSURE, "a")
        found = further_runs(more)
        assert len(found) == len(set(found))
        assert {(each.model, each.layer) for each in found} >= {("a", 0), ("a", 1), ("a", 2), ("b", 2)}

    def test_what_is_recorded_is_not_asked_for_and_changes_no_choice(self):
        done = [
            run(layer=0, seed=3, value=9.0),
            run(layer=1, seed=4, value=None, status="failed", error="no"),
        ]
        left = [each for each in of_layers("hubert", 3) if (each.layer, each.seed) not in ((0, 3), (1, 4))]
        assert further_runs([*layers(UNSURE), *done]) == left
        assert further_runs([*layers(SURE), *layers(UNSURE)[:0], run(layer=0, seed=3, value=9.0)]) == []

    def test_a_setting_waits_for_all_its_first_seeds(self):
        assert further_runs(layers(UNSURE)[:-1]) == []
        failed = run(layer=2, seed=2, value=None, status="failed", error="no")
        # a failed run is settled; the seeds that all candidates have agree, but these lie near to each other
        close = [[0.1, 0.14, 0.12], [0.2, 0.16, 0.2], [0.22, 0.2, 0.2]]
        assert further_runs([*layers(close)[:-1], failed]) == of_layers("hubert", 3)

    def test_a_candidate_that_always_failed_is_none(self):
        failed = [run(layer=3, seed=seed, value=None, status="failed", error="no") for seed in range(3)]
        assert further_runs([*layers(UNSURE), *failed]) == of_layers("hubert", 3)
        assert further_runs([*layers(UNSURE[:2]), *failed]) == []  # two candidates are no ranking

    def test_old_data_and_old_weights_do_not_count(self):
        for old in ({"data_revision": "old"}, {"model_revision": "old"}):
            assert further_runs([*layers(UNSURE, **old), *layers(SURE)]) == []
            assert further_runs([*layers(SURE, **old), *layers(UNSURE)]) == of_layers("hubert", 3)

    def test_mixed_settings_are_refused(self):
        mixed = [*layers(UNSURE), *layers(SURE, settings={"steps": 5})]
        with pytest.raises(InputError, match=r"asr, layers of hubert: runs with different settings"):
            further_runs(mixed)

    @pytest.mark.parametrize(
        ("seeds", "most", "message"), [(1, 5, "one seed cannot"), (3, 3, "more than the 3")]
    )
    def test_seeds_that_cannot_be(self, seeds, most, message):
        with pytest.raises(InputError, match=message):
            further_runs([], seeds=seeds, max_seeds=most)

    def test_the_most_that_there_can_be(self):
        grid = [Run("asr", "a", "layer", layer, seed) for seed in range(2) for layer in range(3)]
        lone = [Run("asr", "b", "layer", 1, seed) for seed in range(2)]
        assert possible_runs([*grid, *lone], 4) == of_layers("a", 3, seeds=(2, 3))


def value(task, model, layer, seed):
    """On toys of four layers, seed 2 swaps two on one of the tasks."""
    order = [0, 3, 2, 1] if seed == 2 and task == "asr" else [0, 1, 2, 3]
    return 0.1 * order[layer] + 0.001 * (seed == 1)


class TestGrid:
    RUNS = ("asr", "emotion_recognition")

    def grid(self, path, sets, **options):
        runs = plan(self.RUNS, ["toy"])
        return run_grid(runs, records=path, data=sets, progress=False, max_seeds=5, **options)

    def test_first_seeds_and_then_further_ones(self, load, pretend, sets, tmp_path):
        runs, said = pretend(value), []
        records = self.grid(tmp_path / "r.jsonl", sets, report=said.append)
        first = [(task, "toy", layer, seed) for seed in range(3) for task in self.RUNS for layer in range(4)]
        further = [("asr", "toy", layer, seed) for seed in (3, 4) for layer in range(4)]
        assert runs == [*first, *further]
        assert [(each.task, each.model, each.layer, each.seed) for each in records] == runs
        assert said == [
            "seeds disagree: asr, layers of toy: spread 2.9 deviations, split-half 0.72",
            "3 seeds disagree in 1 of 2 settings: 8 runs with further seeds",
        ]
        assert not (tmp_path / "r.jsonl.claims").exists()

    @pytest.mark.parametrize("after", [5, 24, 27])
    def test_an_interrupted_grid_ends_with_the_same_runs(self, load, pretend, sets, tmp_path, after):
        pretend(value)
        whole = {each.key for each in self.grid(tmp_path / "whole.jsonl", sets)}

        def interrupted(*run):
            if len(runs) > after:
                raise KeyboardInterrupt
            return value(*run)

        runs = pretend(interrupted)
        with pytest.raises(KeyboardInterrupt):
            self.grid(tmp_path / "r.jsonl", sets)
        assert len(read(tmp_path / "r.jsonl")) == after
        runs = pretend(value)
        assert {each.key for each in self.grid(tmp_path / "r.jsonl", sets)} == whole
        assert len(runs) == len(whole) - after
        assert {each.key for each in read(tmp_path / "r.jsonl")} == whole

    def test_failures_of_the_first_seeds_are_retried_once(self, load, pretend, sets, tmp_path):
        def failing(task, model, layer, seed):
            if (task, layer, seed) == ("emotion_recognition", 1, 0):
                raise FloatingPointError("the loss is nan")
            return value(task, model, layer, seed)

        pretend(failing)
        self.grid(tmp_path / "r.jsonl", sets)
        runs = pretend(failing)
        self.grid(tmp_path / "r.jsonl", sets, retry_failed=True)
        assert runs == [("emotion_recognition", "toy", 1, 0)]

    def test_no_further_seeds_where_time_is_up(self, load, pretend, sets, tmp_path):
        pretend(value)
        assert self.grid(tmp_path / "r.jsonl", sets, seconds=0) == []

    def test_without_being_asked_there_are_none(self, load, pretend, sets, tmp_path):
        runs = pretend(value)
        run_grid(plan(self.RUNS, ["toy"]), records=tmp_path / "r.jsonl", data=sets, progress=False)
        assert {seed for *_, seed in runs} == {0, 1, 2}

    def test_one_seed_is_refused_before_anything_runs(self, load, pretend, sets, tmp_path):
        runs = pretend(value)
        with pytest.raises(InputError, match="one seed cannot disagree"):
            run_grid(plan(["asr"], ["toy"], seeds=1), records=tmp_path / "r", data=sets, max_seeds=5)
        assert runs == []

    def test_two_workers_share_the_further_seeds(self, load, pretend, sets, tmp_path):
        def slow(*run):
            time.sleep(0.01)  # so that both have their turn
            return value(*run)

        runs = pretend(slow)
        with ThreadPoolExecutor(2) as pool:
            grids = [pool.submit(self.grid, tmp_path / "r.jsonl", sets) for _ in range(2)]
            one, other = (grid.result() for grid in grids)
        assert [each.key for each in one] == [each.key for each in other]
        assert len(runs) == len(set(runs)) == len(one) == 32
        assert sorted(each.key for each in read(tmp_path / "r.jsonl")) == sorted(each.key for each in one)
