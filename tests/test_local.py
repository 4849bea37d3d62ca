"""The study on a user's own data: scores and fine-tuning matched by data and weights."""

from __future__ import annotations

import made_up
import numpy as np
import pytest

from foretune import local
from foretune.records import ScoreRecord, TuningRecord, append, read
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import TaskData, Utterance

REVISION = "d" * 12
METRIC = {"one": 0.3, "two": 0.5, "three": 0.9}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    made = [
        Utterance(
            f"u{number}",
            (500 * (1 + number % 3) * rng.standard_normal(800)).astype(np.int16),
            emotion="abc"[number % 3],
            speaker=f"s{number % 4}",
        )
        for number in range(25)
    ]
    return TaskData("emotion_recognition", "mine", REVISION, made[:24], made[24:])


@pytest.fixture
def candidates(monkeypatch, frame_statistics):
    monkeypatch.setattr(local, "load_candidate", lambda name, device: frame_statistics(name))


def tuned(
    model: str, layer: int, value: float, revision: str = REVISION, protocol: str = "layer"
) -> TuningRecord:
    return made_up.tuning(
        task="emotion_recognition", suite="local", data_revision=revision, model=model,
        model_revision="0" * 12, layer=layer, metric="unweighted_accuracy", direction="higher",
        value=value, metrics={"unweighted_accuracy": value}, wall_seconds=2.0, protocol=protocol,
    )  # fmt: skip


@pytest.mark.usefixtures("candidates")
def test_models_are_judged_by_their_fine_tuning(data, tmp_path):
    tuning, output = tmp_path / "tuning.jsonl", tmp_path / "out.jsonl"
    for model, value in METRIC.items():
        append(tuning, tuned(model, 2, value))
    cells = local.judge(
        get_task("emotion_recognition"), data, list(METRIC), tuning=[tuning], output=output,
        estimators=["logme", "random"],
    )  # fmt: skip
    scores, written = [], read(output)
    while isinstance(written[0], ScoreRecord):
        scores.append(written.pop(0))
    assert written == cells
    assert {(one.model, one.layer, one.estimator) for one in scores} == {
        (model, layer, estimator)
        for model in METRIC
        for layer in range(3)
        for estimator in ("logme", "random")
    }
    assert {one.suite for one in scores} == {"mine"}
    assert all(one.forward_seconds > 0 for one in scores if one.estimator == "logme")
    assert {(cell.setting, cell.estimator, cell.layer_policy) for cell in cells} == {
        ("models", estimator, policy)
        for estimator in ("logme", "random")
        for policy in ("last", "best", "mean")
    }
    for cell in cells:
        assert cell.suite == "mine"
        assert dict(zip(cell.names, cell.values, strict=True)) == METRIC
        assert cell.fine_tune_seconds == pytest.approx(6.0)
        assert cell.p_value >= cell.smallest_p_value == pytest.approx(1 / 3)


@pytest.mark.usefixtures("candidates")
@pytest.mark.parametrize("whole", [True, False])
def test_models_are_judged_by_their_probes_too(data, tmp_path, whole):
    tuning, scored = tmp_path / "tuning.jsonl", {}
    for model, value in METRIC.items():
        append(tuning, tuned(model, 2, 1 - value, protocol="probe"))
        if whole:
            append(tuning, tuned(model, 2, value, protocol="full"))
    cells = local.judge(
        get_task("emotion_recognition"), data, list(METRIC), tuning=[tuning], estimators=["logme"]
    )
    for cell in cells:
        scored.setdefault(cell.layer_policy, {})[cell.protocol] = cell
    for by_protocol in (scored[policy] for policy in ("last", "best", "mean")):
        probe = by_protocol.pop("probe")
        assert dict(zip(probe.names, probe.values, strict=True)) == {
            model: 1 - value for model, value in METRIC.items()
        }
        assert list(by_protocol) == ["layer"] * whole
        for cell in by_protocol.values():
            assert (cell.scores, cell.spearman) == (probe.scores, -probe.spearman)


@pytest.mark.usefixtures("candidates")
def test_layers_are_judged_where_they_were_fine_tuned(data, tmp_path):
    tuning = tmp_path / "tuning.jsonl"
    for layer, value in enumerate((0.2, 0.4, 0.3)):
        append(tuning, tuned("one", layer, value))
    (cell,) = local.judge(
        get_task("emotion_recognition"), data, ["one"], tuning=[tuning], estimators=["depth"]
    )
    assert (cell.setting, cell.model, cell.names) == ("layers", "one", ["0", "1", "2"])
    assert cell.spearman == pytest.approx(0.5)  # ranks 1 3 2 against 1 2 3


@pytest.mark.usefixtures("candidates")
def test_fine_tuning_on_other_data_does_not_count(data, tmp_path):
    tuning = tmp_path / "tuning.jsonl"
    append(tuning, tuned("one", 2, 0.5, revision="e" * 12))
    with pytest.raises(InputError, match="one"):
        local.judge(get_task("emotion_recognition"), data, ["one"], tuning=[tuning], estimators=["depth"])


@pytest.mark.usefixtures("candidates")
def test_too_few_candidates_are_refused(data, tmp_path):
    tuning = tmp_path / "tuning.jsonl"
    append(tuning, tuned("one", 2, 0.5))
    with pytest.raises(InputError, match="too few for a ranking"):
        local.judge(get_task("emotion_recognition"), data, ["one"], tuning=[tuning], estimators=["depth"])
