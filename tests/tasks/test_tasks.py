from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

import foretune.tasks
from foretune.tasks import TASKS, Task, TaskData, Utterance, get_task
from foretune.tasks.asr import ASR
from foretune.tasks.emotion_recognition import EMOTION_RECOGNITION
from foretune.tasks.errors import InputError
from foretune.tasks.keyword_spotting import KEYWORD_SPOTTING
from foretune.tasks.metrics import (
    accuracy,
    character_error_rate,
    equal_error_rate,
    normalise_phones,
    normalise_to_base_letters,
    normalise_transcript,
    phone_error_rate,
    unweighted_accuracy,
    word_error_rate,
)
from foretune.tasks.multilingual_asr import MULTILINGUAL_ASR
from foretune.tasks.phoneme_recognition import PHONEME_RECOGNITION
from foretune.tasks.speaker_identification import SPEAKER_IDENTIFICATION

SILENCE = np.zeros(1600, np.int16)

# by hand


def test_the_equal_error_rate_by_hand() -> None:
    same = [True, True, False, True, False, False, False]
    # with three accepted, one of four is wrongly accepted and one of three wrongly rejected; with four,
    # still one of four, and none: the errors meet where both are 1/4
    assert equal_error_rate([7, 6, 5, 4, 3, 2, 1], same) == pytest.approx(1 / 4)
    assert equal_error_rate([3, 2, 1], [True, True, False]) == 0.0
    assert equal_error_rate([3, 2, 1], [False, False, True]) == 1.0


def test_the_equal_error_rate_of_scores_that_say_nothing_is_a_half() -> None:
    assert equal_error_rate([0.5] * 10, [True] * 3 + [False] * 7) == pytest.approx(0.5)


def test_the_equal_error_rate_is_where_the_errors_cross() -> None:
    generator = np.random.default_rng(0)
    same = generator.random(4000) < 0.3
    scores = generator.normal(size=4000) + 1.5 * same
    found = equal_error_rate(list(1000 * scores - 3), same.tolist())  # any rising function of them
    thresholds = np.sort(scores)
    errors = [((scores[~same] >= t).mean(), (scores[same] < t).mean()) for t in thresholds]
    naive = min(errors, key=lambda both: abs(both[0] - both[1]))
    assert found == pytest.approx(sum(naive) / 2, abs=1e-3)


def test_verification_needs_trials_of_both_kinds() -> None:
    with pytest.raises(ValueError, match="trials of one speaker and of different speakers"):
        equal_error_rate([0.1, 0.2], [True, True])
    with pytest.raises(ValueError, match="1 scores but 2 trials"):
        equal_error_rate([0.1], [True, False])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("ŻÓŁĆ, Gęś i ŁÓDŹ", "żółć gęś i łódź"),
        ("it's  ROCK’n’roll\n", "it's rock'n'roll"),
        ("well-known; 3.5 a/b", "well known a b"),
        ("Zo\u0301ł", "zół"),  # a letter and a combining accent
        ("हिन्दी ŒUVRE 日本語", "हिन्दी œuvre 日本語"),
        (" 1, 2 - 3 ", ""),
    ],
)
def test_a_transcript_keeps_the_letters_of_every_script(text: str, expected: str) -> None:
    assert normalise_transcript(text) == expected
    assert normalise_transcript(expected) == expected


def test_digits_may_stay() -> None:
    assert normalise_transcript("Room 12, B-3", keep_digits=True) == "room 12 b 3"


def test_error_rates_by_hand() -> None:
    # one substitution, one deletion, one insertion in five words
    assert word_error_rate(["a b c", "d e"], ["a x c", "d f g"]) == pytest.approx(3 / 5)
    # "ab cd" -> "ab d": one of five characters
    assert character_error_rate(["ab cd"], ["ab d"]) == pytest.approx(1 / 5)


def test_phone_error_rate_by_hand() -> None:
    # one phone of two letters is one phone: "tʃ" for "t" is one substitution; "n" is missing, "z" too many
    references, hypotheses = ["t iː tʃ", "s ɛ v ə n"], ["tʃ iː tʃ z", "s ɛ v ə"]
    assert phone_error_rate(references, hypotheses) == pytest.approx((1 + 1 + 1) / 8)
    assert PHONEME_RECOGNITION.evaluate(references, hypotheses) == {"per": pytest.approx(3 / 8)}


