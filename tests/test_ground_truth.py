"""The ground truth: averaged over seeds, matched by revision, never silently stale."""

from __future__ import annotations

import made_up
import pytest

from foretune import records
from foretune.ground_truth import GroundTruth, Outcome, shares_beaten, shipped
from foretune.tasks.errors import InputError

NOW = {"data_revision": "data", "model_revision": "weights"}


def run(layer=0, seed=0, value=0.5, **changes):
    values = {
        "data_revision": "data",
        "model_revision": "weights",
        "layer": layer,
        "seed": seed,
        "value": value,
        "metrics": {},
        "parameters_trained": 1,
        "train_utterances": 1,
        "test_utterances": 1,
        "wall_seconds": 10.0 + seed,
        "cpu_seconds": 1.0,
        "peak_memory_bytes": 0,
    }
    return made_up.tuning(**(values | changes))


class TestOutcomes:
    def test_mean_and_deviation_over_seeds(self):
        runs = [run(layer, seed, value) for layer in (1, 0) for seed, value in enumerate((0.2, 0.4, 0.6))]
        layers = GroundTruth("asr", runs).layers("hubert", **NOW)
        assert list(layers) == [0, 1]
        assert layers[1] == Outcome(
            value=pytest.approx(0.4), deviation=pytest.approx(0.2), seeds=3, wall_seconds=11.0
        )

    def test_one_seed_has_no_deviation(self):
        assert GroundTruth("asr", [run()]).layers("hubert", **NOW)[0].deviation is None

    def test_the_whole_encoder_is_its_last_layer(self):
        runs = [
            run(layer=0, value=0.9),
            run(layer=4, value=0.3),
            run(layer=2, value=0.7, protocol="full", model="b"),
        ]
        truth = GroundTruth("asr", runs)
        assert truth.full("hubert", 4, **NOW).value == 0.3
        assert truth.full("b", 2, **NOW).value == 0.7

    def test_a_seed_counts_once_however_its_run_is_told(self):
        runs = [run(seed=0, value=0.2), run(seed=0, value=0.2, protocol="full"), run(seed=1, value=0.6)]
        outcome = GroundTruth("asr", runs).full("hubert", 0, **NOW)
        assert (outcome.seeds, outcome.value) == (2, pytest.approx(0.4))

    def test_other_tasks_models_and_protocols_do_not_count(self):
        others = [run(value=1.0, task="speaker_identification"), run(value=1.0, model="fbank")]
        others.append(run(value=1.0, protocol="probe"))
        assert GroundTruth("asr", [run(), *others]).layers("hubert", **NOW)[0].value == 0.5

    def test_another_metric_than_when_the_runs_were_made(self):
        runs = [run(0, metrics={"wer": 0.5, "cer": 0.2}), run(1, metrics={"wer": 0.4})]
        truth = GroundTruth("asr", runs, metric="cer")
        assert truth.layers("hubert", **NOW)[0].value == 0.2
        assert [kept.layer for kept in truth.runs] == [0]

    def test_models_and_those_with_a_ranking_of_layers(self):
        runs = [*(run(layer) for layer in range(3)), *(run(layer, model="ctc") for layer in (0, 1))]
        truth = GroundTruth("asr", [*runs, run(model="fbank")])
        assert truth.models() == ["ctc", "fbank", "hubert"]
        assert truth.layered_models() == ["hubert"]

    def test_read_takes_the_last_of_repeated_runs(self, tmp_path):
        path = tmp_path / "truth.jsonl"
        for record in (run(value=0.9), run(value=0.1), run(seed=1, status="failed", value=None)):
            records.append(path, record)
        assert GroundTruth.read("asr", [path]).layers("hubert", **NOW)[0] == Outcome(0.1, None, 1, 10.0)


class TestStale:
    def test_other_data_or_weights_beside_current_ones_are_ignored(self):
        runs = [run(value=0.1), run(value=0.9, data_revision="old"), run(value=0.9, model_revision="old")]
        assert GroundTruth("asr", runs).layers("hubert", **NOW)[0].value == 0.1

    @pytest.mark.parametrize("changed", ["data_revision", "model_revision"])
    def test_only_older_ones_are_an_error(self, changed):
        runs = [run(0), run(1, **{changed: "older"})]  # one layer was done again, the other was not
        message = r"asr: hubert, layer 1: the ground truth is stale .*older.* add --fine-tune missing"
        with pytest.raises(InputError, match=message):
            GroundTruth("asr", runs).layers("hubert", **NOW)

    def test_never_fine_tuned(self):
        with pytest.raises(InputError, match="hubert, layer 4: never fine-tuned; add --fine-tune missing"):
            GroundTruth("asr", [run(0)]).full("hubert", 4, **NOW)


