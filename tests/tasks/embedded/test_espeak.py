"""espeak-ng through ctypes."""

import numpy as np
import pytest

from foretune.tasks.embedded.espeak import Espeak
from foretune.tasks.errors import InputError

SENTENCE = "set a timer for seven minutes"


def _say(voice: Espeak, text: str = SENTENCE, **changes: float):  # type: ignore[no-untyped-def]
    settings = {"rate": 150, "pitch": 50, "pitch_range": 50} | changes
    return voice.say(text, "en-us+f2", **settings)


def test_words_are_those_of_the_text_in_order() -> None:
    with Espeak() as voice:
        speech = _say(voice)
    assert [word.label for word in speech.words] == SENTENCE.split()


def test_phones_of_a_word_worked_by_hand() -> None:
    with Espeak() as voice:
        speech = _say(voice, "seven")
    assert [phone.label.strip("ˈ") for phone in speech.phones] == ["s", "ɛ", "v", "ə", "n"]


def test_spans_are_ordered_and_inside_the_samples() -> None:
    with Espeak() as voice:
        speech = _say(voice)
    seconds = len(speech.samples) / speech.sample_rate
    for spans in (speech.words, speech.phones):
        edges = [edge for span in spans for edge in (span.start, span.end)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= seconds


def test_phones_lie_inside_their_words() -> None:
    with Espeak() as voice:
        speech = _say(voice)
    for phone in speech.phones:
        middle = (phone.start + phone.end) / 2
        assert any(word.start <= middle < word.end for word in speech.words)


def test_true_times_separate_sound_from_silence() -> None:
    """The vowel of a word between two others carries more energy than the pause at the end."""
    with Espeak() as voice:
        speech = _say(voice)
    vowel = next(phone for phone in speech.phones if "ɛ" in phone.label)
    inside = speech.samples[int(vowel.start * speech.sample_rate) : int(vowel.end * speech.sample_rate)]
    after = speech.samples[int(speech.phones[-1].end * speech.sample_rate) :]
    assert np.square(inside.astype(float)).mean() > 100 * np.square(after.astype(float)).mean()


def test_a_fresh_library_repeats_itself_whatever_was_said_before() -> None:
    with Espeak() as voice:
        first = _say(voice).samples
        _say(voice, "something else entirely")
    with Espeak() as voice:
        again = _say(voice).samples
    np.testing.assert_array_equal(first, again)


def test_rate_and_pitch_do_what_they_say() -> None:
    with Espeak() as voice:
        slow, fast = _say(voice, rate=100), _say(voice, rate=200)
        low, high = _say(voice, "ah", pitch=20), _say(voice, "ah", pitch=80)
    assert len(slow.samples) > 1.5 * len(fast.samples)
    assert _fundamental(high.samples, high.sample_rate) > 1.5 * _fundamental(low.samples, low.sample_rate)


def _fundamental(samples: np.ndarray, rate: int) -> float:
    middle = samples[len(samples) // 4 : len(samples) // 4 + rate // 10].astype(float)
    correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
    shortest, longest = rate // 500, rate // 60
    return rate / (shortest + int(np.argmax(correlation[shortest:longest])))


def test_an_unknown_voice_is_named() -> None:
    with Espeak() as voice, pytest.raises(InputError, match="no voice 'xx-nobody'"):
        voice.say("hello", "xx-nobody", rate=150, pitch=50, pitch_range=50)


def test_nothing_to_say_is_an_error() -> None:
    with Espeak() as voice, pytest.raises(InputError, match="said nothing"):
        _say(voice, "")