def test_phones_are_compared_as_they_are_written() -> None:
    assert normalise_phones(" AH0\tN ") == "AH0 N"
    assert PHONEME_RECOGNITION.evaluate(["AH0 N", "o\u0303"], ["AH1 N", "õ"]) == {"per": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Où est l'ŒUF d’été, François?", "ou est l'oeuf d'ete francois"),
        ("Żółw w łóżku", "zolw w lozku"),
        ("niño, coração, straße, dov'è", "nino coracao strasse dov'e"),
        ("हिन्दी और Zürich", "हिन्दी और zurich"),
        ("йод", "йод"),  # a mark on a letter of another script is part of it
        ("1, 2!", ""),
    ],
)
def test_base_letters_by_hand(text: str, expected: str) -> None:
    assert normalise_to_base_letters(text) == expected
    assert normalise_to_base_letters(expected) == expected


def test_a_diacritic_is_no_error_in_several_languages_but_is_one_in_asr() -> None:
    assert MULTILINGUAL_ASR.evaluate(["été"], ["ete"]) == {"wer": 0.0, "cer": 0.0}
    assert ASR.evaluate(["été"], ["ete"]) == {"wer": 1.0, "cer": pytest.approx(2 / 3)}


def in_languages(*languages: str | None) -> list[Utterance]:
    return [
        Utterance(str(number), np.full(1600, number, np.int16), text="ab cd", language=language)
        for number, language in enumerate(languages)
    ]


def test_results_are_also_given_by_language() -> None:
    metrics = MULTILINGUAL_ASR.measure(in_languages("pl", "de", "de"), ["ab cd", "ab", "ab cd"])
    assert metrics == pytest.approx(
        {"wer": 1 / 6, "cer": 3 / 15, "wer:de": 1 / 4, "cer:de": 3 / 10, "wer:pl": 0.0, "cer:pl": 0.0}
    )


@pytest.mark.parametrize("languages", [("de", "de"), (None, None), (None, "de")])
def test_one_language_is_no_group(languages: tuple[str | None, ...]) -> None:
    assert set(MULTILINGUAL_ASR.measure(in_languages(*languages), ["ab cd", "ab cd"])) == {"wer", "cer"}


def test_a_part_of_a_task_is_a_task_on_a_part_of_its_data() -> None:
    utterances = in_languages("de", "pl", "de", "pl", "de")
    data = TaskData("multilingual_asr", "local", "abc", utterances[:3], utterances[3:])
    task = get_task("multilingual_asr:de")
    german = task.restrict(data)
    assert task.name == german.task == "multilingual_asr:de"
    assert [each.id for each in german.train] == ["0", "2"]
    assert [each.id for each in german.test] == ["4"]
    assert task.restrict(german) is german
    assert MULTILINGUAL_ASR.restrict(data) is data
    assert task.measure(german.test, ["ab cd"]) == {"wer": 0.0, "cer": 0.0}
    revisions = {
        MULTILINGUAL_ASR.part(name).restrict(replace(data, revision=of)).revision
        for of in "ab"
        for name in ("de", "pl")
    }
    assert len(revisions) == 4
    assert {len(revision) for revision in revisions} == {12}
    with pytest.raises(InputError, match="language fr: not in both parts of the data, which have de, pl"):
        get_task("multilingual_asr:fr").restrict(data)


@pytest.mark.parametrize("name", ["asr:de", "multilingual_asr:", "nothing:de"])
def test_other_tasks_have_no_parts(name: str) -> None:
    with pytest.raises(InputError, match="unknown task"):
        get_task(name)


def test_tokens_are_characters_or_phones() -> None:
    assert ASR.tokens("go on") == ["g", "o", " ", "o", "n"]
    assert PHONEME_RECOGNITION.tokens("tʃ iː z") == ["tʃ", "iː", "z"]
    assert PHONEME_RECOGNITION.tokens("") == ASR.tokens("") == []


