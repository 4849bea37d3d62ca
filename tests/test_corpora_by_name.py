"""Corpora by name where data are asked for: `rank`, `tune`, `judge`, `list corpora`."""

from __future__ import annotations

import json

import made_up
import numpy as np
import pytest
import soundfile

from foretune.ranking import load_data
from foretune.tasks import get_task
from foretune.tasks.corpora import CORPORA, load_corpus
from foretune.tasks.errors import InputError

RATE = 16_000
KEYWORDS = get_task("keyword_spotting")


@pytest.fixture
def words(tmp_path):
    """Speech Commands in its own layout: four words of four people, each word a tone of its own."""
    return made_up.speech_commands(tmp_path / "words", ("yes", "no", "go", "bed"))


def test_load_data_takes_a_corpus_and_so_many_utterances_of_it(words):
    whole = load_data(KEYWORDS, f"speech-commands:{words}")
    assert whole.revision == load_corpus("speech_commands", words).revision
    assert (len(whole.train), len(whole.test)) == (12, 4)
    part = load_data(KEYWORDS, f"speech-commands:{words}", utterances=6, seed=2)
    assert part.revision == load_corpus("speech_commands", words, limit=6, seed=2).revision
    assert len(part.train) == 6


def test_source_speech_is_the_training_part_of_a_corpus(words):
    data = load_data(KEYWORDS, f"speech-commands:{words}", source=f"speech_commands:{words}", utterances=8)
    assert [each.id for each in data.source] == [each.id for each in data.train]


def test_a_number_of_utterances_is_for_corpora(tmp_path):
    with pytest.raises(InputError, match="--utterances 5: for a corpus that is named"):
        load_data(KEYWORDS, tmp_path / "manifest.csv", utterances=5)


def test_a_part_of_a_task_takes_its_part_of_the_data(tmp_path):
    lines = ["path,text,language,split"]
    for number in range(8):
        wave = 0.1 * np.random.default_rng(number).standard_normal(4_000)
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE)
        side = "test" if number > 3 else "train"
        lines.append(f"{number}.wav,words {number},{'de' if number % 2 else 'fr'},{side}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    german = get_task("multilingual_asr:de")
    data = load_data(german, tmp_path / "manifest.csv")
    assert data.task == "multilingual_asr:de"
    assert {each.language for each in (*data.train, *data.test)} == {"de"}
    whole = load_data(get_task("multilingual_asr"), tmp_path / "manifest.csv")
    assert len(whole.train) == 2 * len(data.train) == 4
    assert [each.id for each in load_data(german, whole).test] == [each.id for each in data.test]
    with pytest.raises(InputError, match="made for the task multilingual_asr, not asr"):
        load_data(get_task("asr"), whole)


def test_a_corpus_of_another_task_is_refused(words):
    with pytest.raises(InputError, match="speech_commands: does not serve the task asr; give keyword_spot"):
        load_data(get_task("asr"), f"speech-commands:{words}")


def test_rank_tune_and_judge_take_the_same_name(run, words, tmp_path):
    data = ("--task", "keyword_spotting", "--data", f"speech-commands:{words}", "--utterances", "10")
    code, _, err = run("rank", *data, "--model", "fbank", "--json", tmp_path / "ranking.json")
    assert code == 0, err
    assert f"scored on 10 training utterances of speech-commands:{words} (4 kept for testing)" in err
    facts = json.loads((tmp_path / "ranking.json").read_text())["provenance"]
    assert facts["data_revision"] == load_corpus("speech_commands", words, limit=10).revision

    records = tmp_path / "tuning.jsonl"
    tune = ("tune", *data, "--model", "fbank", "--seeds", "1", "--records", records)
    code, _, err = run(*tune)
    assert code == 0, err
    (line,) = records.read_text().splitlines()
    assert json.loads(line)["data_revision"] == facts["data_revision"]
    assert json.loads(line)["suite"] == "speech_commands"

    judge = ("judge", *data, "--model", "fbank", "--tuning", records, "--estimator", "logme")
    code, _, err = run(*judge, "--output", tmp_path / "out.jsonl")
    assert code == 2
    assert "1 models, too few for a ranking" in err  # the run was found


def test_a_slip_in_the_name_is_one_line(run, words):
    command = ("rank", "--task", "keyword_spotting", "--model", "fbank", "--data", f"speach-commands:{words}")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "unknown corpus speach-commands: did you mean speech_commands?" in err


def test_what_is_not_to_be_had_offline_is_one_line(run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, out, err = run("rank", "--task", "asr", "--model", "fbank", "--data", "librispeech")
    assert (code, out) == (2, "")
    assert "librispeech: openslr/librispeech_asr (clean, train.100): cannot be had: HF_HUB_OFFLINE is" in err
    assert "go online, or give a folder: train-*/" in err


def test_list_corpora_says_what_each_is_for_and_how_to_get_it(run):
    code, out, _ = run("list", "corpora")
    assert code == 0
    for corpus in CORPORA.values():
        assert corpus.name in out
        assert corpus.licence.split()[0] in out
    assert "--data NAME:FOLDER" in out
