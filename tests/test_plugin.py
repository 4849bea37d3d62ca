"""The plugin and the benchmark, run by real pytest on a toy task with toy candidates.

The toys come from a package of their own with entry points, as anyone's may: tones in noise, and
encoders whose layers drown them more and more. Their ground truth is made up here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import made_up
import pytest

from foretune import records, tasks
from foretune.estimators import UnknownEstimatorError
from foretune.judging import POLICIES
from foretune.models import load_candidate
from foretune.records import AgreementRecord, ScoreRecord
from foretune.study import Options, Study
from foretune.tasks.errors import InputError
from foretune.tuning import DEFAULTS, Settings

pytest_plugins = ["pytester"]

BENCH = Path(__file__).parents[1] / "bench"
STUDY = ("bench/test_layers.py", "bench/test_models.py")
MODELS = ("toy_clear", "toy_dull", "toy_deaf")
LAYERS = 4


@pytest.fixture(autouse=True)
def _own_session(monkeypatch):
    """Keep the sessions started here from taking themselves for workers of the one they are tested in."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)


TOYS = """
import numpy as np
import torch

from foretune.models.candidate import Candidate, Card, HiddenStates
from foretune.models.frame_grid import FrameGrid
from foretune.tasks import Task, TaskData, Utterance

CLASSES = {"low": 500.0, "middle": 1500.0, "high": 3000.0}


def _utterance(label, number):
    generator = np.random.default_rng(number)
    time = np.arange(3200) / 16000
    wave = np.sin(2 * np.pi * CLASSES[label] * time) + generator.normal(size=time.size)
    speaker = f"speaker{number % 4}"
    return Utterance(f"{label}{number}", (3000 * wave).astype(np.int16), label=label, speaker=speaker)


def _data():
    def part(start):
        return [_utterance(label, start + i) for label in CLASSES for i in range(8)]

    return TaskData("tones", "embedded", "toydata00000", part(0), part(100))


def _evaluate(references, hypotheses):
    return {"accuracy": sum(r == h for r, h in zip(references, hypotheses)) / len(references)}


TONES = Task(
    name="tones", code="TON", title="tones", kind="utterance", columns=("label",), metric="accuracy",
    direction="higher", split_by="speaker", evaluate=_evaluate, embedded=_data, description="Which tone.",
)


class Toy(Candidate):
    num_layers = 3
    dimensions = (8,) * 4
    grid = FrameGrid(stride=400, receptive_field=400)
    revision = "toyweights00"
    card = Card(family="toy")

    def __init__(self, name, noise):
        self.name, self.noise, self.module = name, noise, torch.nn.Identity()

    def batch(self, waveforms):
        length = max(map(len, waveforms))
        padded = np.stack([np.pad(waveform, (0, length - len(waveform))) for waveform in waveforms])
        return {"waves": torch.from_numpy(padded), "samples": torch.tensor([len(w) for w in waveforms])}

    def front_end_features(self, batch):
        frames = batch["waves"].unfold(1, 400, 400)
        spectrum = torch.fft.rfft(frames).abs()[..., :200].unflatten(-1, (8, 25)).mean(-1)
        return torch.log(spectrum + 1e-6), batch["samples"] // 400

    def forward_from_features(self, features, lengths, *, last_layer=None):
        top = self.num_layers if last_layer is None else last_layer
        noise = torch.sin(1e5 * features)
        return HiddenStates([features + self.noise * layer * noise for layer in range(top + 1)], lengths)

    def front_end(self):
        return None

    def parameters(self, layer):
        return 100 * layer


def clear(*, device): return Toy("toy_clear", 0.5)
def dull(*, device): return Toy("toy_dull", 2.0)
def deaf(*, device): return Toy("toy_deaf", 8.0)
"""
ENTRY_POINTS = """
[foretune.tasks]
tones = toy_speech:TONES
[foretune.models]
toy_clear = toy_speech:clear
toy_dull = toy_speech:dull
toy_deaf = toy_speech:deaf
"""


