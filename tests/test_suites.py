"""Suites: what they take, what they refuse, whose runs count; the suite `hub` as a real session, offline."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_up
import pytest
import torch
from transformers import HubertConfig, HubertModel, WavLMConfig, WavLMModel

from foretune import records
from foretune.models import load_candidate, names
from foretune.models.hub_pool import hub_pool
from foretune.records import AgreementRecord, TuningRecord, append
from foretune.study import Options, Study
from foretune.suites import HUB_DATA, Suite
from foretune.tasks import TASKS, get_task
from foretune.tasks.corpora import CORPORA, load_corpus, read_name
from foretune.tasks.errors import InputError

pytest_plugins = ["pytester"]

BENCH = Path(__file__).parents[1] / "bench"
KEYWORDS = "keyword_spotting"


@pytest.fixture
def words(tmp_path):
    """Speech Commands in its own layout: three words of four people."""
    return made_up.speech_commands(tmp_path / "words", ("yes", "no", "go"))


def tuned(model: str, layer: int, value: float, *, data: str, weights: str, **changes) -> TuningRecord:
    values = {
        "task": KEYWORDS, "suite": "local", "data_revision": data, "model": model,
        "model_revision": weights, "layer": layer, "metric": "accuracy", "direction": "higher",
        "value": value, "metrics": {"accuracy": value},
    }  # fmt: skip
    return made_up.tuning(**(values | changes))


class TestChoice:
    def test_embedded_is_what_ships(self):
        suite = Suite.choose("embedded")
        assert suite == Suite()
        assert suite.tasks(TASKS) == list(TASKS)
        assert suite.pool() == names()
        assert suite.ground_truth(Path("made.jsonl"))[0].name == "embedded.jsonl"
        assert suite.candidates(["wavlm-base"]) == ["wavlm-base"]

    def test_local_is_what_the_user_names(self, words):
        suite = Suite.choose("local", [f"{KEYWORDS}=speech-commands:{words}", "source=embedded"], 5)
        assert suite.tasks(TASKS) == [KEYWORDS]
        assert (suite.source, suite.utterances) == ("embedded", 5)
        assert suite.ground_truth(Path("made.jsonl")) == [Path("made.jsonl")]
        assert suite.candidates(None) is None
        with pytest.raises(InputError, match="--suite local: name the candidates to fine-tune"):
            suite.pool()

    def test_hub_is_real_corpora_and_the_pool(self, words):
        suite = Suite.choose("hub")
        assert suite.data == HUB_DATA
        for task, name in HUB_DATA.items():
            named = read_name(name)
            assert named is not None
            assert named.corpus.hub is not None
            assert task in CORPORA[named.corpus.name].tasks
        assert suite.pool() == [model.name for model in hub_pool()]
        assert suite.candidates(["hubert-base", "fbank", "microsoft/wavlm-base", "./mine", "my.py"]) == [
            "facebook/hubert-base-ls960@refs/pr/2", "fbank", "microsoft/wavlm-base", "./mine", "my.py",
        ]  # fmt: skip
        assert Suite.choose("hub", [f"{KEYWORDS}=speech_commands:{words}"]).tasks(TASKS) == [KEYWORDS]
        with pytest.raises(InputError, match="model mms: which of"):
            suite.candidates(["mms"])

    @pytest.mark.parametrize(
        ("name", "data", "utterances", "message"),
        [
            ("remote", [], None, "--suite remote: give embedded, local, hub"),
            ("embedded", ["asr=x.csv"], None, "not for --suite embedded; add --suite local or hub"),
            ("embedded", [], 5, "not for --suite embedded"),
            ("local", [], None, "--suite local: no data; add --data TASK=WHERE"),
            ("local", ["source=embedded"], None, "--suite local: no data"),
            ("local", ["x.csv"], None, "--data x.csv: write TASK=WHERE"),
            ("local", ["asr="], None, "--data asr=: write TASK=WHERE"),
            ("local", ["emotion=."], None, "unknown task emotion: did you mean emotion_recognition"),
            ("local", ["multilingual_asr:de=."], None, "is a part of a task; give data that hold it alone"),
            ("local", ["asr=.", "asr=.."], None, r"--data asr=\.\.: asr is \. already"),
            (
                "local",
                ["asr=nowhere.csv"],
                None,
                "asr=nowhere.csv: no such file or folder, and no corpus",
            ),
            (
                "local",
                ["asr=librispeech:/nowhere"],
                None,
                "--data asr=.*: /nowhere: no such folder",
            ),
            ("hub", ["asr=speech_commands"], None, "--data asr=speech_commands: .* does not serve the task"),
            (
                "hub",
                ["speaker_identification=voxceleb1"],
                None,
                "voxceleb1: not on the hub, got wav files by request",
            ),
            ("local", ["asr=.", "source=nowhere"], None, "--data source=nowhere: no such file"),
            ("local", ["asr=."], 5, "--utterances 5: for corpora that are named, and there is none"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, name, data, utterances, message):
        with pytest.raises(InputError, match=message):
            Suite.choose(name, data, utterances)


class TestData:
    def test_each_task_has_its_own_under_the_suites_name(self, words):
        suite = Suite.choose("local", [f"{KEYWORDS}=speech-commands:{words}"], 6)
        data = suite.load(get_task(KEYWORDS))
        assert (data.suite, data.task, len(data.train)) == ("local", KEYWORDS, 6)
        assert data.revision == load_corpus("speech_commands", words, limit=6).revision
        assert suite.load(get_task(KEYWORDS)) is data
        with pytest.raises(InputError, match="asr: no data in the suite local; add --data asr=WHERE"):
            suite.load(get_task("asr"))

    def test_source_speech_for_all_tasks(self, words):
        corpus = f"speech-commands:{words}"
        data = Suite.choose("local", [f"{KEYWORDS}={corpus}", f"source={corpus}"]).load(get_task(KEYWORDS))
        assert [each.id for each in data.source] == [each.id for each in data.train]

    def test_what_is_wrong_with_them_names_the_option(self, tmp_path):
        (tmp_path / "m.csv").write_text("path,text\nx.wav,hello\n")
        suite = Suite.choose("local", [f"asr={tmp_path / 'm.csv'}"])
        with pytest.raises(InputError, match=r"^--data asr=.*m\.csv: .*row 1 \(x\.wav\)"):
            suite.load(get_task("asr"))

    def test_runs_on_these_data_count_and_no_others(self, words):
        revision = load_corpus("speech_commands", words).revision
        suite = Suite.choose("local", [f"{KEYWORDS}=speech_commands:{words}"])
        own = tuned("fbank", 0, 0.5, data=revision, weights="0" * 12)
        assert suite.has(own)
        assert suite.has(own.model_copy(update={"suite": "speech_commands"}))  # as `foretune tune` has it
        assert not suite.has(own.model_copy(update={"data_revision": "e" * 12}))
        assert not suite.has(own.model_copy(update={"task": "asr"}))
        assert Suite().has(own.model_copy(update={"suite": "embedded"}))
        assert not Suite().has(own)


class TestCandidates:
    def test_what_is_not_there_is_named_before_the_work(self, words, tmp_path):
        suite = Suite.choose("local", [f"{KEYWORDS}=speech_commands:{words}"])
        suite.check_candidates(["fbank", "hubert-untrained"])
        for name in ("./nowhere", "fbnk", f"{tmp_path}/mine.py", "models/mine.py:candidate"):
            with pytest.raises(InputError, match=f"model {name}: "):
                suite.check_candidates(["fbank", name])

    def test_the_hub_is_not_asked_before_the_work_and_not_at_all_offline(self, words, monkeypatch):
        suite = Suite.choose("hub", [f"{KEYWORDS}=speech_commands:{words}"])
        asked = []
        monkeypatch.setattr("foretune.models.check_name", asked.append)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        suite.check_candidates(["facebook/hubert-base-ls960@refs/pr/2", "fbank"])
        assert asked == ["fbank"]
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        suite.check_candidates(["facebook/hubert-base-ls960@refs/pr/2", "fbank"])
        assert asked == ["fbank", "facebook/hubert-base-ls960@refs/pr/2", "fbank"]


class TestStudy:
    def study(self, words, truth, **options):
        suite = Suite.choose("local", [f"{KEYWORDS}=speech_commands:{words}"])
        return Study(Options(records=truth.with_name("out.jsonl"), made_here=truth, suite=suite, **options))

    def test_the_candidates_are_those_fine_tuned_on_these_data(self, words, tmp_path):
        truth = tmp_path / "tuning.jsonl"
        revision = load_corpus("speech_commands", words).revision
        for model, data in (("fbank", revision), ("mfcc", revision), ("other", "e" * 12)):
            append(truth, tuned(model, 0, 0.5, data=data, weights=load_candidate("fbank").revision))
        study = self.study(words, truth)
        study.check()
        assert study.task_names() == [KEYWORDS]
        assert study.models(KEYWORDS) == ["fbank", "mfcc"]
        assert study.layered_models(KEYWORDS) == []
        with pytest.raises(InputError, match=r"mfcc, layer 0: the ground truth is stale"):
            study.tasks(KEYWORDS).models()  # these are the weights of another candidate

    def test_without_runs_on_these_data_it_says_what_to_do(self, words, tmp_path):
        truth = tmp_path / "tuning.jsonl"
        with pytest.raises(InputError, match=r"tuning\.jsonl: no ground truth there; add --fine-tune"):
            self.study(words, truth).task_names()
        append(truth, tuned("fbank", 0, 0.5, data="e" * 12, weights="0" * 12))
        with pytest.raises(InputError, match="no ground truth of the suite local; add --fine-tune missing"):
            self.study(words, truth).task_names()

    def test_transcripts_without_times_are_aligned_once_as_asked_for(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "foretune.alignment.label_frames", lambda task, data, **given: asked.append((task.name, given))
        )
        (tmp_path / "m.csv").write_text("path\n")
        suite = Suite.choose("local", [f"{task}={tmp_path / 'm.csv'}" for task in ("asr", KEYWORDS)])
        monkeypatch.setattr(Suite, "load", lambda self, task: None)
        options = Options(records=tmp_path / "out.jsonl", suite=suite, aligner="mms_fa", device="cuda")
        study = Study(options)
        for task in ("asr", KEYWORDS):
            assert study.tasks(task).labelling is study.tasks(task).labelling
        assert asked == [
            ("asr", {"aligner": "mms_fa", "device": "cuda"}),
            (KEYWORDS, {"aligner": None, "device": "cuda"}),  # whole utterances have nothing to align
        ]

    def test_what_is_to_be_fine_tuned_has_to_be_named(self, words, tmp_path):
        truth = tmp_path / "tuning.jsonl"
        with pytest.raises(InputError, match="--suite local: name the candidates to fine-tune"):
            self.study(words, truth, fine_tune=True).check()
        named = self.study(words, truth, fine_tune=True, models=["fbank"])
        named.check()
        assert named.task_names() == [KEYWORDS]
        assert named.models(KEYWORDS) == ["fbank"]


ENCODERS = {
    "facebook/hubert-base-ls960@refs/pr/2": (HubertModel, HubertConfig, 1),
    "ntu-spml/distilhubert": (HubertModel, HubertConfig, 2),
    "microsoft/wavlm-base@refs/pr/1": (WavLMModel, WavLMConfig, 3),
}
SHORT = "hubert-base,distilhubert,wavlm-base,fbank"
NO_NETWORK = """
import socket

