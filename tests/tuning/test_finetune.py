"""Fine-tuning learns, repeats itself, and touches nothing that it should not."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from foretune.models import load_candidate
from foretune.tasks import TASKS, InputError, get_task
from foretune.tuning import DEFAULTS, FrozenFeatures, Settings, default_settings, fine_tune
from foretune.tuning.settings import BY_TASK

SETTINGS = Settings(
    steps=60, head_steps=100, batch_size=8, head_batch_size=16, learning_rate=3e-3, head_learning_rate=5e-2
)
BRIEF = Settings(steps=3, head_steps=3, batch_size=8, head_batch_size=8)


def weights(candidate):
    return {key: tensor.clone() for key, tensor in candidate.module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def without_times(record):
    return record.model_dump(exclude={"provenance", "wall_seconds", "cpu_seconds", "peak_memory_bytes"})


def test_a_separable_task_is_learnt(toy, emotion, tones):
    record = fine_tune(toy, emotion, tones, layer=2, settings=SETTINGS)
    assert record.status == "done"
    assert record.metric == "unweighted_accuracy"
    assert record.value == record.metrics["unweighted_accuracy"] == 1.0


def test_ctc_learns_to_spell(toy, asr, spelled):
    record = fine_tune(toy, asr, spelled, layer=2, settings=SETTINGS)
    assert record.metrics["cer"] < 0.1
    assert record.value == record.metrics["wer"]


def test_phones_are_learnt_as_characters_are(toy, spelled):
    record = fine_tune(toy, get_task("phoneme_recognition"), spelled, layer=2, settings=SETTINGS)
    assert record.metric == "per"
    assert record.value == record.metrics["per"] < 0.1


def test_results_of_languages_are_recorded(toy, spelled):
    record = fine_tune(toy, get_task("multilingual_asr"), spelled, layer=1, settings=BRIEF)
    assert set(record.metrics) == {"wer", "cer", "wer:de", "wer:pl", "cer:de", "cer:pl"}
    # utterances are as long in both, within rounding
    between = sorted(record.metrics[f"cer:{language}"] for language in ("de", "pl"))
    assert between[0] <= record.metrics["cer"] <= between[1]


def test_without_updates_ctc_spells_nothing_right(toy, asr, spelled):
    untrained = dataclasses.replace(SETTINGS, steps=0, head_steps=0)
    assert fine_tune(toy, asr, spelled, layer=2, settings=untrained).metrics["cer"] > 0.5


def test_the_encoder_learns_what_its_head_alone_cannot(make_toy, asr, spelled):
    narrow = make_toy(layers=2, width=2, seed=3)
    head_only = fine_tune(narrow, asr, spelled, layer=2, settings=dataclasses.replace(SETTINGS, steps=0))
    both = fine_tune(
        narrow, asr, spelled, layer=2, settings=dataclasses.replace(SETTINGS, steps=150, learning_rate=1e-2)
    )
    assert both.metrics["cer"] < head_only.metrics["cer"] - 0.1


def test_filter_banks_train_a_head_alone(emotion, tones):
    record = fine_tune(load_candidate("fbank"), emotion, tones, layer=0, settings=SETTINGS)
    assert record.value == 1.0
    assert record.parameters_trained == 80 * 3 + 3


def test_a_record_says_what_was_run(toy, emotion, tones):
    record = fine_tune(toy, emotion, tones, layer=1, seed=4, settings=BRIEF)
    assert record.key == (
        "emotion_recognition",
        tones.revision,
        "toy",
        toy.revision,
        "layer",
        1,
        4,
        "head_batch_size 8, head_steps 3, steps 3",
    )
    assert (record.train_utterances, record.test_utterances) == (48, 24)
    assert (record.learning_rate, record.steps) == (BRIEF.learning_rate, 3)
    assert record.wall_seconds > 0
    assert record.peak_memory_bytes > 0


def test_settings_are_those_of_the_task_or_of_its_kind():
    own = {name for name, task in TASKS.items() if default_settings(task) is not DEFAULTS[task.kind]}
    assert own == {"keyword_spotting", "emotion_recognition"}
    for name in own:
        assert default_settings(TASKS[name]).batch_size == 2 * DEFAULTS["utterance"].batch_size


def test_a_run_takes_the_settings_of_its_task(toy, tones, monkeypatch):
    words = dataclasses.replace(
        tones, train=[dataclasses.replace(each, label=each.emotion) for each in tones.train],
        test=[dataclasses.replace(each, label=each.emotion) for each in tones.test],
    )  # fmt: skip
    monkeypatch.setitem(BY_TASK, "keyword_spotting", BRIEF)
    assert fine_tune(toy, get_task("keyword_spotting"), words, layer=1).steps == BRIEF.steps


def test_full_is_layer_at_the_top(toy, emotion, tones):
    whole = fine_tune(toy, emotion, tones, layer=3, protocol="full", settings=BRIEF)
    top = fine_tune(toy, emotion, tones, layer=3, protocol="layer", settings=BRIEF)
    assert without_times(whole) | {"protocol": "layer"} == without_times(top)


@pytest.mark.parametrize("layer", [0, 1, 3])
def test_layers_above_the_cut_the_front_end_and_spare_weights_do_not_train(toy, emotion, tones, layer):
    head = 12 * 3 + 3
    projection = 16 * 12 + 12
    record = fine_tune(toy, emotion, tones, layer=layer, settings=BRIEF)
    assert record.parameters_trained == projection + layer * (12 * 12 + 12) + head


def test_what_trains_changes_and_the_rest_does_not(toy, emotion, tones):
    before = weights(toy)
    during = {}

    def watch(done, total):
        if done == total:
            during.update(weights(toy))

    fine_tune(toy, emotion, tones, layer=2, settings=BRIEF, progress=watch)
    changed = {key for key in before if not torch.equal(before[key], during[key])}
    assert changed == {
        f"{part}.{kind}" for part in ("projection", "layers.0", "layers.1") for kind in ("weight", "bias")
    }


def test_the_candidate_is_left_as_it_was(toy, emotion, tones):
    toy.module.spare.requires_grad_(False)
    toy.module.train()
    before = weights(toy)
    fine_tune(toy, emotion, tones, layer=3, settings=BRIEF)
    assert equal(weights(toy), before)
    assert not toy.module.spare.requires_grad
    assert toy.module.projection.weight.requires_grad
    assert toy.module.projection.weight.grad is None
    assert toy.module.training


def test_the_candidate_is_left_as_it_was_by_a_run_that_breaks_off(toy, emotion, tones):
    before = weights(toy)

    def stop(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(toy, emotion, tones, layer=3, settings=BRIEF, progress=stop)
    assert equal(weights(toy), before)


def test_a_run_does_not_depend_on_the_runs_before_it(make_toy, asr, spelled):
    used = make_toy()
    fine_tune(used, asr, spelled, layer=3, seed=1, settings=SETTINGS)
    torch.rand(5)  # nor on the global generator
    again = fine_tune(used, asr, spelled, layer=2, settings=BRIEF)
    fresh = fine_tune(make_toy(), asr, spelled, layer=2, settings=BRIEF)
    assert without_times(again) == without_times(fresh)


def test_seeds_differ(make_toy, asr, spelled):
    narrow = make_toy(layers=1, width=2)
    values = {
        fine_tune(narrow, asr, spelled, layer=1, seed=seed, settings=BRIEF).metrics["cer"]
        for seed in range(4)
    }
    assert len(values) > 1


def test_the_front_end_runs_once_for_all_runs(toy, emotion, tones):
    frozen = FrozenFeatures()
    fine_tune(toy, emotion, tones, layer=1, settings=BRIEF, frozen=frozen)
    calls = toy.front_end_calls
    kept = fine_tune(toy, emotion, tones, layer=2, settings=BRIEF, frozen=frozen)
    assert toy.front_end_calls == calls > 0
    assert without_times(kept) == without_times(fine_tune(toy, emotion, tones, layer=2, settings=BRIEF))


def test_frozen_features_are_dropped_beyond_the_limit(toy, tones, spelled):
    frozen = FrozenFeatures(limit=1)
    first = frozen.of(toy, tones)
    assert frozen.of(toy, tones) is first
    frozen.of(toy, spelled)
    assert frozen.of(toy, tones) is not first


def test_frozen_features_are_those_of_each_utterance_alone(toy, spelled):
    kept = FrozenFeatures().of(toy, spelled)
    for utterance, features in zip(spelled.test, kept.test, strict=True):
        alone, lengths = toy.front_end_features(toy.batch([utterance.waveform()]))
        assert features.shape == (int(lengths[0]), 16)
        torch.testing.assert_close(features, alone[0], rtol=1e-4, atol=1e-4)


def test_progress_counts_every_update(toy, emotion, tones):
    calls = []
    fine_tune(toy, emotion, tones, layer=0, settings=BRIEF, progress=lambda *call: calls.append(call))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_loss_that_is_no_longer_finite_is_an_error(toy, emotion, tones):
    with torch.no_grad():
        toy.module.layers[0].weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan after 0 updates"):
        fine_tune(toy, emotion, tones, layer=1, settings=BRIEF)


@pytest.mark.parametrize("layer", [-1, 4])
def test_an_absent_layer_is_refused(toy, emotion, tones, layer):
    with pytest.raises(InputError, match=f"layer {layer}: toy has layers 0 to 3"):
        fine_tune(toy, emotion, tones, layer=layer)


def test_full_below_the_top_is_refused(toy, emotion, tones):
    with pytest.raises(InputError, match="`full` is about the whole encoder; give layer 3"):
        fine_tune(toy, emotion, tones, layer=2, protocol="full")


@pytest.mark.parametrize(("part", "word"), [("train", "training"), ("test", "test")])
def test_an_empty_part_is_refused(toy, emotion, tones, part, word):
    with pytest.raises(InputError, match=f"its {word} part is empty"):
        fine_tune(toy, emotion, dataclasses.replace(tones, **{part: []}), layer=1)


def test_one_class_is_refused(toy, emotion, tones):
    alike = [utterance for utterance in tones.train if utterance.emotion == "a"]
    with pytest.raises(InputError, match="1 classes in the training part"):
        fine_tune(toy, emotion, dataclasses.replace(tones, train=alike), layer=1)
