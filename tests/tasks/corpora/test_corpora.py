"""Corpora in folders of their own layout, written here with a few tones in each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foretune.tasks import TASKS, InputError, TaskData
from foretune.tasks.corpora import CORPORA, Corpus, Recording, get_corpus, load_corpus, read_name

RATE = 16_000


def tone(path: Path, number: int = 0) -> None:
    """Write a quarter of a second, another tone for each number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin((200 + 11 * number) * np.arange(RATE // 4) * 2 * np.pi / RATE), RATE)


def librispeech(root: Path) -> Path:
    for subset, speaker in (
        ("train-clean-100", 19),
        ("train-clean-100", 26),
        ("test-clean", 61),
        ("dev-clean", 84),
    ):
        chapter = root / "LibriSpeech" / subset / str(speaker) / "198"
        names = [f"{speaker}-198-{i:04d}" for i in range(2)]
        for number, name in enumerate(names):
            tone(chapter / f"{name}.flac", speaker + number)
        lines = [f"{name} NORTHANGER ABBEY {number}" for number, name in enumerate(names)]
        (chapter / f"{speaker}-198.trans.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def multilingual_librispeech(root: Path) -> Path:
    for language in ("german", "polish"):
        for part, speaker in (("train", "100"), ("dev", "200"), ("test", "300")):
            folder = root / f"mls_{language}" / part
            names = [f"{speaker}_77_{i:06d}" for i in range(2)]
            for number, name in enumerate(names):
                tone(folder / "audio" / speaker / "77" / f"{name}.flac", int(speaker) + number)
            text = "".join(f"{name}\tschöne grüße\n" for name in names)
            (folder / "transcripts.txt").write_text(text, encoding="utf-8")
    return root


def fleurs(root: Path) -> Path:
    locale = root / "de_de"
    for part, first in (("train", 1), ("dev", 11), ("test", 21)):
        lines = []
        for number in range(first, first + 2):
            tone(locale / "audio" / part / f"{number}.wav", number)
            lines.append(
                f"{number}\t{number}.wav\tGrüße, Welt!\tgrüße welt\tg r ü ß e | w e l t |\t4000\tFEMALE"
            )
        (locale / f"{part}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def speech_commands(root: Path) -> Path:
    for number, word in enumerate(("yes", "no", "bed", "house")):
        for speaker in ("0a7c2a8d", "0b40aa8e", "1aed7c6d"):
            tone(root / word / f"{speaker}_nohash_0.wav", number)
    tone(root / "_background_noise_" / "pink_noise.wav")
    listed = "".join(f"{word}/1aed7c6d_nohash_0.wav\n" for word in ("yes", "no", "bed", "house"))
    (root / "testing_list.txt").write_text(listed, encoding="utf-8")
    (root / "validation_list.txt").write_text("yes/0b40aa8e_nohash_0.wav\n", encoding="utf-8")
    return root


def voxceleb1(root: Path) -> Path:
    lines = []
    for number, speaker in enumerate(("id10001", "id10002")):
        for part, video in ((1, "1zcIwhmdeo4"), (2, "7gWzIy6yIIk"), (3, "9mQ11vBs1wc")):
            name = f"{speaker}/{video}/00001.wav"
            side = "vox1_dev_wav" if part < 3 else "vox1_test_wav"
            tone(root / side / "wav" / name, number)
            lines.append(f"{part} {name}")
    (root / "iden_split.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def crema_d(root: Path) -> Path:
    for number, actor in enumerate((1001, 1002, 1003, 1004)):
        for sentence in ("IEO", "DFA"):
            for emotion in ("ANG", "SAD"):
                tone(root / "AudioWAV" / f"{actor}_{sentence}_{emotion}_XX.wav", 10 * number + len(emotion))
    return root


def ravdess(root: Path) -> Path:
    for actor in ("01", "02", "03", "04"):
        for emotion in ("03", "05"):
            for sentence in ("01", "02"):
                tone(root / f"Actor_{actor}" / f"03-01-{emotion}-01-{sentence}-01-{actor}.wav", int(actor))
        tone(root / f"Actor_{actor}" / f"03-02-03-01-01-01-{actor}.wav")  # a song
    return root


def iemocap(root: Path) -> Path:
    for session in (1, 2):
        dialogue = f"Ses0{session}F_impro01"
        turns = [("F000", "neu"), ("M000", "exc"), ("F001", "ang"), ("M001", "xxx"), ("F002", "hap")]
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for number, (turn, emotion) in enumerate(turns):
            lines.append(
                f"[{number}.2901 - {number + 1}.2357]\t{dialogue}_{turn}\t{emotion}\t[2.5, 2.5, 2.5]"
            )
            lines.append("C-E2:\tNeutral;\t()")
            wav = root / f"Session{session}" / "sentences" / "wav" / dialogue / f"{dialogue}_{turn}.wav"
            tone(wav, 10 * session + number)
        folder = root / f"Session{session}" / "dialog" / "EmoEvaluation"
        folder.mkdir(parents=True)
        (folder / f"{dialogue}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


WRITERS: dict[str, Callable[[Path], Path]] = {
    writer.__name__: writer
    for writer in (
        librispeech,
        multilingual_librispeech,
        fleurs,
        speech_commands,
        voxceleb1,
        crema_d,
        ravdess,
        iemocap,
    )
}


def values(data: TaskData, column: str) -> tuple[list[str], list[str]]:
    train, test = ([str(getattr(each, column)) for each in part] for part in (data.train, data.test))
    return sorted(train), sorted(test)


class TestEveryCorpus:
    def test_each_has_a_folder_here(self) -> None:
        assert set(WRITERS) == set(CORPORA)

    @pytest.mark.parametrize("name", CORPORA)
    def test_declares_tasks_that_exist(self, name: str) -> None:
        assert CORPORA[name].tasks
        assert set(CORPORA[name].tasks) <= set(TASKS)

    @pytest.mark.parametrize("name", CORPORA)
    def test_says_what_it_may_be_used_for_and_what_has_to_be_got(self, name: str) -> None:
        corpus = CORPORA[name]
        assert all((corpus.licence, corpus.size, corpus.by_hand, corpus.layout, corpus.reference))
        assert corpus.hub is not None or not corpus.by_hand.startswith("none")

    @pytest.mark.parametrize("name", CORPORA)
    def test_loads_for_each_of_its_tasks(self, name: str, tmp_path: Path) -> None:
        folder = WRITERS[name](tmp_path)
        for task in CORPORA[name].tasks:
            data = load_corpus(name, folder, task)

            assert (data.task, data.suite) == (task, name)
            for each in (*data.train, *data.test):
                assert TASKS[task].target(each)
                assert each.waveform().shape == (RATE // 4,)

    @pytest.mark.parametrize("name", CORPORA)
    def test_the_revision_follows_the_data(self, name: str, tmp_path: Path) -> None:
        folder = WRITERS[name](tmp_path)
        data = load_corpus(name, folder)

        assert load_corpus(name, folder).revision == data.revision
        changed = data.train[0].audio
        assert isinstance(changed, Path)
        soundfile.write(changed, np.zeros(RATE), RATE)
        assert load_corpus(name, folder).revision != data.revision

    @pytest.mark.parametrize("name", CORPORA)
    def test_an_empty_folder_is_refused(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no recordings found|cannot be read|no folder wav"):
            load_corpus(name, tmp_path)

    @pytest.mark.parametrize(
        "name", ["librispeech", "multilingual_librispeech", "fleurs", "voxceleb1", "iemocap"]
    )
    def test_a_missing_recording_is_named(self, name: str, tmp_path: Path) -> None:
        folder = WRITERS[name](tmp_path)
        missing = load_corpus(name, folder).test[0].audio
        assert isinstance(missing, Path)
        missing.unlink()

        with pytest.raises(InputError, match=rf"{missing.name}: no such file, though .* line \d+, names it"):
            load_corpus(name, folder)


class TestArguments:
    def test_unknown_corpus(self) -> None:
        with pytest.raises(InputError, match="unknown corpus LibriSpech: did you mean librispeech"):
            get_corpus("LibriSpech")
        with pytest.raises(InputError, match="unknown corpus x: there are librispeech"):
            get_corpus("x")

    def test_unknown_task(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match="librispeech: does not serve the task emotion_recognition; give asr"
        ):
            load_corpus("librispeech", librispeech(tmp_path), "emotion_recognition")

    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such folder; give that of FLEURS: LOCALE"):
            load_corpus("fleurs", tmp_path / "nowhere")

    def test_a_limit_draws_the_same_utterances_each_time(self, tmp_path: Path) -> None:
        folder = librispeech(tmp_path)
        limited = load_corpus("librispeech", folder, limit=1)
        again, other = (
            load_corpus("librispeech", folder, limit=1),
            load_corpus("librispeech", folder, limit=3),
        )

        assert (len(limited.train), len(limited.test)) == (1, 1)
        assert [each.id for each in limited.train] == [each.id for each in again.train]
        assert (len(other.train), len(other.test)) == (3, 2)
        assert len({load_corpus("librispeech", folder, limit=1, seed=s).train[0].id for s in range(8)}) > 1

    def test_a_part_that_is_not_there(self, tmp_path: Path) -> None:
        shutil.rmtree(librispeech(tmp_path) / "LibriSpeech" / "test-clean")

        with pytest.raises(InputError, match="librispeech: no test part"):
            load_corpus("librispeech", tmp_path)


class TestNames:
    def test_a_folder(self, tmp_path: Path) -> None:
        folder = speech_commands(tmp_path / "words: all of them")
        for name in ("speech_commands", "speech-commands", "Speech-Commands"):
            named = read_name(f"{name}:{folder}")
            assert named is not None
            assert (named.corpus.name, named.folder) == ("speech_commands", folder)
            assert named.load("keyword_spotting").revision == load_corpus("speech_commands", folder).revision
        limited = named.load("keyword_spotting", utterances=3, seed=1)
        assert (
            limited.revision
            == load_corpus("speech_commands", folder, "keyword_spotting", limit=3, seed=1).revision
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("fleurs", ("fleurs", "", "")),
            ("Multilingual-LibriSpeech/german,dutch", ("multilingual_librispeech", "german,dutch", "")),
            ("librispeech@refs/pr/7", ("librispeech", "", "refs/pr/7")),
            ("speech_commands/v0.02@main", ("speech_commands", "v0.02", "main")),
        ],
    )
    def test_on_the_hub(self, text: str, expected: tuple[str, str, str]) -> None:
        named = read_name(text)
        assert named is not None
        assert (named.corpus.name, named.config, named.revision) == expected
        assert named.folder is None

    def test_what_comes_from_the_hub_is_asked_for_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[tuple[str, dict[str, object]]] = []

        def stream(corpus: Corpus, **settings: object) -> tuple[list[Recording], str]:
            asked.append((corpus.name, settings))
            return [], "none"

        monkeypatch.setattr("foretune.tasks.corpora.hub.stream", stream)
        for text, utterances in (("fleurs/de_de@main", None), ("librispeech", 5)):
            named = read_name(text)
            assert named is not None
            with pytest.raises(InputError, match="no recordings found"):
                named.load("asr", utterances=utterances, seed=3)
        assert asked == [
            ("fleurs", {"config": "de_de", "revision": "main", "limit": 1000, "seed": 3}),
            ("librispeech", {"config": "", "revision": "", "limit": 5, "seed": 3}),
        ]

    @pytest.mark.parametrize("text", ["manifest.csv", "recordings", "data/manifest", "./fleurs", "embedded"])
    def test_what_is_no_corpus(self, text: str) -> None:
        assert read_name(text) is None

    def test_what_exists_is_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert read_name("fleurs") is not None
        (tmp_path / "fleurs").mkdir()
        assert read_name("fleurs") is None

    @pytest.mark.parametrize("text", ["speach-commands", "speech-comands:/words", "speech_command@main"])
    def test_a_slip_is_pointed_out(self, text: str) -> None:
        with pytest.raises(InputError, match=r"unknown corpus .*: did you mean speech_commands"):
            read_name(text)

    @pytest.mark.parametrize(
        ("text", "task", "message"),
        [
            ("librispeech:/nowhere", "asr", r"^/nowhere: no such folder; give that of LibriSpeech: train-"),
            ("iemocap", "emotion_recognition", r"iemocap: not on the hub, got by request .* iemocap:FOLDER"),
            ("voxceleb1:/nowhere", "asr", "voxceleb1: does not serve the task asr; give speaker_ident"),
        ],
    )
    def test_what_is_not_there_or_does_not_fit(self, text: str, task: str, message: str) -> None:
        named = read_name(text)
        assert named is not None
        for attempt in (named.check, named.load):
            with pytest.raises(InputError, match=message):
                attempt(task)


class TestLibriSpeech:
    def test_parts_speakers_and_texts(self, tmp_path: Path) -> None:
        data = load_corpus("librispeech", librispeech(tmp_path))

        assert values(data, "speaker") == (["19", "19", "26", "26"], ["61", "61"])
        assert data.train[1].id == "19-198-0001"
        assert data.train[1].text == "NORTHANGER ABBEY 1"

    def test_the_folder_itself_and_development_in_place_of_training(self, tmp_path: Path) -> None:
        root = librispeech(tmp_path) / "LibriSpeech"
        assert len(load_corpus("librispeech", root).train) == 4
        shutil.rmtree(root / "train-clean-100")
        assert values(load_corpus("librispeech", root), "speaker")[0] == ["84", "84"]

    @pytest.mark.parametrize("line", ["19-198-0001", "26-198-0001 TEXT OF ANOTHER"])
    def test_a_damaged_transcript_is_named(self, tmp_path: Path, line: str) -> None:
        root = librispeech(tmp_path)
        transcripts = next(root.glob("**/19-198.trans.txt"))
        transcripts.write_text(f"19-198-0000 FINE\n{line}\n", encoding="utf-8")

        with pytest.raises(InputError, match=r"19-198\.trans\.txt: line 2: not SPEAKER-CHAPTER"):
            load_corpus("librispeech", root)


class TestMultilingualLibriSpeech:
    def test_all_languages_of_a_folder_or_one(self, tmp_path: Path) -> None:
        folder = multilingual_librispeech(tmp_path)
        both = load_corpus("multilingual_librispeech", folder)
        german = load_corpus("multilingual_librispeech", folder / "mls_german")

        assert {each.language for each in both.train} == {"de", "pl"}
        assert {each.language for each in german.train} == {"de"}
        assert values(german, "speaker") == (["100", "100", "200", "200"], ["300", "300"])
        assert german.test[0].text == "schöne grüße"

    def test_limited_supervision(self, tmp_path: Path) -> None:
        folder = multilingual_librispeech(tmp_path) / "mls_polish"
        handles = folder / "train" / "limited_supervision" / "9hr" / "handles.txt"
        handles.parent.mkdir(parents=True)
        handles.write_text("100_77_000001\n", encoding="utf-8")

        data = load_corpus("multilingual_librispeech", folder)
        assert [each.id for each in data.train] == [
            "pl/100_77_000001",
            "pl/200_77_000000",
            "pl/200_77_000001",
        ]

    def test_compressed_recordings(self, tmp_path: Path) -> None:
        folder = multilingual_librispeech(tmp_path) / "mls_german"
        for file in folder.glob("**/*.flac"):
            samples, rate = soundfile.read(file)
            soundfile.write(file.with_suffix(".opus"), samples, rate, format="OGG", subtype="OPUS")
            file.unlink()
        renamed = folder.rename(tmp_path / "mls_german_opus")

        data = load_corpus("multilingual_librispeech", renamed)
        assert data.train[0].waveform().shape == (RATE // 4,)

    def test_unknown_language(self, tmp_path: Path) -> None:
        (tmp_path / "mls_klingon").mkdir()
        with pytest.raises(InputError, match="mls_klingon: unknown language"):
            load_corpus("multilingual_librispeech", tmp_path)

    def test_a_damaged_transcript_is_named(self, tmp_path: Path) -> None:
        folder = multilingual_librispeech(tmp_path)
        (folder / "mls_german" / "dev" / "transcripts.txt").write_text(
            "200_77_000000 no tab\n", encoding="utf-8"
        )
        with pytest.raises(InputError, match=r"dev/transcripts\.txt: line 1: not SPEAKER_BOOK"):
            load_corpus("multilingual_librispeech", folder)


class TestFleurs:
    def test_texts_and_languages(self, tmp_path: Path) -> None:
        data = load_corpus("fleurs", fleurs(tmp_path))

        assert [each.id for each in data.test] == ["de_de/test/21.wav", "de_de/test/22.wav"]
        assert len(data.train) == 4
        assert (data.train[0].text, data.train[0].language) == ("grüße welt", "de")

    def test_one_locale_with_the_recordings_beside_its_tables(self, tmp_path: Path) -> None:
        locale = fleurs(tmp_path) / "de_de"
        for part in ("train", "dev", "test"):
            (locale / "audio" / part).rename(locale / part)
        (locale / "audio").rmdir()
        assert len(load_corpus("fleurs", locale).test) == 2

    def test_a_damaged_table_is_named(self, tmp_path: Path) -> None:
        folder = fleurs(tmp_path)
        table = folder / "de_de" / "test.tsv"
        table.write_text(table.read_text(encoding="utf-8") + "23\t23.wav\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"test\.tsv: line 3: 2 cells, not 7"):
            load_corpus("fleurs", folder)


class TestSpeechCommands:
    def test_ten_words_and_the_rest(self, tmp_path: Path) -> None:
        data = load_corpus("speech_commands", speech_commands(tmp_path))
        train, test = values(data, "label")

        assert test == ["_unknown_", "_unknown_", "no", "yes"]
        assert train == sorted(2 * test)
        assert set(values(data, "speaker")[1]) == {"1aed7c6d"}

    def test_a_listed_recording_is_missing(self, tmp_path: Path) -> None:
        folder = speech_commands(tmp_path)
        (folder / "no" / "1aed7c6d_nohash_0.wav").unlink()
        with pytest.raises(
            InputError, match=r"testing_list\.txt: line 2: no/1aed7c6d_nohash_0\.wav is not there"
        ):
            load_corpus("speech_commands", folder)


class TestVoxCeleb1:
    def test_the_split_of_the_identification_task(self, tmp_path: Path) -> None:
        data = load_corpus("voxceleb1", voxceleb1(tmp_path))

        assert values(data, "speaker") == (["id10001"] * 2 + ["id10002"] * 2, ["id10001", "id10002"])
        assert all("9mQ11vBs1wc" in each.id for each in data.test)

    @pytest.mark.parametrize("line", ["4 id10001/v/00001.wav", "1 id10001/00001.wav", "id10001"])
    def test_a_damaged_split_is_named(self, tmp_path: Path, line: str) -> None:
        folder = voxceleb1(tmp_path)
        (folder / "iden_split.txt").write_text(line + "\n", encoding="utf-8")
        with pytest.raises(InputError, match=r"iden_split\.txt: line 1: not 1, 2 or 3"):
            load_corpus("voxceleb1", folder)


class TestEmotions:
    @pytest.mark.parametrize("name", ["crema_d", "ravdess", "iemocap"])
    def test_no_actor_is_on_both_sides(self, name: str, tmp_path: Path) -> None:
        train, test = values(load_corpus(name, WRITERS[name](tmp_path)), "speaker")
        assert set(train).isdisjoint(test)
        assert test

    def test_crema_d_for_speakers_has_no_sentence_on_both_sides(self, tmp_path: Path) -> None:
        data = load_corpus("crema_d", crema_d(tmp_path), "speaker_identification")
        train, test = values(data, "text")
        assert set(train).isdisjoint(test)
        assert set(values(data, "speaker")[1]) == {"1001", "1002", "1003", "1004"}

    def test_crema_d_names(self, tmp_path: Path) -> None:
        data = load_corpus("crema_d", crema_d(tmp_path))
        (found,) = [each for each in (*data.train, *data.test) if each.id == "1002_DFA_SAD_XX.wav"]
        assert (found.text, found.emotion, found.speaker) == ("Don't forget a jacket", "sadness", "1002")

    def test_ravdess_leaves_songs_out(self, tmp_path: Path) -> None:
        data = load_corpus("ravdess", ravdess(tmp_path))
        assert len(data.train) + len(data.test) == 16
        assert {each.emotion for each in data.train} == {"happiness", "anger"}

    def test_iemocap_has_superbs_classes_and_fold(self, tmp_path: Path) -> None:
        data = load_corpus("iemocap", iemocap(tmp_path))

        assert values(data, "emotion")[1] == ["anger", "happiness", "happiness", "neutral"]
        assert set(values(data, "speaker")[1]) == {"Session1F", "Session1M"}
        assert len(data.train) == 4


def test_a_corpus_can_be_ranked_on(tmp_path: Path) -> None:
    import foretune

    data = load_corpus("ravdess", ravdess(tmp_path))
    ranking = foretune.rank("emotion_recognition", data, ["fbank"], standard_errors=False)

    assert [row.model for row in ranking.rows] == ["fbank"]
