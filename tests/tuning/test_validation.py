"""The learning rate and the end of training are chosen on the validation part, and on nothing else."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from foretune.tasks import InputError
from foretune.tuning import Settings, default_settings, fine_tune
from foretune.tuning.settings import departures
from foretune.tuning.validation import Best, held_out

RATES = (1e-5, 1e-2, 3e-3)
CHOICE = Settings(
    steps=20, head_steps=2, batch_size=8, head_batch_size=8, learning_rates=RATES, validation=0.25
)


def changed(data, part, **values):
    """Return data whose part has other values, given as functions of an utterance and its place."""
    utterances = [
        dataclasses.replace(each, **{name: value(each, index) for name, value in values.items()})
        for index, each in enumerate(getattr(data, part))
    ]
    return dataclasses.replace(data, **{part: utterances})


class TestChoice:
    @pytest.mark.parametrize("protocol", ["layer", "single-layer", "probe"])
    def test_the_rate_that_does_best_on_the_validation_part_is_chosen(self, toy, asr, spelled, protocol):
        record = fine_tune(toy, asr, spelled, layer=3, protocol=protocol, settings=CHOICE)
        assert [trial.learning_rate for trial in record.trials] == list(RATES)
        values = {trial.learning_rate: trial.metrics[record.metric] for trial in record.trials}
        assert record.validation[record.metric] == values[record.learning_rate] == min(values.values())
        assert len(set(values.values())) > 1

    def test_the_test_part_is_never_consulted(self, toy, emotion, tones):
        settings = dataclasses.replace(CHOICE, head_steps=0)
        honest = fine_tune(toy, emotion, tones, layer=2, settings=settings)
        wrong = changed(tones, "test", emotion=lambda each, index: "abc"[(index * index + 1) % 3])
        corrupted = fine_tune(toy, emotion, wrong, layer=2, settings=settings)
        assert corrupted.value != honest.value  # the labels matter to what is measured
        assert corrupted.trials == honest.trials
        assert corrupted.learning_rate == honest.learning_rate
        assert corrupted.validation == honest.validation

    def test_the_weights_are_those_of_the_chosen_rate(self, toy, asr, spelled):
        several = fine_tune(toy, asr, spelled, layer=2, settings=CHOICE)
        alone = dataclasses.replace(CHOICE, learning_rates=(), learning_rate=several.learning_rate)
        assert several.metrics == fine_tune(toy, asr, spelled, layer=2, settings=alone).metrics

    def test_a_rate_that_diverges_is_recorded_and_not_chosen(self, toy, emotion, tones):
        settings = dataclasses.replace(CHOICE, learning_rates=(1e30, 1e-3), clipping=1e30)
        record = fine_tune(toy, emotion, tones, layer=2, settings=settings)
        assert record.learning_rate == 1e-3
        assert record.trials[0].metrics == {}
        assert "the loss is" in record.trials[0].error

    def test_that_all_diverge_is_an_error(self, toy, emotion, tones):
        settings = dataclasses.replace(CHOICE, learning_rates=(1e30, 1e31), clipping=1e30)
        with pytest.raises(FloatingPointError, match=r"the loss is .* the loss is"):
            fine_tune(toy, emotion, tones, layer=2, settings=settings)

    def test_a_stage_stops_where_nothing_gets_better(self, toy, emotion, tones):
        settings = dataclasses.replace(
            CHOICE, learning_rates=(1e-12,), steps=50, evaluations=10, patience=2
        )  # nothing changes, so the first evaluation stays the best
        (trial,) = fine_tune(toy, emotion, tones, layer=2, settings=settings).trials
        assert (trial.step, trial.updates) == (5, 15)

    def test_without_updates_the_start_is_evaluated(self, toy, emotion, tones):
        settings = dataclasses.replace(CHOICE, steps=0)
        record = fine_tune(toy, emotion, tones, layer=2, settings=settings)
        assert {(trial.step, trial.updates) for trial in record.trials} == {(0, 0)}

    def test_progress_counts_the_updates_of_every_rate(self, toy, emotion, tones):
        calls = []
        settings = dataclasses.replace(CHOICE, patience=9)
        fine_tune(toy, emotion, tones, layer=1, settings=settings, progress=lambda *call: calls.append(call))
        assert calls == [(done, 62) for done in range(1, 63)]

    def test_the_best_evaluation_keeps_its_weights(self):
        weight = nn.Parameter(torch.zeros(1))
        best = Best(0.1)
        for step, goodness in ((1, 0.2), (2, 0.5), (3, 0.5), (4, 0.1)):
            with torch.no_grad():
                weight.fill_(step)
            best.see(step, ({"accuracy": goodness}, goodness), [weight])
        assert (best.step, best.waited, best.goodness) == (2, 2, 0.5)
        assert best.weights[0].item() == 2


class TestHeldOut:
    def test_no_group_is_on_both_sides(self, emotion, tones):
        data = changed(tones, "train", speaker=lambda each, index: f"s{index // 6}")
        held = held_out(emotion, data, 0.25)
        sides = {
            out: {each.speaker for each, mine in zip(data.train, held, strict=True) if mine is out}
            for out in (True, False)
        }
        assert sides[True]
        assert not sides[True] & sides[False]
        assert sum(held) == 12

    def test_with_one_group_utterances_are_held_out_one_by_one(self, emotion, tones):
        held = held_out(emotion, tones, 0.125)
        assert sum(held) == 6
        kept = {each.emotion for each, out in zip(tones.train, held, strict=True) if not out}
        assert kept == {"a", "b", "c"}

    def test_the_data_decide(self, asr, spelled):
        assert held_out(asr, spelled, 0.2) == held_out(asr, spelled, 0.2)
        other = dataclasses.replace(spelled, revision="ba9876543210")
        assert held_out(asr, other, 0.2) != held_out(asr, spelled, 0.2)

    def test_a_record_counts_the_parts(self, toy, emotion, tones):
        record = fine_tune(toy, emotion, tones, layer=1, settings=CHOICE)
        assert (record.train_utterances, record.validation_utterances, record.test_utterances) == (36, 12, 24)

    def test_too_few_utterances_are_refused(self, toy, emotion, tones):
        few = dataclasses.replace(tones, train=tones.train[:3])  # one of each class
        with pytest.raises(InputError, match="no validation part can be held out: every split would test"):
            fine_tune(toy, emotion, few, layer=1, settings=CHOICE)


class TestSettings:
    def test_defaults_are_left_unsaid_but_where_they_have_changed_since(self, asr, emotion):
        assert departures(asr, default_settings(asr)) == {}
        assert departures(emotion, default_settings(emotion)) == {"batch_size": 16}
        assert departures(emotion, dataclasses.replace(default_settings(emotion), batch_size=8)) == {}

    def test_what_departs_is_said(self, asr):
        settings = dataclasses.replace(
            default_settings(asr), steps=60, learning_rates=(3e-4, 1e-3), validation=0.15
        )
        assert departures(asr, settings) == {
            "steps": 60,
            "learning_rates": "0.0003 0.001",
            "validation": 0.15,
        }

    def test_settings_are_part_of_what_a_run_is(self, toy, emotion, tones):
        keys = {
            fine_tune(toy, emotion, tones, layer=1, settings=settings).key
            for settings in (CHOICE, dataclasses.replace(CHOICE, learning_rates=RATES[:2]))
        }
        assert len(keys) == 2

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"learning_rates": (1e-3,)}, "need a validation part; give a share"),
            ({"validation": 0.6}, r"validation 0\.6: give a share of the training part up to 0\.5"),
            ({"validation": 0.2, "learning_rates": (1e-3, 0.0)}, "a learning rate is not positive"),
        ],
    )
    def test_what_does_not_belong_together_is_refused(self, values, message):
        with pytest.raises(InputError, match=message):
            Settings(steps=1, head_steps=1, **values)


def test_bfloat16_learns_too_and_is_another_run(toy, emotion, tones):
    settings = Settings(steps=40, head_steps=60, learning_rate=3e-3, head_learning_rate=5e-2)
    half = dataclasses.replace(settings, precision="bfloat16")
    one, other = (fine_tune(toy, emotion, tones, layer=2, settings=each) for each in (settings, half))
    assert other.settings["precision"] == "bfloat16"
    assert one.key != other.key
    assert other.value > 0.9
