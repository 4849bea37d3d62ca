"""The list of encoders on the hub, and the command that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretune import cli
from foretune.models.hub import is_hub_id
from foretune.models.hub_pool import POOL, describe, hub_pool
from foretune.tasks import InputError
from foretune.tasks.published import superb


def test_every_model_has_a_source_and_a_name_that_loads() -> None:
    pool = hub_pool()

    assert len({model.hub_id for model in pool}) == len(pool) > 25
    for model in pool:
        assert model.source
        assert is_hub_id(model.name)
        assert model.name.startswith(model.hub_id)


def test_the_models_of_superb_are_in_it_with_superbs_facts() -> None:
    pool = {model.hub_id: model for model in hub_pool()}

    for entry in superb().entries:
        if entry.hub_id:
            assert pool[entry.hub_id].parameters == entry.parameters
            assert pool[entry.hub_id].pretraining == entry.pretraining


def test_families_that_people_use() -> None:
    families = {model.family for model in hub_pool()}
    assert {
        "wav2vec2",
        "hubert",
        "wavlm",
        "wav2vec2-bert",
        "whisper",
        "data2vec-audio",
        "parakeet",
    } <= families


def test_what_is_not_known_is_empty() -> None:
    (row,) = [row for row in describe() if row[0] == "facebook/wav2vec2-large-100k-voxpopuli"]
    assert row[1:6] == ["", "wav2vec2", "", "VoxPopuli 100k hr", ""]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("95.04", "large", r"row 1: parameters_millions is large"),
        ("facebook/wav2vec2-base,", "wav2vec2-base,", r"row 1: wav2vec2-base@refs/pr/2 is no hub id"),
        ("hub_id,family", "id,family", r"header is not hub_id,family"),
    ],
)
def test_a_damaged_list_names_file_and_row(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = POOL.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "hub_pool.csv"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")

    with pytest.raises(InputError, match=rf"hub_pool\.csv: {message}"):
        hub_pool(path)


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    for name in ("TRANSFORMERS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")  # so that main's own settings do not stay
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["list", "models", "--pool", "hub"])
    out = capsys.readouterr().out

    assert not exit_.value.code
    assert "facebook/w2v-bert-2.0" in out
    assert "CC-BY-NC-4.0" in out
    assert "fbank" not in out
