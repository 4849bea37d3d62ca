"""The guard against leaks, and scores whose labels come from an alignment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foretune.alignment import Identity, Labelling, align, check_no_leak, label_frames, load_aligner
from foretune.alignment import labelling as labelling_module
from foretune.models.candidate import Card
from foretune.models.huggingface import load_folder
from foretune.ranking import rank
from foretune.scoring import score_candidate
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Span, TaskData, Utterance

ASR = get_task("asr")


def spoken(name, waveform, text, **known):
    return Utterance(name, np.rint(waveform * 32767).astype(np.int16), text=text, **known)


@pytest.fixture
def data(say_tones):
    """Four utterances, the last with a wrong transcript."""
    pieces = [(None, 3), ("a", 6), ("b", 4), (None, 5), ("c", 7), (None, 4)]
    waveform = say_tones(pieces)
    train = [spoken(f"u{number}", np.roll(waveform, 640 * number), "ab c") for number in range(3)]
    wrong = spoken("wrong", waveform, "cba")
    return TaskData("asr", "local", "f" * 12, [*train, wrong], [])


@pytest.fixture
def labelling(data, tone_aligner):
    return Labelling(alignments=align(data.train, tone_aligner()))


# --- the guard


def candidate_named(frame_statistics, name, revision="1" * 12, **details):
    candidate = frame_statistics(name)
    candidate.revision = revision
    candidate.card = Card(family="by hand", details=details)
    return candidate


@pytest.mark.parametrize(
    ("candidate", "aligner", "reason"),
    [
        ({"name": "x", "revision": "a" * 12}, {"revision": "a" * 12}, "its weights are the same"),
        ({"name": "x", "revision": "e" * 12}, {"encoder_revision": "e" * 12}, "its weights are the same"),
        ({"name": "org/base"}, {"fine_tuned_from": ("org/base",)}, "what the aligner was fine-tuned from"),
        ({"name": "x"}, {"fine_tuned_from": ("1" * 12,)}, "what the aligner was fine-tuned from"),
        ({"name": "x", "fine_tuned_from": "aligner"}, {}, "was fine-tuned from the aligner"),
        ({"name": "x", "base_model": ["b" * 12]}, {}, "was fine-tuned from the aligner"),
    ],
)
def test_relatives_are_refused(frame_statistics, candidate, aligner, reason):
    identity = Identity(**{"name": "aligner", "revision": "b" * 12} | aligner)
    with pytest.raises(InputError, match=f"model {candidate['name']}: .*{reason}") as info:
        check_no_leak(candidate_named(frame_statistics, **candidate), identity)
    assert "\n" not in str(info.value)


def test_strangers_pass(frame_statistics):
    candidate = candidate_named(frame_statistics, "x", fine_tuned_from="y")
    check_no_leak(candidate, Identity("aligner", "b" * 12, "c" * 12, ("z",)))
    check_no_leak(candidate, Identity("aligner", "b" * 12))  # no revision of an encoder is no match


def test_the_encoder_of_a_checkpoint_is_not_scored_on_its_own_labels(ctc_folder, data):
    made = align(data.train, load_aligner(str(ctc_folder)), least_confidence=-100)
    with pytest.raises(InputError, match="is the aligner: its weights are the same"):
        score_candidate(load_folder(ctc_folder, "x"), ASR, data, ["logme"], labelling=Labelling("drop", made))


def test_an_untrained_twin_of_the_aligner_is_scored(ctc_folder, data):
    made = align(data.train, load_aligner(str(ctc_folder)), least_confidence=-100)
    twin = load_folder(ctc_folder, "x", untrained=True)
    records = score_candidate(twin, ASR, data, ["logme"], layers=[0], labelling=Labelling("drop", made))
    assert records[0].score is not None


# --- scores


def test_a_score_says_where_its_labels_come_from(frame_statistics, data, labelling):
    (record,) = score_candidate(frame_statistics(), ASR, data, ["logme"], layers=[0], labelling=labelling)
    assert record.labels is not None
    assert (record.labels.aligner, record.labels.aligner_revision) == ("tones", "0123456789ab")
    assert (record.labels.aligned, record.labels.left_out, record.labels.silence) == (3, 1, "drop")
    assert record.labels.mean_confidence == pytest.approx(labelling.alignments.confidence)
    assert record.utterances == 3
    assert record.samples == 3 * 2 * 17  # 17 frames of letters of 20 ms, two of the candidate's each


@pytest.mark.parametrize(("silence", "frames"), [("own-class", 29), ("nearest", 29), ("drop", 17)])
def test_silence_adds_samples(frame_statistics, data, labelling, silence, frames):
    settings = {"layers": [0], "labelling": replace(labelling, silence=silence)}
    (record,) = score_candidate(frame_statistics(), ASR, data, ["logme"], **settings)
    assert record.samples == 3 * 2 * frames


def test_true_times_are_taken_where_there_are_any(data, monkeypatch):
    monkeypatch.setattr(labelling_module, "load_aligner", lambda *_, **__: pytest.fail("aligned"))
    phones = (Span(0.0, 0.5, "x"),)
    timed = replace(data, train=[replace(each, phones=phones) for each in data.train])
    assert label_frames(ASR, timed, silence="nearest") == Labelling("nearest")
    assert label_frames(get_task("emotion_recognition"), data) == Labelling()


def test_an_aligner_for_labels_of_utterances_is_refused(data):
    with pytest.raises(InputError, match="--aligner mms_fa: emotion_recognition labels whole utterances"):
        label_frames(get_task("emotion_recognition"), data, aligner="mms_fa")


def test_a_ranking_aligns_once_for_all_candidates(frame_statistics, data, tone_aligner, monkeypatch):
    loads, lines, bars = [], [], []

    def load(name, **_):
        loads.append(name)
        return tone_aligner(name)

    monkeypatch.setattr(labelling_module, "load_aligner", load)
    ranking = rank(
        ASR, data, [frame_statistics("one"), frame_statistics("two")], silence="nearest",
        report=lines.append, progress=lambda name, *_: bars.append(name),
    )  # fmt: skip
    assert loads == ["embedded"]
    assert {row.model for row in ranking.rows} == {"one", "two"}
    facts = ranking.provenance
    assert (facts["train_utterances"], facts["labels"]["left_out"], facts["labels"]["silence"]) == (
        3, 1, "nearest",
    )  # fmt: skip
    assert "3 utterances with a mean confidence of" in lines[-1]
    assert "1 left out (the first, wrong: aligned with a confidence of" in lines[-1]
    assert bars[:4] == ["alignment"] * 4