def test_unweighted_accuracy_counts_each_class_alike() -> None:
    references = ["joy"] * 8 + ["fear"] * 2
    hypotheses = ["joy"] * 8 + ["joy", "fear"]
    assert accuracy(references, hypotheses) == pytest.approx(0.9)
    assert unweighted_accuracy(references, hypotheses) == pytest.approx((1 + 0.5) / 2)


def test_each_task_reports_its_metrics() -> None:
    assert ASR.evaluate(["Go on!", ""], ["go", "on"]) == {"wer": 1.0, "cer": pytest.approx(5 / 5)}
    assert SPEAKER_IDENTIFICATION.evaluate(["A", "B"], ["A", "A"]) == {"accuracy": 0.5}
    assert EMOTION_RECOGNITION.evaluate(["x", "x", "x", "y"], ["x", "x", "x", "x"]) == {
        "unweighted_accuracy": 0.5,
        "accuracy": 0.75,
    }


# against independent definitions


def naive_edits(reference: str | list[str], hypothesis: str | list[str]) -> int:
    table = np.zeros((len(reference) + 1, len(hypothesis) + 1), int)
    table[:, 0], table[0] = np.arange(len(reference) + 1), np.arange(len(hypothesis) + 1)
    for i, wanted in enumerate(reference, start=1):
        for j, got in enumerate(hypothesis, start=1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (wanted != got))
    return int(table[-1, -1])


def test_error_rates_are_edit_distances_of_the_whole_test_part() -> None:
    generator = np.random.default_rng(0)
    references, hypotheses = (
        [" ".join(generator.choice(["ab", "b", "cab", "da"], generator.integers(low, 8))) for _ in range(30)]
        for low in (1, 0)
    )
    pairs = list(zip(references, hypotheses, strict=True))
    words = sum(naive_edits(r.split(), h.split()) for r, h in pairs) / sum(len(r.split()) for r in references)
    characters = sum(naive_edits(r, h) for r, h in pairs) / sum(map(len, references))
    assert word_error_rate(references, hypotheses) == pytest.approx(words, rel=1e-9)
    assert phone_error_rate(references, hypotheses) == pytest.approx(words, rel=1e-9)
    assert character_error_rate(references, hypotheses) == pytest.approx(characters, rel=1e-9)


def test_unweighted_accuracy_is_the_balanced_accuracy_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    references = [str(label) for label in generator.choice(4, 100, p=[0.7, 0.1, 0.1, 0.1])]
    hypotheses = [str(label) for label in generator.choice(4, 100)]
    assert unweighted_accuracy(references, hypotheses) == pytest.approx(
        balanced_accuracy_score(references, hypotheses), rel=1e-12
    )


# invariances and limits


@pytest.mark.parametrize(
    "task",
    [
        ASR,
        SPEAKER_IDENTIFICATION,
        EMOTION_RECOGNITION,
        PHONEME_RECOGNITION,
        KEYWORD_SPOTTING,
        MULTILINGUAL_ASR,
    ],
    ids=lambda task: task.name,
)
def test_order_of_utterances_does_not_matter_and_perfection_is_the_best(task: Task) -> None:
    references, hypotheses = ["a b", "c", "c", "d d"], ["a", "c", "d d", "d d"]
    metrics = task.evaluate(references, hypotheses)
    assert metrics == pytest.approx(task.evaluate(references[::-1], hypotheses[::-1]))
    perfect = task.evaluate(references, references)
    assert perfect[task.metric] == (0.0 if task.direction == "lower" else 1.0)
    assert task.goodness(perfect[task.metric]) > task.goodness(metrics[task.metric])


def test_an_empty_reference_counts_what_is_inserted_there() -> None:
    assert word_error_rate(["a b", ""], ["a b", "c"]) == pytest.approx(1 / 2)
    assert word_error_rate(["a b", ""], ["a b", ""]) == 0.0


def test_an_error_rate_may_exceed_one() -> None:
    assert word_error_rate(["a"], ["b c d"]) == pytest.approx(3.0)


