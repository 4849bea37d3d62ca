"""From transcripts to spans in seconds, with an aligner by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from foretune.alignment import STAR, align, align_text
from foretune.alignment.aligned import frame_edges
from foretune.models.frame_grid import FrameGrid
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

TOLERANCE = 1e-9  # seconds


def utterance(name, waveform, text):
    return Utterance(name, np.rint(waveform * 32767).astype(np.int16), text=text)


def times(spans):
    return [(span.label, round(span.start, 6), round(span.end, 6)) for span in spans]


@pytest.fixture
def spoken(say_tones):
    return say_tones([(None, 5), ("a", 4), ("b", 3), (None, 6), ("c", 5), (None, 2)])


def test_words_and_letters_lie_where_they_are(tone_aligner, spoken):
    aligned = align_text("one", spoken, "AB, c.", tone_aligner())
    assert times(aligned.words) == [("AB,", 0.1, 0.24), ("c.", 0.36, 0.46)]
    assert times(aligned.tokens) == [("a", 0.1, 0.18), ("b", 0.18, 0.24), ("c", 0.36, 0.46)]
    assert aligned.dropped == ",."
    assert -0.01 < aligned.confidence <= 0


def test_confidence_is_the_mean_over_the_frames_of_letters(tone_aligner, spoken):
    aligned = align_text("one", spoken, "a*c", tone_aligner())
    log_probs = tone_aligner().log_probs(spoken)
    letters = [*log_probs[5:9, 1], *log_probs[18:23, 3]]  # the star's frames do not count
    assert aligned.confidence == pytest.approx(np.mean(letters))
    assert aligned.tokens[0].confidence == pytest.approx(np.mean(letters[:4]))
    assert aligned.words[0].confidence == pytest.approx(np.mean(letters))
    assert math.isnan(aligned.tokens[1].confidence)


def test_speech_that_a_transcript_leaves_to_silence_counts(tone_aligner, spoken):
    aligned = align_text("one", spoken, "a", tone_aligner())  # and b and c as blanks
    log_probs = tone_aligner().log_probs(spoken)
    frames = [*log_probs[5:9, 1], *log_probs[9:12, 0], *log_probs[18:23, 0]]
    assert aligned.confidence == pytest.approx(np.mean(frames))


def test_a_wrong_transcript_has_little_confidence(tone_aligner, spoken):
    wrong = align_text("one", spoken, "cba", tone_aligner())
    assert wrong.confidence < align_text("one", spoken, "abc", tone_aligner()).confidence - 5


def test_a_star_takes_what_the_transcript_lacks(tone_aligner, spoken):
    aligned = align_text("one", spoken, "a 7 c", tone_aligner())
    assert times(aligned.tokens) == [("a", 0.1, 0.18), (STAR, 0.18, 0.24), ("c", 0.36, 0.46)]
    assert aligned.starred == "7"


def test_a_letter_said_twice(tone_aligner, say_tones):
    aligned = align_text("one", say_tones([("a", 3), (None, 1), ("a", 2)]), "aa", tone_aligner())
    assert times(aligned.tokens) == [("a", 0.0, 0.06), ("a", 0.08, 0.12)]


def test_edges_lie_between_centres_and_hold_the_whole():
    grid = FrameGrid(stride=320, receptive_field=400)
    edges = frame_edges(grid, 4, 0.095)
    np.testing.assert_allclose(edges, [0, 0.0225, 0.0425, 0.0625, 0.095], atol=TOLERANCE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the transcript has no letter; there is nothing to align"),
        (None, "the transcript has no letter"),
        ("?!", "the transcript has no letter"),
        ("42", "no letter but '42', which the aligner does not write"),
        ("xyz", "no letter but 'xyz'"),
        ("abc" * 20, "needs 60 frames and the audio has 25"),
    ],
)
def test_what_cannot_be_aligned_is_left_out_with_the_reason(tone_aligner, spoken, text, reason):
    made = align([utterance("bad", spoken, text), utterance("good", spoken, "abc")], tone_aligner())
    assert list(made.of) == ["good"]
    assert reason in made.left_out["bad"]


def test_little_confidence_leaves_out(tone_aligner, spoken):
    utterances = [utterance("right", spoken, "abc"), utterance("wrong", spoken, "cba")]
    made = align(utterances, tone_aligner())
    assert list(made.of) == ["right"]
    assert made.left_out["wrong"].endswith("less than -2.75; is the transcript right?")
    assert list(align(utterances, tone_aligner(), least_confidence=-100).of) == ["right", "wrong"]


def test_audio_too_short_for_a_frame_is_left_out(tone_aligner, spoken):
    utterances = [utterance("short", spoken[:100], "a"), utterance("good", spoken, "abc")]
    assert "needs 1 frames and the audio has 0" in align(utterances, tone_aligner()).left_out["short"]


def test_nothing_to_align_is_refused(tone_aligner, spoken):
    with pytest.raises(
        InputError, match="not one of 1 utterances could be aligned; the first, bad: the trans"
    ):
        align([utterance("bad", spoken, "")], tone_aligner())
    with pytest.raises(InputError, match="there is no utterance"):
        align([], tone_aligner())


def test_lines_are_json_with_what_was_left_out(tone_aligner, spoken):
    made = align([utterance("bad", spoken, ""), utterance("good", spoken, "a*c")], tone_aligner())
    good, bad = [json.loads(line) for line in made.lines()]
    assert (good["id"], good["words"][0]["start"], good["tokens"][1]["confidence"]) == ("good", 0.1, None)
    assert bad == {"id": "bad", "left_out": "the transcript has no letter; there is nothing to align"}


def test_progress_counts_seconds_of_speech(tone_aligner, spoken):
    seen = []
    align([utterance("a", spoken, "abc")] * 2, tone_aligner(), progress=lambda *state: seen.append(state))
    assert seen == [(0.5, 1.0), (1.0, 1.0)]
