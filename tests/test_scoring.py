"""Scoring: one pass, the right samples and labels, never the test utterances."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import foretune.estimators
from foretune.extraction import default_batch_seconds
from foretune.sampling import frame_labels
from foretune.scoring import resolve_layers, score_candidate
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span, TaskData, Utterance

RTOL = 1e-6  # float32 features, float64 statistics
FRAME = 160 / 16_000  # seconds


UNREADABLE = Utterance("test", Path("there/is/no/such.wav"), text="x", emotion="a", speaker="s0")
"""A test utterance that nobody may listen to: whoever does gets an error."""


def speech(number, frames):
    """Noise whose level and offset tell its class, number % 3."""
    rng = np.random.default_rng(number)
    level = 1_000 * (1 + number % 3)
    return (level * rng.standard_normal(frames * 160 + 37) + 100 * (number % 3)).astype(np.int16)


@pytest.fixture
def emotion_data():
    train = [
        Utterance(
            f"u{number}", speech(number, 5 + number), emotion="abc"[number % 3], speaker=f"s{number % 4}"
        )
        for number in range(24)
    ]
    source = [Utterance(f"p{number}", speech(100 + number, 9)) for number in range(12)]
    return TaskData("emotion_recognition", "local", "f" * 12, train, [UNREADABLE], source)


@pytest.fixture
def asr_data():
    train = []
    for number in range(6):
        frames = 8 + number
        phones = tuple(
            Span(3 * k * FRAME, (3 * k + 2) * FRAME, "xyz"[(k + number) % 3]) for k in range(frames // 3)
        )
        train.append(Utterance(f"u{number}", speech(number, frames), text="x", phones=phones))
    return TaskData("asr", "local", "f" * 12, train, [UNREADABLE], train[:2])


EMOTION, ASR = get_task("emotion_recognition"), get_task("asr")


def scores(records):
    return {(record.layer, record.estimator): record.score for record in records}


def pooled(candidate, utterances, layer):
    """The naive definition: one utterance at a time, mean over its frames."""
    rows = []
    for utterance in utterances:
        states = candidate.forward(candidate.batch([utterance.waveform()]))
        rows.append(states.layers[layer][0].double().mean(dim=0).numpy())
    return np.array(rows)


# --- by hand and by definition


def test_a_frame_is_labelled_by_the_span_that_holds_its_centre():
    phones = [Span(0.0, 0.02, "a"), Span(0.02, 0.03, "b"), Span(0.05, 0.06, "c")]
    centres = np.array([0.0, 0.0199, 0.02, 0.0299, 0.03, 0.04, 0.05, 0.0599, 0.06, 0.9])
    expected = ["a", "a", "b", "b", None, None, "c", "c", None, None]
    assert frame_labels(phones, centres) == expected
    assert frame_labels(phones[2:], centres[:2]) == [None, None]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_utterances_are_scored_by_their_mean_over_valid_frames(frame_statistics, emotion_data, layer):
    features = pooled(frame_statistics(), emotion_data.train, layer)
    labels = [utterance.emotion for utterance in emotion_data.train]
    expected = foretune.estimators.score(features, labels)
    (record,) = score_candidate(frame_statistics(), EMOTION, emotion_data, ["logme"], layers=[layer])
    assert record.score == pytest.approx(expected, rel=RTOL)
    assert (record.utterances, record.samples) == (24, 24)


@pytest.mark.parametrize("layer", [0, 2])
def test_frames_are_scored_with_their_phones(frame_statistics, asr_data, layer):
    candidate = frame_statistics()
    features, labels = [], []
    for utterance in asr_data.train:
        hidden = candidate.forward(candidate.batch([utterance.waveform()])).layers[layer][0]
        for frame, centre in enumerate(candidate.grid.centres(len(hidden))):
            for phone in utterance.phones:
                if phone.start <= centre < phone.end:
                    features.append(hidden[frame].numpy())
                    labels.append(phone.label)
    expected = foretune.estimators.score(np.array(features), labels)
    (record,) = score_candidate(frame_statistics(), ASR, asr_data, ["logme"], layers=[layer])
    assert record.score == pytest.approx(expected, rel=RTOL)
    assert (record.utterances, record.samples) == (6, len(labels))
    # two frames in three lie within a phone
    assert len(labels) == sum(2 * len(utterance.phones) for utterance in asr_data.train)


def test_source_features_are_compared_with_target_features(frame_statistics, emotion_data):
    target = pooled(frame_statistics(), emotion_data.train, 1)
    source = pooled(frame_statistics(), emotion_data.source, 1)
    expected = foretune.estimators.score(target.astype(np.float32), None, "sliced_wasserstein", source=source)
    (record,) = score_candidate(frame_statistics(), EMOTION, emotion_data, ["sliced_wasserstein"], layers=[1])
    assert record.score == pytest.approx(expected, rel=1e-4)


def test_baselines_score_what_is_known_of_the_layer(frame_statistics, emotion_data):
    records = score_candidate(frame_statistics(), EMOTION, emotion_data, ["depth", "parameters", "dimension"])
    assert scores(records) == {
        (layer, name): value
        for layer in range(3)
        for name, value in [
            ("depth", layer),
            ("parameters", 10 * layer),
            ("dimension", 2 if layer == 0 else 3),
        ]
    }


# --- passes


def test_one_pass_serves_all_layers_and_estimators(frame_statistics, emotion_data):
    candidate = frame_statistics()
    records = score_candidate(candidate, EMOTION, emotion_data, ["logme", "feature_norm", "depth"])
    assert candidate.seen == len(emotion_data.train)
    assert [(record.layer, record.estimator) for record in records] == [
        (layer, name) for layer in range(3) for name in ("logme", "feature_norm", "depth")
    ]


def test_source_speech_is_passed_only_for_those_who_need_it(frame_statistics, emotion_data):
    candidate = frame_statistics()
    score_candidate(candidate, EMOTION, emotion_data, ["logme", "sliced_wasserstein"])
    assert candidate.seen == len(emotion_data.train) + len(emotion_data.source)


def test_metadata_needs_no_pass_and_costs_none(frame_statistics, emotion_data, tmp_path):
    absent = [Utterance("gone", tmp_path / "gone.wav")]
    data = dataclasses.replace(emotion_data, train=absent)
    candidate = frame_statistics()
    records = score_candidate(candidate, EMOTION, data, ["depth", "random"])
    assert candidate.seen == 0
    assert all(record.forward_seconds == record.accumulate_seconds == 0 for record in records)
    assert all(record.samples == record.utterances == 0 for record in records)


def test_costs_are_those_of_what_an_estimator_needs(frame_statistics, emotion_data):
    records = score_candidate(
        frame_statistics(), EMOTION, emotion_data, ["logme", "sliced_wasserstein", "depth"]
    )
    by_name = {record.estimator: record for record in records if record.layer == 1}
    assert 0 < by_name["logme"].forward_seconds < by_name["sliced_wasserstein"].forward_seconds
    assert by_name["logme"].accumulate_seconds > 0
    assert by_name["depth"].forward_seconds == 0


def test_costs_in_cpu_seconds_and_operations(frame_statistics, emotion_data):
    candidate = frame_statistics()
    records = score_candidate(candidate, EMOTION, emotion_data, ["logme", "sliced_wasserstein", "depth"])
    logme, wasserstein, depth = (record for record in records if record.layer == 1)
    assert 0 < logme.forward_cpu_seconds < wasserstein.forward_cpu_seconds
    assert logme.accumulate_cpu_seconds > 0
    assert logme.score_cpu_seconds > 0
    rows = len(emotion_data.train)
    assert logme.accumulate_flops == sum(rows * size * (size + 1) for size in candidate.dimensions)
    assert wasserstein.accumulate_flops == 0
    assert (logme.score_flops, depth.score_flops) == (None, 0)
    assert (depth.forward_flops, depth.forward_cpu_seconds) == (0, 0.0)


def test_operations_of_a_pass_are_those_of_one_batch_by_seconds_of_speech(
    frame_statistics, emotion_data, monkeypatch
):
    whole = frame_statistics.forward

    def with_a_product(self, batch):
        _ = torch.ones(3, 3) @ torch.ones(3, 3)
        return whole(self, batch)

    monkeypatch.setattr(frame_statistics, "forward", with_a_product)
    lengths = [len(each.audio) for each in emotion_data.train]
    (record,) = score_candidate(
        frame_statistics(),
        EMOTION,
        emotion_data,
        ["logme"],
        layers="last",
        batch_seconds=max(lengths) / 16_000,
    )
    assert record.forward_flops == round(
        2 * 27 * sum(lengths) / max(lengths)
    )  # the longest goes first, alone


@pytest.mark.parametrize(("fixture", "task"), [("emotion_data", EMOTION), ("asr_data", ASR)])
def test_batches_and_order_do_not_change_scores(frame_statistics, request, fixture, task):
    data = request.getfixturevalue(fixture)
    names = ["logme", "sliced_wasserstein"]
    alone = scores(score_candidate(frame_statistics(), task, data, names, batch_seconds=0.01))
    together = scores(score_candidate(frame_statistics(), task, data, names, batch_seconds=100))
    backwards = dataclasses.replace(data, train=data.train[::-1])
    turned = scores(score_candidate(frame_statistics(), task, backwards, names, batch_seconds=1))
    assert alone == pytest.approx(together, rel=RTOL)
    assert turned == pytest.approx(together, rel=RTOL)


def test_a_layer_scores_the_same_whichever_layers_are_asked_for(frame_statistics, emotion_data):
    every = scores(score_candidate(frame_statistics(), EMOTION, emotion_data, ["logme"]))
    one = scores(score_candidate(frame_statistics(), EMOTION, emotion_data, ["logme"], layers=[1]))
    assert one == {(1, "logme"): every[1, "logme"]}


def test_records_say_where_they_come_from(frame_statistics, emotion_data):
    (record,) = score_candidate(frame_statistics(), EMOTION, emotion_data, ["logme"], layers="last", seed=5)
    assert (record.task, record.suite, record.data_revision) == ("emotion_recognition", "local", "f" * 12)
    assert (record.model, record.model_revision, record.layer) == ("frame-statistics", "0" * 12, 2)
    assert (record.seed, record.provenance.device) == (5, "cpu")


# --- layers


def test_layers_are_all_the_last_or_a_list(frame_statistics):
    candidate = frame_statistics()
    assert resolve_layers(candidate, "all") == [0, 1, 2]
    assert resolve_layers(candidate, "last") == [2]
    assert resolve_layers(candidate, [2, 0, 2]) == [0, 2]


@pytest.mark.parametrize("layers", ["first", []])
def test_layers_that_are_neither(frame_statistics, layers):
    with pytest.raises(InputError, match="give all, last, or a list of layers"):
        resolve_layers(frame_statistics(), layers)


def test_a_layer_that_is_not_there(frame_statistics, emotion_data):
    with pytest.raises(InputError, match="layer 3: frame-statistics has layers 0 to 2"):
        score_candidate(frame_statistics(), EMOTION, emotion_data, ["depth"], layers=[3])


# --- what cannot be scored


def test_without_source_speech_an_estimator_asked_for_by_name_is_an_error(frame_statistics, emotion_data):
    data = dataclasses.replace(emotion_data, source=())
    candidate = frame_statistics()
    with pytest.raises(
        InputError, match="estimator sliced_wasserstein: needs speech from the candidates' pre-train"
    ):
        score_candidate(candidate, EMOTION, data, ["logme", "sliced_wasserstein"])
    assert candidate.seen == 0


def test_without_source_speech_all_estimators_are_those_that_can(frame_statistics, emotion_data):
    data = dataclasses.replace(emotion_data, source=())
    records = score_candidate(frame_statistics(), EMOTION, data, "all", layers="last")
    by_name = {record.estimator: record for record in records}
    assert set(by_name) == set(foretune.estimators.ESTIMATORS)
    assert by_name["sliced_wasserstein"].score is None
    assert "needs speech from the candidates' pre-training" in by_name["sliced_wasserstein"].error
    assert by_name["logme"].score is not None
    assert by_name["logme"].error == ""


def test_source_speech_without_labels_fails_those_alone_who_need_them(frame_statistics, emotion_data):
    lack = "needs labels of the source speech for emotion_recognition"
    with pytest.raises(InputError, match=f"estimator otce: {lack}"):
        score_candidate(frame_statistics(), EMOTION, emotion_data, ["otce"])
    records = score_candidate(frame_statistics(), EMOTION, emotion_data, "all", layers="last")
    by_name = {record.estimator: record for record in records}
    assert lack in by_name["otce"].error
    assert by_name["sliced_wasserstein"].score is not None


def test_an_estimator_that_fails_is_recorded_and_the_others_go_on(
    frame_statistics, emotion_data, monkeypatch
):
    def fail(_):
        raise ValueError("degenerate")

    failing = dataclasses.replace(foretune.estimators.get_estimator("feature_norm"), compute=fail)
    monkeypatch.setitem(foretune.estimators.ESTIMATORS, "feature_norm", failing)
    records = score_candidate(
        frame_statistics(), EMOTION, emotion_data, ["feature_norm", "logme"], layers=[0]
    )
    assert [(record.score is None, record.error) for record in records] == [(True, "degenerate"), (False, "")]


def test_transcripts_without_true_times(frame_statistics, asr_data):
    train = [*asr_data.train, dataclasses.replace(asr_data.train[0], id="untimed", phones=())]
    with pytest.raises(
        InputError, match="untimed: no true times of phones, which scoring asr needs, as have 1 of 7"
    ):
        score_candidate(frame_statistics(), ASR, dataclasses.replace(asr_data, train=train), ["logme"])


def test_times_that_hold_no_frame(frame_statistics, asr_data):
    train = [dataclasses.replace(each, phones=(Span(90, 91, "x"),)) for each in asr_data.train]
    with pytest.raises(InputError, match="no frame lies within a phone"):
        score_candidate(frame_statistics(), ASR, dataclasses.replace(asr_data, train=train), ["logme"])


def test_one_label_only(frame_statistics, emotion_data):
    train = [dataclasses.replace(each, emotion="joy") for each in emotion_data.train]
    with pytest.raises(InputError, match="every utterance has the label joy; give at least two"):
        score_candidate(
            frame_statistics(), EMOTION, dataclasses.replace(emotion_data, train=train), ["logme"]
        )


def test_a_missing_label(frame_statistics, emotion_data):
    train = [*emotion_data.train, Utterance("nameless", speech(1, 9))]
    with pytest.raises(InputError, match="nameless: no emotion or label"):
        score_candidate(
            frame_statistics(), EMOTION, dataclasses.replace(emotion_data, train=train), ["logme"]
        )


def test_no_training_utterance(frame_statistics, emotion_data):
    with pytest.raises(InputError, match="there is no training utterance"):
        score_candidate(frame_statistics(), EMOTION, dataclasses.replace(emotion_data, train=[]), ["logme"])


@pytest.mark.parametrize("estimators", ["logme", []])
def test_estimators_are_a_list_of_names_or_all(frame_statistics, emotion_data, estimators):
    with pytest.raises(InputError, match="give a list of names, or all"):
        score_candidate(frame_statistics(), EMOTION, emotion_data, estimators)


def test_an_unknown_estimator(frame_statistics, emotion_data):
    with pytest.raises(foretune.estimators.UnknownEstimatorError, match="did you mean logme"):
        score_candidate(frame_statistics(), EMOTION, emotion_data, ["logm"])


@pytest.mark.parametrize(("fixture", "task"), [("emotion_data", EMOTION), ("asr_data", ASR)])
def test_features_that_are_not_numbers_name_the_model_and_the_layer(frame_statistics, request, fixture, task):
    class Broken(frame_statistics):
        def forward_from_features(self, features, lengths, *, last_layer=None):
            states = super().forward_from_features(features, lengths, last_layer=last_layer)
            states.layers[1][0, 0, 0] = torch.nan
            return states

    with pytest.raises(InputError, match=r"broken: layer 1: features\[\d+, 0\] is nan"):
        score_candidate(Broken("broken"), task, request.getfixturevalue(fixture), ["logme"])


def test_scores_made_from_moments_have_standard_errors_when_asked(frame_statistics, emotion_data):
    from foretune.estimators import Moments, jackknife
    from foretune.estimators.logme import log_maximum_evidence

    candidate, task = frame_statistics(), get_task("emotion_recognition")
    names = ["logme", "held_out_evidence", "knn", "gbc_full", "depth"]
    records = score_candidate(candidate, task, emotion_data, names, layers=[1], standard_errors=True)
    found = {record.estimator: record for record in records}
    rows = [
        candidate.forward(candidate.batch([each.waveform()])).layers[1][0].double().mean(dim=0).float()
        for each in emotion_data.train
    ]
    labels = [each.emotion for each in emotion_data.train]
    speakers = [each.speaker for each in emotion_data.train]
    expected = jackknife(Moments.of(torch.stack(rows), labels, speakers), log_maximum_evidence)
    assert found["logme"].score == pytest.approx(expected.score, rel=RTOL)
    assert found["logme"].standard_error == pytest.approx(expected.standard_error, rel=1e-4)
    assert found["logme"].group_errors == pytest.approx(expected.group_errors.tolist(), rel=1e-3)
    assert found["knn"].group_errors is None
    assert found["held_out_evidence"].standard_error > 0
    assert [found[name].standard_error for name in ("knn", "gbc_full", "depth")] == [None] * 3
    (plain,) = score_candidate(candidate, task, emotion_data, ["logme"], layers=[1])
    assert plain.standard_error is None
    assert plain.score == pytest.approx(found["logme"].score, rel=1e-9)


def test_records_say_how_a_score_was_made(frame_statistics, emotion_data):
    candidate, task = frame_statistics(), get_task("emotion_recognition")
    candidate.load_seconds = 1.5
    for batch_seconds in (None, 30.0):
        (record,) = score_candidate(
            candidate, task, emotion_data, ["logme"], layers=[2], batch_seconds=batch_seconds
        )
        assert (record.dtype, record.parameters, record.load_seconds) == ("float32", 20, 1.5)
        assert record.batch_seconds == (batch_seconds or default_batch_seconds(candidate))
        assert record.peak_memory_bytes > 1 << 20
