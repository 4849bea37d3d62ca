"""Streaming from the hub, with datasets made here in the place of those there."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow
import pytest
import soundfile
from pyarrow import parquet

from foretune.tasks import InputError
from foretune.tasks.corpora import CORPORA, get_corpus, stream_corpus

RATE = 16_000
TEXT = datasets.Value("string")
LOAD = datasets.load_dataset


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what stands in for the hub be asked, also where the environment says that nothing is."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


def encoded(number: int, rate: int = RATE, file_format: str = "FLAC") -> bytes:
    """Return a file of half a second, another tone for each number."""
    file = io.BytesIO()
    wave = 0.25 * np.sin((300 + 13 * number) * np.arange(rate // 2) * 2 * np.pi / rate)
    soundfile.write(file, wave, rate, format=file_format)
    return file.getvalue()


class FakeHub:
    """Answers as `datasets.load_dataset` does, from Parquet files as the hub has them."""

    def __init__(self, folder: Path, columns: dict[str, Any], features: dict[str, Any]) -> None:
        self.folder = folder
        self.columns = columns
        self.features = datasets.Features({**features, "audio": datasets.Audio(sampling_rate=RATE)})
        self.files = [encoded(number) for number in range(20)]
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, *names: Any, **options: Any) -> datasets.IterableDataset | datasets.Dataset:
        self.asked.append((names, options))
        shift = 10 if options["split"] == "test" else 0
        columns = dict(self.columns)
        if "id" in columns:
            columns["id"] = [f"{shift}-{name}" for name in columns["id"]]
        rows = len(next(iter(columns.values())))
        columns["audio"] = [{"bytes": self.files[shift + i], "path": "a.flac"} for i in range(rows)]
        file = self.folder / f"{shift}.parquet"
        parquet.write_table(pyarrow.table(columns, schema=self.features.arrow_schema), file, row_group_size=1)
        return LOAD(
            "parquet",
            data_files={"train": str(file)},
            split="train",
            streaming=options["streaming"],
            cache_dir=str(self.folder / f"cache{shift}"),
        )


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeHub]:
    """Put a hub with these columns in the place of the one there."""

    def replace(columns: dict[str, Any], features: dict[str, Any]) -> FakeHub:
        hub = FakeHub(tmp_path, columns, features)
        monkeypatch.setattr(datasets, "load_dataset", hub)
        return hub

    return replace


@pytest.fixture
def librispeech(serve: Callable[..., FakeHub]) -> FakeHub:
    return serve(
        {"id": ["a", "b", "c"], "text": ["ONE", "TWO", "THREE"], "speaker_id": [19, 26, 19]},
        {"id": TEXT, "text": TEXT, "speaker_id": datasets.Value("int64")},
    )


class TestStream:
    def test_both_parts_with_their_labels(self, librispeech: FakeHub) -> None:
        data = stream_corpus("librispeech")

        assert [(each.id, each.text, each.speaker) for each in data.train] == [
            ("train.100/0-a", "ONE", "19"),
            ("train.100/0-b", "TWO", "26"),
            ("train.100/0-c", "THREE", "19"),
        ]
        assert [each.id for each in data.test] == ["test/10-a", "test/10-b", "test/10-c"]
        assert data.train[0].language == "en"
        assert (data.task, data.suite) == ("asr", "librispeech")

    def test_what_the_hub_is_asked(self, librispeech: FakeHub) -> None:
        stream_corpus("librispeech", config="other")

        (names, options), _ = librispeech.asked
        assert names == ("openslr/librispeech_asr", "other")
        pinned = "71cacbfb7e2354c4226d01e70d77d5fca3d04ba1"
        assert options == {"split": "train.100", "streaming": True, "revision": pinned}

    def test_another_revision(self, librispeech: FakeHub) -> None:
        stream_corpus("librispeech", revision="main")

        assert [options["revision"] for _, options in librispeech.asked] == ["main", "main"]

    def test_no_more_is_read_than_asked_for(self, librispeech: FakeHub) -> None:
        librispeech.files[1] = librispeech.files[11] = b"would not decode"
        data = stream_corpus("librispeech", limit=1)

        assert (len(data.train), len(data.test)) == (1, 1)

    def test_samples_are_those_of_the_file(self, librispeech: FakeHub) -> None:
        waveform = stream_corpus("librispeech", limit=1).train[0].waveform()

        expected, _ = soundfile.read(io.BytesIO(encoded(0)), dtype="float32")
        np.testing.assert_allclose(waveform, expected, atol=1 / 32768)

    def test_the_revision_follows_samples_and_labels(self, librispeech: FakeHub) -> None:
        first = stream_corpus("librispeech").revision
        librispeech.asked.clear()
        assert stream_corpus("librispeech").revision == first
        librispeech.asked.clear()
        librispeech.columns["text"][0] = "NONE"
        assert stream_corpus("librispeech").revision != first

    def test_a_column_is_missing(self, librispeech: FakeHub) -> None:
        librispeech.columns["text"][1] = " "
        with pytest.raises(InputError, match=r"librispeech_asr \(clean, train\.100\): row 2: no text"):
            stream_corpus("librispeech")


def test_class_labels_become_names_and_silence_is_left_out(serve: Callable[..., FakeHub]) -> None:
    words = datasets.ClassLabel(names=["yes", "bed", "_silence_"])
    hub = serve(
        {"label": [0, 1, 2, 0], "speaker_id": ["a", "b", None, "c"]}, {"label": words, "speaker_id": TEXT}
    )
    data = stream_corpus("speech_commands")

    found = [(each.label, each.speaker) for each in data.train]
    assert found == [("yes", "a"), ("_unknown_", "b"), ("yes", "c")]
    assert hub.asked[0][1]["revision"] == "refs/convert/parquet"


def test_a_corpus_sorted_by_label_is_fetched_and_drawn_from(serve: Callable[..., FakeHub]) -> None:
    words = datasets.ClassLabel(names=["yes", "no"])
    columns = {"label": [0] * 5 + [1] * 5, "speaker_id": list("abcdefghij")}
    hub = serve(columns, {"label": words, "speaker_id": TEXT})
    drawn = {seed: stream_corpus("speech_commands", limit=4, seed=seed) for seed in range(3)}

    assert not any(options["streaming"] for _, options in hub.asked)
    assert {len(data.train) for data in drawn.values()} == {4}
    assert {each.label for data in drawn.values() for each in data.train} == {"yes", "no"}
    assert len({tuple(each.speaker for each in data.train) for data in drawn.values()}) > 1
    hub.asked.clear()
    assert stream_corpus("speech_commands", limit=4, seed=2).revision == drawn[2].revision


def test_the_language_is_that_of_the_config(serve: Callable[..., FakeHub]) -> None:
    for config, language in (("fr_fr", "fr"), ("", "de")):
        serve({"transcription": ["un", "deux"]}, {"transcription": TEXT})
        assert stream_corpus("fleurs", config=config).train[0].language == language


def test_languages_are_read_together_and_share_the_limit(serve: Callable[..., FakeHub]) -> None:
    hub = serve({"transcription": ["un", "deux", "trois"]}, {"transcription": TEXT})
    data = stream_corpus("fleurs", "multilingual_asr", config="de_de,fr_fr", limit=4)

    assert [names[1] for names, _ in hub.asked] == ["de_de", "fr_fr", "de_de", "fr_fr"]
    found = [(each.id, each.language) for each in data.train]
    assert found == [
        ("de_de/train/00000001", "de"),
        ("de_de/train/00000002", "de"),
        ("fr_fr/train/00000001", "fr"),
        ("fr_fr/train/00000002", "fr"),
    ]


@pytest.mark.parametrize("name", ["fleurs", "multilingual_librispeech"])
def test_seven_languages_unless_one_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(*names: str, **_: Any) -> None:
        asked.append(names[1])
        raise ValueError("enough")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    for task, config in (("multilingual_asr", ""), ("multilingual_asr", "other"), ("asr", "")):
        with pytest.raises(InputError, match="enough"):
            stream_corpus(name, task, config=config)
    hub = get_corpus(name).hub
    assert hub is not None
    assert len(hub.together) == 7
    assert asked == [hub.together[0], "other", hub.config]


def test_other_sample_rates_are_resampled(serve: Callable[..., FakeHub]) -> None:
    hub = serve({"transcription": ["un"]}, {"transcription": TEXT})
    hub.files = [encoded(number, 8_000, "WAV") for number in range(20)]

    assert stream_corpus("fleurs").train[0].waveform().shape == (RATE // 2,)


@pytest.mark.parametrize(
    ("sent", "message"),
    [(None, "row 1: no audio in it"), (b"not audio", r"row 1: cannot be read as audio \(")],
)
def test_audio_that_cannot_be_used(serve: Callable[..., FakeHub], sent: bytes, message: str) -> None:
    serve({"transcription": ["un"]}, {"transcription": TEXT}).files = [sent] * 20

    with pytest.raises(InputError, match=message):
        stream_corpus("fleurs")


@pytest.mark.parametrize("name", [name for name, corpus in CORPORA.items() if corpus.hub is None])
def test_what_is_not_on_the_hub_asks_for_a_folder(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: not streamed from the hub; give its folder: "):
        stream_corpus(name)


def test_limits_must_be_positive() -> None:
    with pytest.raises(InputError, match="limit 0: give 1 or more"):
        stream_corpus("fleurs", limit=0)


@pytest.mark.parametrize("name", [name for name, corpus in CORPORA.items() if corpus.hub is not None])
def test_offline_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def connect(*address: object) -> None:
        raise AssertionError(f"asked the network for {address}")

    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    with pytest.raises(
        InputError, match=rf"{name}: .* cannot be had: .*; go online, or give a folder"
    ) as caught:
        stream_corpus(name, limit=1)
    assert "\n" not in str(caught.value)
    assert str(get_corpus(name).layout) in str(caught.value)
