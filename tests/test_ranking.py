"""Rankings: order, ties, what is refused before anything long, and what is written."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import foretune
from foretune.estimators import UnknownEstimatorError
from foretune.ranking import load_data, rank
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import TaskData, Utterance


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    made = [
        Utterance(
            f"u{number}",
            (1_000 * (1 + number % 2) * rng.standard_normal(900)).astype(np.int16),
            emotion="ab"[number % 2],
        )
        for number in range(14)
    ]
    return TaskData("emotion_recognition", "local", "e" * 12, made[:12], made[12:])


@pytest.fixture
def manifest(tmp_path):
    """Twelve recordings of two speakers and two emotions, with a manifest."""
    rng = np.random.default_rng(1)
    lines = ["path,speaker,emotion,split"]
    for number in range(12):
        emotion = "ab"[number % 2]
        waveform = 0.05 * (1 + number % 2) * rng.standard_normal(4_000)
        soundfile.write(tmp_path / f"{number}.wav", waveform, 16_000)
        lines.append(f"{number}.wav,s{number // 6},{emotion},{'test' if number > 9 else 'train'}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


def test_rows_are_best_first(frame_statistics, data):
    ranking = rank("emotion_recognition", data, [frame_statistics("one"), frame_statistics("other")])
    scores = [row.score for row in ranking.rows]
    assert scores == sorted(scores, reverse=True)
    assert {(row.model, row.layer) for row in ranking.rows} == {
        (model, layer) for model in ("one", "other") for layer in range(3)
    }


def test_equal_scores_share_a_rank(frame_statistics, data):
    models = [frame_statistics("one"), frame_statistics("other")]
    ranking = rank("emotion_recognition", data, models, estimator="depth")
    assert [(row.rank, row.model, row.layer, row.score) for row in ranking.rows] == [
        (1, "one", 2, 2.0),
        (1, "other", 2, 2.0),
        (3, "one", 1, 1.0),
        (3, "other", 1, 1.0),
        (5, "one", 0, 0.0),
        (5, "other", 0, 0.0),
    ]


def test_the_last_layer_of_each_model(frame_statistics, data):
    ranking = rank("emotion_recognition", data, [frame_statistics(), "fbank"], layers="last")
    assert {(row.model, row.layer) for row in ranking.rows} == {("frame-statistics", 2), ("fbank", 0)}


def test_a_ranking_is_plain_json(frame_statistics, data):
    ranking = rank("emotion_recognition", data, [frame_statistics()], layers=[1])
    content = json.loads(json.dumps(ranking.as_dict(), allow_nan=False))
    assert content["ranking"] == [
        {
            "rank": 1,
            "model": "frame-statistics",
            "layer": 1,
            "estimator": "logme",
            "score": ranking.rows[0].score,
            "standard_error": ranking.rows[0].standard_error,
        }
    ]
    assert ranking.rows[0].standard_error > 0
    facts = content["provenance"]
    assert facts["models"] == {"frame-statistics": "0" * 12}
    assert (facts["task"], facts["data"], facts["data_revision"]) == (
        "emotion_recognition",
        "local",
        "e" * 12,
    )
    assert (facts["train_utterances"], facts["test_utterances"]) == (12, 2)
    assert facts["seconds"] >= facts["forward_seconds"] > 0


def test_all_models_and_one_more(frame_statistics, data, monkeypatch):
    monkeypatch.setattr("foretune.models.names", lambda: ["fbank"])
    ranking = rank("emotion_recognition", data, ["all", frame_statistics()], layers="last")
    assert {row.model for row in ranking.rows} == {"fbank", "frame-statistics"}


def test_a_manifest_is_loaded_for_the_task(manifest):
    ranking = rank("emotion_recognition", manifest, "fbank")
    assert ranking.provenance["data"] == str(manifest)
    assert (ranking.provenance["train_utterances"], ranking.provenance["test_utterances"]) == (10, 2)


def test_source_speech_needs_no_labels(manifest, tmp_path):
    (tmp_path / "source.csv").write_text("path\n0.wav\n1.wav\n3.wav\n")
    ranking = rank(
        "emotion_recognition",
        manifest,
        "fbank",
        estimator="sliced_wasserstein",
        source=tmp_path / "source.csv",
    )
    assert ranking.provenance["source_utterances"] == 3
    assert ranking.rows[0].score < 0


def test_source_speech_may_be_utterances(data):
    loaded = load_data(get_task("emotion_recognition"), data, source=data.train[:3])
    assert list(loaded.source) == list(data.train[:3])


def test_progress_names_the_model(frame_statistics, data):
    calls = []
    rank(
        "emotion_recognition",
        data,
        [frame_statistics("one")],
        progress=lambda *call: calls.append(call),
    )
    seconds = sum(len(utterance.audio) for utterance in data.train) / 16_000
    assert calls == [("one", seconds, seconds)]


def test_scores_of_arrays_are_public():
    features = np.random.default_rng(0).standard_normal((40, 4))
    labels = (features[:, 0] > 0).astype(int)
    assert foretune.score(features, labels) > foretune.score(features, np.roll(labels, 7))


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, foretune; heavy = {'torch', 'transformers', 'scipy', 'numpy'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_the_public_names_are_there():
    assert foretune.rank is rank
    assert foretune.InputError is InputError
    assert all(hasattr(foretune, name) for name in foretune.__all__)


def test_what_is_not_public():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        foretune.nonsense  # noqa: B018


# --- what is refused


def test_names_are_checked_before_the_data_are_read(tmp_path):
    absent = tmp_path / "absent.csv"
    with pytest.raises(InputError, match="unknown task emotion"):
        rank("emotion", absent, ["fbank"])
    with pytest.raises(UnknownEstimatorError, match="did you mean logme"):
        rank("emotion_recognition", absent, ["fbank"], estimator="logm")
    with pytest.raises(InputError, match="model fbnk: unknown"):
        rank("emotion_recognition", absent, ["fbank", "fbnk"])
    with pytest.raises(InputError, match=r"absent\.csv"):
        rank("emotion_recognition", absent, ["fbank"])


def test_a_model_given_twice(frame_statistics, data):
    with pytest.raises(InputError, match="model fbank: given twice"):
        rank("emotion_recognition", data, ["fbank", "fbank"])


def test_no_model(data):
    with pytest.raises(InputError, match="models: none given"):
        rank("emotion_recognition", data, [])


def test_data_of_another_task(data):
    with pytest.raises(InputError, match="made for the task emotion_recognition, not speaker_identification"):
        rank("speaker_identification", data, ["fbank"])


def test_a_score_that_cannot_be_made(frame_statistics, data):
    silent = [dataclasses.replace(each, audio=np.zeros(900, np.int16)) for each in data.train]
    with pytest.raises(InputError, match="frame-statistics: layer 0: sliced_wasserstein gives no score: "):
        rank(
            "emotion_recognition",
            dataclasses.replace(data, train=silent, source=silent),
            [frame_statistics()],
            estimator="sliced_wasserstein",
            layers=[0],
        )


def test_source_speech_that_cannot_be_read(data, tmp_path):
    (tmp_path / "source.csv").write_text("path\nabsent.wav\n")
    with pytest.raises(InputError, match=r"source\.csv: 1 of 1 rows is bad: row 1 \(absent\.wav\)"):
        rank("emotion_recognition", data, ["fbank"], source=tmp_path / "source.csv")


def test_the_source_of_the_shipped_models_goes_by_a_name(data, monkeypatch):
    from foretune.tasks.embedded import corpus

    monkeypatch.setattr(corpus, "source_speech", lambda: ("spoken",))
    assert load_data(get_task("emotion_recognition"), data, source="embedded").source == ("spoken",)