def refuse(*address):
    raise AssertionError(f"asked the network for {address}")

socket.socket.connect = socket.getaddrinfo = refuse
"""


def save_in_cache(cache: Path, name: str) -> Path:
    """Save a tiny encoder where the hub's own client keeps what it fetched."""
    repository, _, revision = name.partition("@")
    model, config, seed = ENCODERS[name]
    commit = f"{seed:040x}"
    repository_folder = cache / f"models--{repository.replace('/', '--')}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(config(**made_up.TINY)).save_pretrained(repository_folder / "snapshots" / commit)
    reference = repository_folder / "refs" / (revision or "main")
    reference.parent.mkdir(parents=True)
    reference.write_text(commit)
    return repository_folder / "snapshots" / commit


@pytest.fixture
def hub_session(pytester, monkeypatch, words):
    """Runs the benchmark on the suite `hub` offline, with tiny encoders in the hub's cache."""
    cache = pytester.path / "hub"
    revision = load_corpus("speech_commands", words).revision
    folders = {name: save_in_cache(cache, name) for name in ENCODERS}
    for place, (name, folder) in enumerate([*folders.items(), ("fbank", "fbank")]):
        candidate = load_candidate(str(folder))
        for layer in range(candidate.num_layers + 1):
            append(
                pytester.path / "results" / "records" / "tuning.jsonl",
                tuned(name, layer, 0.3 + place / 10, data=revision, weights=candidate.revision),
            )
    for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_HUB_CACHE", str(cache))):
        monkeypatch.setenv(name, value)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(BENCH, pytester.path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib --strict-markers\nfilterwarnings = error\n")
    (pytester.path / "conftest.py").write_text(NO_NETWORK, encoding="utf-8")

    def run(*arguments):
        return pytester.runpytest_subprocess("bench/", "--suite", "hub", *arguments)

    return run


def test_a_session_on_the_hubs_encoders_asks_nothing_of_the_network(hub_session, pytester, words):
    data = ("--data", f"{KEYWORDS}=speech-commands:{words}")
    result = hub_session(*data, "--models", SHORT, "--estimators", "logme")
    result.assert_outcomes(passed=4)  # the models, and the layers of three of them
    cells = [
        record
        for record in records.read(pytester.path / "results" / "records" / "hub.jsonl")
        if isinstance(record, AgreementRecord)
    ]
    (whole,) = (cell for cell in cells if (cell.setting, cell.layer_policy) == ("models", "last"))
    assert whole.suite == "hub"
    assert sorted(whole.names) == sorted([*ENCODERS, "fbank"])
    assert {cell.model for cell in cells if cell.setting == "layers"} == set(ENCODERS)

    shutil.rmtree(pytester.path / "hub" / "models--microsoft--wavlm-base")
    for arguments, message in (
        (
            (*data, "--models", SHORT),
            "ERROR: model microsoft/wavlm-base@refs/pr/1: no such folder, not in the local cache*",
        ),
        (
            ("--data", "asr=librispeech", "--models", "fbank", "--fine-tune", "missing", "-k", "test_models"),
            "*asr=librispeech: librispeech: openslr/librispeech_asr (clean, train.100): cannot be had*",
        ),
    ):
        result = hub_session(*arguments, "--estimators", "logme")
        assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.TESTS_FAILED)
        (result.stdout if "asr=librispeech" in arguments else result.stderr).fnmatch_lines([message])
