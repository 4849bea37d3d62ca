"""`foretune tune` with a budget, its cost beforehand, and settings of one's own."""

from __future__ import annotations

import pytest

from foretune.records import read
from foretune.tuning import Settings, costs, grid, settings


@pytest.fixture
def tune(run, manifest, tmp_path, monkeypatch):
    """Return a function that runs the command on two classes of noise, and the file of its records."""
    monkeypatch.setitem(settings.DEFAULTS, "utterance", Settings(steps=3, head_steps=3))
    monkeypatch.setattr(settings, "BY_TASK", {})
    records = tmp_path / "records.jsonl"

    def tune_(*more):
        return run(
            *("tune", "--task", "emotion_recognition", "--data", manifest),
            *("--model", "fbank", "--steps", "2", "--records", records, *more),
        )

    return tune_, records


@pytest.fixture
def slow(monkeypatch):
    """Let every run seem to take 60 s."""
    monkeypatch.setattr(costs.Stopwatch, "_time", lambda self, layer: costs.Timing(0.0, 0.0, 60.0, 0.0))


def test_a_dry_run_only_says_the_cost(tune, slow):
    command, records = tune
    code, _, err = command("--dry-run", "--seeds", "2")
    assert code == 0
    assert "timing a few updates: emotion_recognition, fbank, layer" in err
    assert "2 runs: about 2 min" in err
    assert not records.exists()


def test_what_a_budget_leaves_out_is_said(tune, slow):
    command, records = tune
    code, _, err = command("--budget", "90s", "--seeds", "3")
    assert code == 0
    assert "3 runs: about 3 min" in err
    assert "left out to fit into 90 s: seed 2; seed 1" in err
    assert "1 runs to do: about 60 s" in err
    assert [record.seed for record in read(records)] == [0]


def test_a_budget_counts_only_what_is_undone(tune, slow):
    command, records = tune
    command("--seeds", "2")
    code, out, err = command("--budget", "61s", "--seeds", "3")
    assert code == 0
    assert "3 runs, 2 of them done already" in err
    assert "left out" not in err
    assert len(read(records)) == 3
    assert "emotion_recognition" in out


def test_too_small_a_budget_is_refused(tune, slow):
    command, records = tune
    code, _, err = command("--budget", "30s")
    assert code == 2
    assert "a budget of 30 s: one run alone takes about 60 s" in err
    assert not records.exists()


@pytest.fixture
def unsure(pretend):
    """Let the layers of a recurrent encoder, and these alone, be ranked otherwise by every seed."""
    return pretend(
        lambda task, model, layer, seed: 0.1 * ((layer * (seed + 1)) % 5) if model == "apc" else 0.5
    )


SEEDS = ("--model", "apc", "--seeds", "2", "--max-seeds", "4")


def test_a_dry_run_says_how_many_further_seeds_may_follow(tune, slow, unsure):
    command, records = tune
    code, _, err = command(*SEEDS, "--dry-run")
    assert code == 0
    assert "12 runs: about 12 min" in err
    # of five layers, two more seeds; filter banks and one model more are no ranking
    assert "up to 10 further runs where seeds disagree, up to 4 seeds: up to about 10 min" in err
    assert not records.exists()


def test_further_seeds_where_the_first_disagree(tune, unsure):
    command, records = tune
    code, _, err = command(*SEEDS)
    assert code == 0
    assert "2 seeds disagree in 1 of 1 settings: 10 runs with further seeds" in err
    assert "22/22" in err
    seeds = {(each.model, each.layer): set() for each in read(records)}
    for each in read(records):
        seeds[each.model, each.layer].add(each.seed)
    assert seeds == {("fbank", 0): {0, 1}} | {("apc", layer): {0, 1, 2, 3} for layer in range(5)}
    assert len(unsure) == 22
    assert command(*SEEDS)[0] == 0
    assert len(unsure) == 22


def test_further_seeds_that_are_known_have_a_cost_of_their_own(tune, unsure):
    command, records = tune
    assert command("--model", "apc", "--seeds", "2")[0] == 0
    code, _, err = command(*SEEDS, "--dry-run")
    assert code == 0
    assert "12 runs, 12 of them done already" in err
    assert "10 further runs where seeds disagree, up to 4 seeds: about" in err
    assert "up to 10" not in err
    assert len(read(records)) == 12


def test_a_budget_that_leaves_something_out_gives_no_further_seeds(tune, slow, unsure):
    command, records = tune
    code, _, err = command(*SEEDS, "--budget", "400s")
    assert code == 0
    assert "left out to fit into 7 min: seed 1" in err
    assert {each.seed for each in read(records)} == {0}


def test_learning_rates_hold_a_part_out(tune):
    command, records = tune
    code, _, _ = command("--learning-rates", "1e-4,1e-2", "--seeds", "1")
    assert code == 0
    (record,) = read(records)
    assert [trial.learning_rate for trial in record.trials] == [1e-4, 1e-2]
    assert record.validation_utterances == 4
    assert record.settings == {
        "learning_rates": "0.0001 0.01",
        "head_steps": 3.0,
        "steps": 2.0,
        "validation": 0.15,
    }


def test_other_settings_are_other_runs(tune):
    command, records = tune
    for more in ((), ("--validation", "0.2"), ("--dtype", "bfloat16"), ("--protocol", "probe"), ()):
        assert command("--seeds", "1", *more)[0] == 0
    assert len({record.key for record in read(records)}) == len(read(records)) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--max-seeds", "3"), "must be more than the 3 seeds"),
        (("--seeds", "1", "--max-seeds", "5"), "one seed cannot disagree"),
        (("--budget", "soon"), "--budget soon: give a time such as 10m"),
        (("--learning-rates", "high"), "--learning-rates high: give numbers such as 3e-4,1e-3"),
        (("--learning-rates", "1e-3", "--validation", "0"), "need a validation part"),
        (("--learning-rates=-1e-3",), "a learning rate is not positive"),
    ],
)
def test_bad_options_are_refused(tune, more, message):
    command, records = tune
    code, _, err = command(*more)
    assert code == 2
    assert message in err
    assert not records.exists()


def test_a_device_that_is_not_there_is_refused(tune):
    command, records = tune
    code, _, err = command("--device", "cpu,nonsense")
    assert code == 2
    assert "device nonsense: cannot be used here" in err
    assert not records.exists()


def test_each_device_gets_a_worker(tune, monkeypatch):
    command, _ = tune
    made = []

    def settle(runs, worker, failures, devices, progress):
        made.append((worker.device, devices))
        return {}

    monkeypatch.setattr(grid, "_settle", settle)
    command("--device", "cpu,cpu:0", "--seeds", "1")
    command("--device", "cpu,cpu:0", "--seeds", "1", "--workers", "5")
    assert made == [("cpu", ["cpu", "cpu:0"]), ("cpu", ["cpu", "cpu:0", "cpu", "cpu:0", "cpu"])]
