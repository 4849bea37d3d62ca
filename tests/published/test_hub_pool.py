"""The list of encoders on the hub, and the command that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretune import cli
from foretune.models import check_name
from foretune.models.hub import is_hub_id
from foretune.models.hub_pool import ORDERS, POOL, describe, hub_pool, resolve, select
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


def test_short_names_mean_one_model_with_its_revision() -> None:
    assert resolve("hubert-base") == resolve("HuBERT-base-ls960") == "facebook/hubert-base-ls960@refs/pr/2"
    assert resolve("wavlm-base") == "microsoft/wavlm-base@refs/pr/1"  # and not wavlm-base-plus
    assert resolve("openai/whisper-tiny") == "openai/whisper-tiny"
    for model in hub_pool():
        assert resolve(model.hub_id) == resolve(model.hub_id.partition("/")[2]) == model.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mms", "model mms: which of facebook/mms-300m, facebook/mms-1b"),
        ("hubert-tiny", "model hubert-tiny: not in the pool of the hub"),
        ("", "not in the pool"),
    ],
)
def test_names_that_mean_several_models_or_none(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(name)


def test_a_short_name_is_explained_where_another_kind_is_needed() -> None:
    with pytest.raises(InputError, match="did you mean microsoft/wavlm-large@e4e472c4"):
        check_name("wavlm-large")


def test_selection_and_order() -> None:
    assert [model.hub_id for model in select("PARAKEET-ctc")] == ["nvidia/parakeet-ctc-1.1b"]
    assert select("no such text") == []
    assert select() == hub_pool()
    sizes = [model.parameters for model in select(order="parameters")]
    known = [size for size in sizes if size is not None]
    assert known == sorted(known) == sizes[: len(known)]
    assert [model.hub_id.lower() for model in select(order="name")] == sorted(
        model.hub_id.lower() for model in hub_pool()
    )
    licences = [model.licence for model in select(order="licence")]
    assert licences.index("") == len(licences) - licences.count("")
    assert [model.family for model in select(order="family")] == sorted(model.family for model in hub_pool())
    for order in ORDERS:
        assert len(select("960", order)) == len(select("960")) > 5


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
    for name, value in cli.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)  # so that main's own setting does not stay

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exit_:
            cli.main(["list", "models", *arguments])
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    code, out, _ = run("--pool", "hub")
    assert code == 0
    assert "facebook/w2v-bert-2.0" in out
    assert "CC-BY-NC-4.0" in out
    assert "fbank" not in out

    code, out, _ = run("--pool", "hub", "--match", "whisper", "--sort", "parameters")
    assert code == 0
    order = [out.index(f"openai/whisper-{size} ") for size in ("tiny", "base", "small", "medium")]
    assert order == sorted(order)
    assert "facebook/" not in out

    code, _, err = run("--match", "whisper")
    assert code == 2
    assert "--match and --sort: for the hub's models; add --pool hub" in err