def toy_run(model, layer, seed, **changes):
    value = 0.9 - 0.05 * layer * (1 + MODELS.index(model)) + 0.01 * seed
    values = {
        "task": "tones",
        "data_revision": "toydata00000",
        "model": model,
        "model_revision": "toyweights00",
        "layer": layer,
        "seed": seed,
        "metric": "accuracy",
        "direction": "higher",
        "value": value,
        "metrics": {"accuracy": value},
        "parameters_trained": 100,
        "train_utterances": 24,
        "test_utterances": 24,
        "wall_seconds": 50.0,
        "cpu_seconds": 50.0,
        "peak_memory_bytes": 0,
    }
    return made_up.tuning(**(values | changes))


def agreement(**changes):
    values = {
        "task": "tones",
        "data_revision": "toydata00000",
        "model": "toy_dull",
        "estimator": "depth",
        "metric": "accuracy",
        "direction": "higher",
        "candidates": 2,
        "names": ["0", "1"],
        "scores": [0.0, 1.0],
        "values": [0.5, 0.6],
        "deviations": [None, None],
        "seeds": 1,
        "p_value": 1.0,
        "smallest_p_value": 1.0,
        "score_seconds": 1.0,
        "fine_tune_seconds": 1.0,
        "cost_ratio": 1.0,
    }
    return made_up.agreement(**(values | changes))


