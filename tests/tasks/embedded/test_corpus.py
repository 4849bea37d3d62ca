"""The seeded corpora: same samples again, nobody and nothing shared with pre-training, rules audible."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from foretune.tasks.embedded import corpus
from foretune.tasks.embedded.acoustics import Channel, record
from foretune.tasks.embedded.corpus import Line, pretraining_corpus, speak
from foretune.tasks.embedded.emotions import RULES, express
from foretune.tasks.embedded.grammar import half, sentences
from foretune.tasks.embedded.voices import speakers
from foretune.tasks.utterance import TaskData

ROLES = ("asr", "speaker_identification", "emotion_recognition")
PINNED = ("3fb5b74dcf28", ["pause the quiet lesson", "switch off the attic printer", "seven zero nine four"])
REVISIONS = {
    "asr": "845e885fd65d",
    "speaker_identification": "a8737a2c97bc",
    "emotion_recognition": "46de1e19371b",
}
QUIET = Channel(reverberation=0.2, wetness=0.0, tilt=0.0, noise=80.0, colour=0.0, gain=0.0)


@pytest.fixture(scope="module", params=ROLES)
def data(request: pytest.FixtureRequest) -> TaskData:
    return getattr(corpus, f"{request.param}_data")()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    one, other = speakers("asr", 2)
    return [
        Line(one, "go left", None, (9, 0)),
        Line(other, "go right", "fear", (9, 1)),
        Line(one, "stop", None, (9, 2)),
    ]


def test_the_same_lines_give_the_same_samples(lines: list[Line]) -> None:
    for first, again in zip(speak(lines), speak(lines), strict=True):
        np.testing.assert_array_equal(np.asarray(first.audio), np.asarray(again.audio))
        assert first.phones == again.phones


def test_other_speakers_between_change_nothing(lines: list[Line]) -> None:
    alone = speak([lines[0], lines[2]])
    among = speak(lines)
    np.testing.assert_array_equal(np.asarray(alone[1].audio), np.asarray(among[2].audio))


def test_voices_with_noise_of_their_own_say_the_same_whatever_was_said_before() -> None:
    klatt = next(person for person in speakers("pretraining", 80) if person.variant == "caleb")
    said = [Line(klatt, "the old kettle is on the table", None, (9, 0))]
    assert np.array_equal(speak(said)[0].audio, speak(said)[0].audio)


def test_a_different_seed_gives_other_samples(lines: list[Line]) -> None:
    other = Line(lines[0].speaker, lines[0].text, None, (10, 0))
    assert not np.array_equal(np.asarray(speak([lines[0]])[0].audio), np.asarray(speak([other])[0].audio))


def test_samples_are_those_that_the_shipped_ground_truth_was_made_on() -> None:
    """A change of synthesis must raise VERSION and remake the ground truth: this pins the samples."""
    speech = pretraining_corpus(3)
    digest = hashlib.sha256(b"".join(np.asarray(one.audio).tobytes() for one in speech)).hexdigest()[:12]
    assert (digest, [one.text for one in speech]) == PINNED


def test_task_and_pretraining_share_no_speaker_voice_or_sentence(data: TaskData) -> None:
    utterances = [*data.train, *data.test]
    before = speakers("pretraining", 80)
    voices = {one.name: one.variant for one in speakers(data.task, 48)}  # type: ignore[arg-type]
    assert not {one.variant for one in before} & {voices[str(one.speaker)] for one in utterances}
    assert {half(str(one.text)) for one in utterances} == {"tasks"}
    assert {half(str(one.text)) for one in data.source} == {"pretraining"}
    assert not {one.text for one in utterances} & {one.text for one in data.source}


def test_train_and_test_are_apart_as_the_task_promises() -> None:
    asr, speaker, emotion = (getattr(corpus, f"{role}_data")() for role in ROLES)
    assert not {one.text for one in asr.train} & {one.text for one in asr.test}
    assert not {one.text for one in speaker.train} & {one.text for one in speaker.test}
    assert {one.speaker for one in speaker.train} == {one.speaker for one in speaker.test}
    assert not {one.speaker for one in emotion.train} & {one.speaker for one in emotion.test}
    assert {one.emotion for one in emotion.train} == {one.emotion for one in emotion.test} == set(RULES)


def test_there_are_at_least_forty_speakers_and_thousands_of_sentences() -> None:
    assert len({one.speaker for one in corpus.speaker_identification_data().train}) >= 40
    rng = np.random.default_rng(0)
    assert len(set(sentences(4000, "tasks", rng))) == 4000


def test_ids_are_unique_and_phones_cover_most_of_the_speech(data: TaskData) -> None:
    utterances = [*data.train, *data.test]
    assert len({one.id for one in utterances}) == len(utterances)
    for one in utterances[:50]:
        spoken = sum(phone.end - phone.start for phone in one.phones)
        assert spoken > 0.6 * len(np.asarray(one.audio)) / 16_000


def test_data_are_those_of_the_shipped_ground_truth(data: TaskData) -> None:
    assert data.revision == REVISIONS[data.task]


def test_revision_changes_with_a_label() -> None:
    data = corpus.asr_data()
    assert corpus.revision(data.train, data.test) == data.revision
    assert corpus.revision(data.train[1:], data.test) != data.revision
    first = data.train[0]
    for change in ({"label": "x"}, {"pronunciation": "x"}, {"language": "x"}):
        assert corpus.revision([replace(first, **change)]) != corpus.revision([first])


def test_a_word_is_placed_in_a_recording_of_the_wanted_length(lines: list[Line]) -> None:
    (spoken,) = speak([replace(lines[2], seconds=1.2)])
    audio = np.asarray(spoken.audio)
    assert len(audio) == 1.2 * 16_000
    first, last = spoken.phones[0].start, spoken.phones[-1].end
    assert 0 <= first < last <= 1.2
    assert spoken.words[0].label == "stop"
    assert spoken.words[0].end == pytest.approx(last, abs=1e-4)
    times = np.arange(len(audio)) / 16_000
    inside = (times >= first) & (times < last)
    assert np.square(audio[inside].astype(float)).mean() > 3 * np.square(audio[~inside].astype(float)).mean()


def test_a_place_is_drawn_by_the_seed_and_a_longer_word_fills_its_recording(lines: list[Line]) -> None:
    placed = [replace(lines[2], seconds=1.5, seed=(9, number)) for number in range(6)]
    assert len({one.phones[0].start for one in speak(placed)}) > 1
    (short,) = speak([replace(lines[2], seconds=0.1)])
    assert short.phones[0].start == 0
    assert short.phones[-1].end == pytest.approx(len(np.asarray(short.audio)) / 16_000, abs=1e-4)


def test_emotions_follow_their_rules_on_average() -> None:
    rng = np.random.default_rng(0)
    drawn = {emotion: [express(emotion, rng) for _ in range(400)] for emotion in RULES}

    def mean(emotion: str, part: str) -> float:
        return float(np.mean([getattr(one, part) for one in drawn[emotion]]))

    assert (
        mean("fear", "pitch")
        > mean("happiness", "pitch")
        > mean("neutral", "pitch")
        > mean("boredom", "pitch")
    )
    assert mean("happiness", "pitch_range") > mean("neutral", "pitch_range") > mean("boredom", "pitch_range")
    assert mean("fear", "rate") > mean("neutral", "rate") > mean("sadness", "rate")
    assert mean("anger", "loudness") > mean("neutral", "loudness") > mean("sadness", "loudness")
    assert np.std([one.pitch for one in drawn["neutral"]]) > 0.03  # variation inside a class


def test_recording_keeps_length_and_level_and_reaches_its_noise() -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    clean = record(tone, QUIET, rng).astype(float)
    assert len(clean) == len(tone)
    loud = record(tone, QUIET, rng, loudness=6.0).astype(float)
    assert 20 * np.log10(loud.std() / clean.std()) == pytest.approx(6.0, abs=0.1)
    noisy = Channel(reverberation=0.2, wetness=0.0, tilt=0.0, noise=10.0, colour=1.0, gain=0.0)
    rest = record(tone, noisy, rng).astype(float) - clean
    assert 20 * np.log10(clean.std() / rest.std()) == pytest.approx(10.0, abs=0.5)
