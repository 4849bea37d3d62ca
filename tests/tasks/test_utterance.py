"""Utterances and the two parts of a task's data, which may share none."""

from pathlib import Path

import numpy as np
import pytest

from foretune.tasks.errors import InputError
from foretune.tasks.utterance import TaskData, Utterance

SAMPLES = np.arange(100, dtype=np.int16)


def data(train, test):
    return TaskData("asr", "local", "a" * 12, [Utterance("other", SAMPLES + 1), train], [test])


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (Utterance("u", SAMPLES), Utterance("u", SAMPLES + 2)),
        (Utterance("u", SAMPLES), Utterance("v", SAMPLES.copy())),
        (Utterance("u", Path("clips/a.wav")), Utterance("v", Path("clips/a.wav").absolute())),
    ],
    ids=["name", "samples", "file"],
)
def test_an_utterance_of_the_test_part_is_not_scored_on(train, test):
    with pytest.raises(InputError, match=f"{test.id}: is in the training part and in the test part"):
        data(train, test)


def test_parts_that_share_nothing():
    made = data(Utterance("u", Path("clips/a.wav")), Utterance("v", Path("clips/b.wav")))
    assert (len(made.train), len(made.test)) == (2, 1)