class Toys:
    """A folder with the toys, a copy of the benchmark, and made-up ground truth."""

    def __init__(self, path):
        self.path, self.installed = path, path / "installed"
        metadata = self.installed / "toy_speech-1.0.dist-info"
        metadata.mkdir(parents=True)
        (self.installed / "toy_speech.py").write_text(TOYS)
        (metadata / "METADATA").write_text("Name: toy_speech\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
        self.records = path / "records.jsonl"
        self.truth = path / "truth.jsonl"

    def fine_tuned(self, **changes):
        for layer in range(LAYERS):
            for model in MODELS:
                for seed in range(2):
                    records.append(self.truth, toy_run(model, layer, seed, **changes))

    def agreements(self):
        return [record for record in records.read(self.records) if isinstance(record, AgreementRecord)]


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """The toys, installed for this process too."""
    toys = Toys(tmp_path)
    monkeypatch.syspath_prepend(toys.installed)
    tasks._registry.cache_clear()
    yield toys
    tasks._registry.cache_clear()
    sys.modules.pop("toy_speech", None)


@pytest.fixture
def session(pytester, monkeypatch):
    """Runs the benchmark, or another path, by a pytest of its own, where the toys are installed."""
    toys = Toys(pytester.path)
    monkeypatch.setenv("PYTHONPATH", str(toys.installed))
    shutil.copytree(BENCH, pytester.path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\nfilterwarnings = error\n")

    def run(path, *arguments):
        return pytester.runpytest_subprocess(
            path, "--records", toys.records, "--ground-truth", toys.truth, *arguments
        )

    toys.run = run
    return toys


class TestBenchmark:
    def test_the_whole_study_is_judged_recorded_saved_and_compared(self, session):
        session.fine_tuned()
        (session.path / "bench" / "gates.toml").write_text(
            "[tones.layers.toy_dull.logme]\nleast_spearman = 0.9\nlargest_p_value = 0.1\n"
            "[tones.layers.toy_clear.depth]\nleast_spearman = 0.5\n"
            "[tones.models.logme]\nleast_spearman = 0.5\nlargest_p_value = 0.05\n"
            "[tones.models.sliced_wasserstein]\nleast_spearman = 0.5\n"
        )
        names = "logme,depth,sliced_wasserstein"  # the toys have no source speech for the last
        result = session.run(*STUDY, "--estimators", names, "--benchmark-save=toys", "-v")
        # three estimators, on the layers of three models and on the models
        result.assert_outcomes(passed=6, failed=3, xfailed=3)
        result.stdout.fnmatch_lines(
            [
                "*test_layers?tones-toy_dull-logme? PASSED*",
                "*Spearman's ρ is -1, must be at least 0.5*",
                "*p is 0.3333, must be at most 0.05*",
                "*Spearman's ρ is missing, must be at least 0.5 (no score: *pre-training*",
            ]
        )
        self.check_saved(session)
        self.check_records(session)
        compare = Path(sys.executable).with_name("pytest-benchmark")
        shown = subprocess.run(
            [compare, "compare"], cwd=session.path, capture_output=True, text=True, check=True
        )
        assert "test_layers[tones-toy_dull-logme]" in shown.stdout + shown.stderr

        whole = session.agreements()
        part_of_it = ("-k", "toy_clear and depth", "--estimators", "depth")
        gate = (f"--gate-against={session.records}", "--gate-limits=spearman=-0,score=0")
        result = session.run(*STUDY, *part_of_it, *gate, "--gate-allow=missing")
        result.assert_outcomes(failed=1)
        # ρ, and the scores of four layers, are those of the first run
        result.stdout.fnmatch_lines(
            ["*tones.layers.toy_deaf.depth *missing (allowed) *deselected", "gate passed (5 values of *"]
        )
        part = session.agreements()  # the cell was replaced, the others were kept
        assert sorted(record.key for record in part) == sorted(record.key for record in whole)
        changed = [new.key for new in part if new not in whole]
        assert changed == [("embedded", "tones", "layers", "toy_clear", "depth", "each")]

    def test_models_that_were_probed_are_judged_by_that_too(self, session):
        session.fine_tuned()
        for number, model in enumerate(MODELS):  # what is best fine-tuned is worst probed
            records.append(session.truth, toy_run(model, 3, 0, protocol="probe", value=0.5 + number / 10,
                                                  metrics={"accuracy": 0.5 + number / 10}))  # fmt: skip
        (session.path / "bench" / "gates.toml").write_text(
            "[tones.models.logme]\nleast_spearman = 0.9\n[tones.probe.logme]\nleast_spearman = 0.9\n"
        )
        result = session.run("bench/test_models.py", "--estimators=logme,knn")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(["*probe: Spearman's ρ is 0, must be at least 0.9*"])
        found = {(r.estimator, r.protocol, r.layer_policy): r for r in session.agreements()}
        assert set(found) == {
            *(("logme", protocol, policy) for protocol in ("layer", "probe") for policy in POLICIES),
            ("knn", "layer", "last"),  # needs samples: the scores of all layers would take too long
            ("knn", "probe", "last"),
        }
        for (estimator, protocol, policy), cell in found.items():
            assert cell.scores == found[estimator, "layer", policy].scores
            gated = (estimator, protocol, policy) in {("logme", "layer", "last"), ("logme", "probe", "best")}
            assert (cell.least_spearman == 0.9) == gated
            values = [0.5, 0.7, 0.6] if protocol == "probe" else [0.755, 0.455, 0.605]
            assert cell.values == pytest.approx(values)

    def test_scores_from_moments_have_intervals_over_speech(self, session):
        session.fine_tuned()
        session.run(*STUDY, "--estimators=logme,held_out_evidence,ridge,knn", "-q")
        found = {(r.setting, r.model, r.estimator, r.layer_policy): r for r in session.agreements()}
        for (setting, _, estimator, policy), cell in found.items():
            known = estimator in ("logme", "held_out_evidence") and policy in ("each", "last")
            # three models are too few for an interval
            assert cell.utterance_errors == ("groups" if known and setting == "layers" else ""), cell.key
            assert (cell.utterance_low is not None) == (known and setting == "layers"), cell.key
            if known:
                assert all(error > 0 for error in cell.score_errors)
        by_layer = [r for r in records.read(session.records) if isinstance(r, ScoreRecord)]
        (dull,) = (r for r in by_layer if (r.model, r.layer, r.estimator) == ("toy_dull", 3, "logme"))
        cells = found["layers", "toy_dull", "logme", "each"], found["models", "all", "logme", "last"]
        assert [cells[0].score_errors[3], cells[1].score_errors[2]] == pytest.approx(
            [dull.standard_error] * 2
        )

    def test_few_probes_are_no_setting(self, session):
        session.fine_tuned()
        for model in MODELS[:2]:
            records.append(session.truth, toy_run(model, 3, 0, protocol="probe"))
        session.run("bench/test_models.py", "--estimators=depth").assert_outcomes(passed=1)
        assert {record.protocol for record in session.agreements()} == {"layer"}

    def test_what_was_only_probed_is_missed_by_nobody(self, session):
        session.fine_tuned()
        for model in MODELS:
            records.append(session.truth, toy_run(model, 3, 0, protocol="probe"))
        other = {"model": "fbank", "model_revision": load_candidate("fbank").revision, "layer": 0}
        records.append(session.truth, toy_run(MODELS[0], 0, 0, protocol="probe").model_copy(update=other))
        session.run("bench/test_models.py", "--estimators=depth").assert_outcomes(passed=1)
        found = {record.protocol: record.names for record in session.agreements()}
        assert found == {"layer": sorted(MODELS), "probe": sorted(["fbank", *MODELS])}

    def check_saved(self, session):
        (saved,) = (session.path / ".benchmarks").glob("*/*_toys.json")
        cells = [benchmark["extra_info"] for benchmark in json.loads(saved.read_text())["benchmarks"]]
        assert len(cells) == 12
        for cell in cells:
            if cell["estimator"] == "sliced_wasserstein":
                assert cell["spearman"] is cell["p_value"] is cell["cost_ratio"] is None
                continue
            names = ("task", "setting", "model", "estimator")
            assert all(type(cell.pop(name)) is str for name in names)
            assert type(cell.pop("candidates")) is int
            numbers = ("spearman", "p_value", "score_seconds", "fine_tune_seconds", "cost_ratio")
            assert all(type(cell.pop(name)) is float for name in numbers)
            assert cell == {}

    def check_records(self, session):
        found = {(r.setting, r.model, r.estimator, r.layer_policy): r for r in session.agreements()}
        # other policies than the last layer are for estimators without samples
        assert len(found) == 9 + 3 + 3 + 1
        layers = found["layers", "toy_dull", "logme", "each"]
        assert (layers.spearman, layers.p_value, layers.names) == (1.0, 2 / 24, ["0", "1", "2", "3"])
        assert layers.fine_tune_seconds == 4 * 50.0
        assert (layers.least_spearman, layers.passed) == (0.9, True)
        assert layers.values == pytest.approx([0.905, 0.805, 0.705, 0.605])  # means of two seeds
        broken = found["layers", "toy_clear", "depth", "each"]
        assert (broken.spearman, broken.passed) == (-1.0, False)
        last = found["models", "all", "logme", "last"]
        assert (last.candidates, last.spearman, last.p_value, last.passed) == (3, 1.0, 1 / 3, False)
        assert last.names == ["toy_clear", "toy_deaf", "toy_dull"]
        failed = found["layers", "toy_deaf", "sliced_wasserstein", "each"]
        assert (failed.status, failed.spearman, failed.passed) == ("failed", None, True)
        assert "pre-training" in failed.error
        scores = [r for r in records.read(session.records) if isinstance(r, ScoreRecord)]
        assert len(scores) == 3 * 3 * LAYERS
        # a cell pays for one pass a model, whatever the number of layers
        own = [r for r in scores if (r.model, r.estimator) == ("toy_dull", "logme")]
        assert layers.score_seconds > own[0].forward_seconds + own[0].accumulate_seconds
        assert layers.score_seconds < 2 * own[0].forward_seconds + own[0].accumulate_seconds + sum(
            r.score_seconds for r in own
        )
        assert layers.cost_ratio == pytest.approx(200.0 / layers.score_seconds)

    def test_the_whole_study_replaces_the_records_of_earlier_ones_and_a_part_does_not(
        self, session, pytester
    ):
        earlier = agreement(model="no_longer_there")
        records.append(session.records, earlier)
        path = pytester.makepyfile(
            f"""
            import pytest
            from foretune.records import AgreementRecord

            @pytest.mark.parametrize("setting", ["layers", "models"])
            def test_setting(foretune_study, setting):
                record = AgreementRecord.model_validate_json({agreement().model_dump_json(by_alias=True)!r})
                foretune_study.append(record.model_copy(update={{"setting": setting}}))
            """
        )
        of_layers, of_models = agreement(), agreement(setting="models")
        for part in (("-k", "layers"), ("--models", "toy_dull", "-k", "layers")):
            session.run(path, *part).assert_outcomes(passed=1)
            assert session.agreements() == [earlier, of_layers]
        session.run(f"{path}::test_setting").assert_outcomes(passed=2)
        assert session.agreements() == [earlier, of_layers, of_models]
        session.run(path).assert_outcomes(passed=2)
        assert session.agreements() == [of_layers, of_models]

    def test_records_of_earlier_studies_stay_where_others_record_meanwhile(self, session, pytester):
        earlier, meanwhile = agreement(model="of_before"), agreement(model="of_another_session")
        records.append(session.records, earlier)
        lines = [
            agreement(setting=setting).model_dump_json(by_alias=True) for setting in ("layers", "models")
        ]
        path = pytester.makepyfile(
            f"""
            from pathlib import Path
            from foretune import records

            def test_study(foretune_study):
                for line in {lines!r}:
                    foretune_study.append(records.AgreementRecord.model_validate_json(line))
                other = {meanwhile.model_dump_json(by_alias=True)!r}
                path = Path({str(session.records)!r})
                records.append(path, records.AgreementRecord.model_validate_json(other))
            """
        )
        session.run(path).assert_outcomes(passed=1)
        found = [(record.model, record.setting) for record in session.agreements()]
        assert found == [
            ("of_before", "layers"),
            ("toy_dull", "layers"),
            ("toy_dull", "models"),
            ("of_another_session", "layers"),
        ]

    def test_the_study_is_not_timed_side_by_side(self, session):
        session.fine_tuned()
        result = session.run(*STUDY, "-n", "2", "--benchmark-json=times.json")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --benchmark-json: tests that run side by side *"])

    def test_what_is_recorded_side_by_side_says_so(self, session):
        session.fine_tuned()
        session.run("bench/test_models.py", "-n", "2", "--estimators=logme,depth").assert_outcomes(passed=2)
        assert {record.provenance.processes for record in records.read(session.records)} == {2}
        assert {record.cost_ratio for record in session.agreements()} == {None}

    def test_without_ground_truth_the_session_does_not_start(self, session):
        result = session.run(*STUDY)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *truth.jsonl: no ground truth there; add --fine-tune missing*"])


class TestFixtures:
    def test_each_task_has_a_fixture_for_anyones_tests(self, session, pytester):
        session.fine_tuned()
        path = pytester.makepyfile(
            """
            from foretune.tasks import TASKS

            def test_every_task(request):
                for name, task in TASKS.items():
                    assert request.getfixturevalue(name).task is task

            def test_a_task_of_another_package(tones):
                assert tones.data is tones.data
                assert len(tones.data.train) == 24
                assert tones.ground_truth.layered_models() == ["toy_clear", "toy_deaf", "toy_dull"]
            """
        )
        session.run(path).assert_outcomes(passed=2)
        assert not session.records.exists()

    def test_a_session_without_a_study_leaves_the_records_of_others_alone(self, session, pytester):
        session.fine_tuned()
        twice = session.truth.read_text()  # any records will do, each written twice
        path = pytester.makepyfile(
            f"""
            from pathlib import Path

            def test_another_process_records_meanwhile():
                records = Path({str(session.records)!r})
                records.parent.mkdir(parents=True, exist_ok=True)
                records.write_text(2 * Path({str(session.truth)!r}).read_text())
            """
        )
        session.run(path).assert_outcomes(passed=1)
        assert session.records.read_text() == 2 * twice

    def test_the_plugin_itself_is_light(self):
        program = (
            "import sys, foretune.plugin\n"
            "heavy = {'torch', 'transformers', 'numpy', 'scipy', 'sklearn', 'datasets', 'pydantic'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
        )
        subprocess.run([sys.executable, "-P", "-c", program], check=True)


class TestStudy:
    def study(self, toys, **options):
        return Study(Options(records=toys.records, ground_truth=toys.truth, **options))

    def test_ground_truth_matches_the_data_and_weights_of_now(self, toys):
        toys.fine_tuned()
        tones = self.study(toys, estimators=["depth"]).tasks("tones")
        assert list(tones.layers("toy_dull")) == [0, 1, 2, 3]
        assert tones.models()["toy_clear"].value == pytest.approx(0.755)
        assert tones.features.cache_info().currsize == 0  # no pass is needed to know that

    @pytest.mark.parametrize("changed", ["data_revision", "model_revision"])
    def test_stale_ground_truth_is_an_error_that_says_what_to_do(self, toys, changed):
        toys.fine_tuned(**{changed: "older"})
        tones = self.study(toys, estimators=["depth"]).tasks("tones")
        for ask in (tones.models, lambda: tones.layers("toy_dull")):
            with pytest.raises(InputError, match=r"ground truth is stale .*older.*add --fine-tune missing"):
                ask()

    def test_missing_runs_are_made_once(self, toys, monkeypatch):
        monkeypatch.setitem(DEFAULTS, "utterance", Settings(steps=1, head_steps=2))
        study = self.study(toys, estimators=["depth"], models=["fbank"], fine_tune=True)
        made = study.tasks("tones").models()["fbank"]
        assert made.seeds == 3
        assert 0 <= made.value <= 1
        runs = records.read_tuning([toys.truth])
        assert [(run.task, run.model, run.layer, run.seed) for run in runs] == [
            ("tones", "fbank", 0, seed) for seed in range(3)
        ]
        again = self.study(toys, estimators=["depth"], models=["fbank"], fine_tune=True)
        size = toys.truth.stat().st_size
        assert again.tasks("tones").models()["fbank"] == made
        assert toys.truth.stat().st_size == size

    def test_a_part_of_models_and_estimators(self, toys):
        toys.fine_tuned()
        records.append(toys.truth, toy_run("toy_dull", 0, 0, task="asr"))
        study = self.study(toys)
        assert study.task_names() == ["asr", "tones"]
        assert study.models("asr") == ["toy_dull"]
        assert study.layered_models("asr") == []
        twin = toy_run("toy_dull", 0, 0, task="asr").model_copy(update={"model": "toy_dull-untrained"})
        records.append(toys.truth, twin)
        assert self.study(toys).models("asr") == ["toy_dull"]  # twins are ranked where they are named
        assert self.study(toys, models=["toy_dull-untrained"]).models("asr") == ["toy_dull-untrained"]
        part = self.study(toys, models=["toy_deaf"], estimators=["logme"])
        assert part.models("tones") == part.layered_models("tones") == ["toy_deaf"]
        assert part.estimator_names() == ["logme"]
        with pytest.raises(UnknownEstimatorError, match="did you mean logme"):
            self.study(toys, estimators=["logmee"]).estimator_names()

    def test_the_features_of_one_task_at_a_time(self, toys):
        toys.fine_tuned()
        study = self.study(toys, estimators=["logme"])
        tones = study.tasks("tones")
        features = tones.features("toy_dull")
        assert tones.features("toy_dull") is features
        assert features.prepared.candidate is study.candidate("toy_dull")  # loaded once for all tasks
        study.drop_features(except_of="asr")
        assert tones.features("toy_dull") is not features

    def test_scores_that_are_known_are_not_computed_again(self, toys):
        toys.fine_tuned()
        features = self.study(toys, estimators=["logme"]).tasks("tones").features("toy_dull")
        (last,) = features.score("logme", [3])
        every = features.scores("logme")
        assert [record.layer for record in every] == [0, 1, 2, 3]
        assert every[3] is last
        assert features.scores("logme")[0] is every[0]

    def test_a_score_is_recorded_once(self, toys):
        toys.fine_tuned()
        study = self.study(toys, estimators=["depth"])
        scores = study.tasks("tones").features("toy_dull").scores("depth")
        for record in (*scores, *scores):
            study.append(record)
        assert records.read(toys.records) == scores