class TestProtocols:
    RUNS = (
        *(run(layer, value=value) for layer, value in enumerate((0.5, 0.4, 0.3))),
        *(run(layer, value=value, protocol="single-layer") for layer, value in enumerate((0.6, 0.7, 0.8))),
        run(4, value=0.9, protocol="probe", model="ctc"),
    )

    def test_each_protocol_has_its_own_values(self):
        layers = GroundTruth("asr", self.RUNS, protocol="single-layer").layers("hubert", **NOW)
        assert [outcome.value for outcome in layers.values()] == [0.6, 0.7, 0.8]
        probes = GroundTruth("asr", self.RUNS, protocol="probe")
        assert probes.models() == ["ctc"]
        assert probes.full("ctc", 4, **NOW).value == 0.9
        for protocol in ("layer", "full"):
            assert GroundTruth("asr", self.RUNS, protocol=protocol).layers("hubert", **NOW)[0].value == 0.5

    def test_a_protocol_nothing_was_tuned_by(self):
        with pytest.raises(InputError, match="hubert, layer 4: never fine-tuned"):
            GroundTruth("asr", self.RUNS, protocol="probe").full("hubert", 4, **NOW)

    def test_other_protocols_say_nothing_of_other_tasks(self):
        others = [run(each.layer, value=each.value, task="b", protocol=each.protocol) for each in self.RUNS]
        assert shares_beaten(others, except_task="asr") == {
            ("hubert", 0): 0.0,
            ("hubert", 1): 0.5,
            ("hubert", 2): 1.0,
        }


class TestSettings:
    RUNS = (run(0), run(1, settings={"steps": 60}), run(0, seed=1, settings={"steps": 60}))

    def test_mixed_settings_are_refused_by_name(self):
        message = r"its layer runs were made with different settings \(the default settings; steps 60\)"
        with pytest.raises(InputError, match=message):
            GroundTruth("asr", self.RUNS).layers("hubert", **NOW)
        with pytest.raises(InputError, match=message):  # also where it is another model that departs
            GroundTruth("asr", [run(0), run(1, model="ctc", settings={"steps": 60})]).full("ctc", 1, **NOW)

    @pytest.mark.parametrize(("settings", "layers"), [({}, [0]), ({"steps": 60}, [0, 1])])
    def test_one_of_them_can_be_asked_for(self, settings, layers):
        truth = GroundTruth("asr", self.RUNS, settings=settings)
        assert list(truth.layers("hubert", **NOW)) == layers

    def test_runs_on_other_data_may_differ(self):
        runs = [run(0), run(0, settings={"steps": 60}, data_revision="old")]
        assert GroundTruth("asr", runs).layers("hubert", **NOW)[0].seeds == 1

    def test_runs_of_other_settings_are_other_runs(self, tmp_path):
        path = tmp_path / "truth.jsonl"
        for record in self.RUNS:
            records.append(path, record)
        assert len(records.read_tuning([path])) == 3

    def test_what_ships_has_one_setting_a_task_and_protocol(self):
        shipped_runs = records.read_tuning([shipped()])
        assert len(shipped_runs) >= 297
        settings = {}
        for each in shipped_runs:
            settings.setdefault((each.task, each.protocol), set()).add(each.key[-1])
        assert {len(found) for found in settings.values()} == {1}
        assert settings["asr", "layer"] == {""}


class TestSharesBeaten:
    def test_by_hand(self):
        runs = [
            run(0, value=0.1),  # the task itself must not be seen
            *(run(layer, value=value, task="b") for layer, value in enumerate((0.2, 0.5, 0.5))),  # errors
            *(
                run(layer, value=value, task="c", direction="higher")
                for layer, value in enumerate((0.9, 0.1))
            ),
        ]
        shares = shares_beaten(runs, except_task="asr")
        # layer 0 beats both others on b and the only one on c; the others tie on b
        assert shares == {("hubert", 0): 1.0, ("hubert", 1): (0.25 + 0.0) / 2, ("hubert", 2): 0.25}

    def test_seeds_are_averaged_first(self):
        runs = [run(0, 0, 0.1), run(0, 1, 0.9), run(1, 0, 0.4), run(1, 1, 0.4)]
        assert shares_beaten(runs, except_task="b") == {("hubert", 0): 0.0, ("hubert", 1): 1.0}

    def test_without_other_tasks(self):
        assert shares_beaten([run(0)], except_task="asr") == {}

    def test_untrained_twins_are_nobody_to_beat(self):
        runs = [run(0, value=0.1), run(1, value=0.5)]
        untrained = [run(2, value=0.9).model_copy(update={"model": "hubert-untrained"})]
        assert shares_beaten([*runs, *untrained], except_task="b") == shares_beaten(runs, except_task="b")