def test_classes_that_only_hypotheses_have_do_not_count() -> None:
    assert unweighted_accuracy(["x", "y"], ["x", "z"]) == 0.5
    assert unweighted_accuracy(["x", "x"], ["x", "z"]) == 0.5


# errors


@pytest.mark.parametrize(
    "metric", [word_error_rate, character_error_rate, phone_error_rate, accuracy, unweighted_accuracy]
)
def test_metrics_need_pairs(metric: type[float]) -> None:
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        metric(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="no utterances"):
        metric([], [])


@pytest.mark.parametrize("metric", [word_error_rate, character_error_rate, phone_error_rate])
def test_error_rates_need_something_said(metric: type[float]) -> None:
    with pytest.raises(InputError, match="references: not one has a"):
        metric(["", " "], ["a", ""])


# the registry


def test_the_tasks_have_unique_names_and_codes() -> None:
    assert list(TASKS)[:6] == [
        "asr",
        "speaker_identification",
        "emotion_recognition",
        "phoneme_recognition",
        "keyword_spotting",
        "multilingual_asr",
    ]
    assert len({task.code for task in TASKS.values()}) == len(TASKS)


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_is_a_complete_declaration(name: str) -> None:
    task = get_task(name)
    assert task.name == name
    assert task.description.endswith(".")
    assert task.metric in task.evaluate(["a", "b"], ["a", "b"])
    assert {*task.columns, task.split_by} <= {"text", "speaker", "emotion", "label", "phones"}
    assert task.kind == "sequence" or not task.separator


def test_the_first_column_present_is_the_label() -> None:
    utterance = Utterance("1", SILENCE, speaker="EB0", label="mine")
    assert SPEAKER_IDENTIFICATION.target(utterance) == "EB0"
    assert EMOTION_RECOGNITION.target(utterance) == "mine"
    assert PHONEME_RECOGNITION.target(replace(utterance, pronunciation="ɡ oʊ")) == "ɡ oʊ"
    with pytest.raises(InputError, match="1: no text, which the task asr needs"):
        ASR.target(utterance)
    with pytest.raises(InputError, match="1: no phones, which the task phoneme_recognition needs"):
        PHONEME_RECOGNITION.target(utterance)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("emotion", "did you mean emotion_recognition"),
        ("speaker-identification", "did you mean speaker_identification"),
        ("SID", "did you mean speaker_identification"),
        ("PR", "did you mean phoneme_recognition"),
        ("keywords", "did you mean keyword_spotting"),
        ("arr", "did you mean asr"),
        ("zzz", "there are asr, speaker_identification, emotion_recognition"),
    ],
)
def test_an_unknown_task_is_answered_with_the_nearest(name: str, advice: str) -> None:
    with pytest.raises(InputError, match=f"unknown task {name}: {advice}"):
        get_task(name)


class InstalledTask:
    """Stands for the entry point of an installed package."""

    value = "somewhere:TASK"

    def __init__(self, task: object) -> None:
        self.task = task

    def load(self) -> object:
        return self.task


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[InstalledTask]]:
    installed: list[InstalledTask] = []
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: installed)
    foretune.tasks._registry.cache_clear()
    yield installed
    foretune.tasks._registry.cache_clear()


def test_an_installed_package_adds_a_task(install: list[InstalledTask]) -> None:
    install.append(InstalledTask(replace(EMOTION_RECOGNITION, name="sarcasm", code="SAR")))
    assert get_task("sarcasm").code == "SAR"
    assert list(foretune.tasks.TASKS)[-1] == "sarcasm"


def test_a_name_that_is_taken_raises(install: list[InstalledTask]) -> None:
    install.append(InstalledTask(replace(ASR, code="XXX")))
    with pytest.raises(ValueError, match="somewhere:TASK: there is already a task named asr"):
        get_task("asr")


def test_an_entry_point_that_is_no_task_raises(install: list[InstalledTask]) -> None:
    install.append(InstalledTask("a string"))
    with pytest.raises(TypeError, match=r"somewhere:TASK: names a str where a foretune\.tasks\.Task"):
        get_task("asr")


def test_the_module_has_no_other_lazy_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'TASK'"):
        foretune.tasks.TASK  # noqa: B018
