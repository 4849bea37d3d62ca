"""Forced alignment against every CTC path there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchaudio.functional import forced_align as torchaudio_forced_align

from foretune.alignment import STAR_TOKEN, forced_align
from foretune.alignment import forced as forced_module
from foretune.alignment.forced import STAR_PENALTY, fewest_frames
from foretune.tasks.errors import InputError

RTOL = 1e-9
HALF = np.log(0.5)


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


def random_log_probs(frames, vocabulary, seed):
    return log_softmax(np.random.default_rng(seed).normal(0, 2, (frames, vocabulary)))


def collapse(path):
    """Read a path by CTC's rule: equal neighbours once, then without blanks (None)."""
    return tuple(key for key, _ in itertools.groupby(path) if key is not None)


def best_by_enumeration(log_probs, tokens, blank):
    """Score every sequence of token positions (None for blank) that reads as the tokens, one by one."""
    others = [column for column in range(log_probs.shape[1]) if column != blank]
    best = -np.inf
    for path in itertools.product([None, *range(len(tokens))], repeat=len(log_probs)):
        if collapse(path) != tuple(range(len(tokens))):
            continue
        pairs = itertools.pairwise(path)
        if any(a is not None and b is not None and a != b and tokens[a] == tokens[b] for a, b in pairs):
            continue  # equal tokens without a blank between them would read as one
        score = 0.0
        for row, position in zip(log_probs, path, strict=True):
            if position is None:
                score += row[blank]
            elif tokens[position] == STAR_TOKEN:
                score += row[others].max() - STAR_PENALTY
            else:
                score += row[tokens[position]]
        best = max(best, score)
    return best


def test_a_case_by_hand():
    # blank, a, b; the second frame is a's too, since blank is less likely there
    probabilities = np.array([[0.1, 0.8, 0.1], [0.3, 0.5, 0.2], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    path = forced_align(np.log(probabilities), [1, 2])
    np.testing.assert_array_equal(path.tokens, [0, 0, -1, 1])
    np.testing.assert_allclose(np.exp(path.log_probs), [0.8, 0.5, 0.8, 0.8])


@pytest.mark.parametrize("tokens", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 2], [3, 3, 3]])
@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("frames", [5, 6])
def test_the_path_is_the_best_of_all(tokens, blank, frames):
    for seed in range(3):
        log_probs = random_log_probs(frames, 5, seed)
        path = forced_align(log_probs, tokens, blank=blank)
        assert path.log_probs.sum() == pytest.approx(best_by_enumeration(log_probs, tokens, blank), rel=RTOL)
        read = collapse([None if position < 0 else position for position in path.tokens.tolist()])
        assert read == tuple(range(len(tokens)))


@pytest.mark.parametrize("tokens", [[STAR_TOKEN], [1, STAR_TOKEN], [STAR_TOKEN, 1, 1], [1, STAR_TOKEN, 2]])
def test_the_path_with_a_star_is_the_best_of_all(tokens):
    for seed in range(4):
        log_probs = random_log_probs(6, 4, seed)
        path = forced_align(log_probs, tokens)
        assert path.log_probs.sum() == pytest.approx(best_by_enumeration(log_probs, tokens, 0), rel=RTOL)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 30), st.integers(0, 99))
def test_agrees_with_torchaudio(tokens, more, seed):
    log_probs = random_log_probs(fewest_frames(tokens) + more, 5, seed)
    path = forced_align(log_probs, tokens)
    theirs, _ = torchaudio_forced_align(torch.from_numpy(log_probs)[None], torch.tensor([tokens]))
    ours = np.where(path.tokens < 0, 0, np.array(tokens)[path.tokens])
    np.testing.assert_array_equal(ours, theirs[0].numpy())


def test_blocks_change_nothing(monkeypatch):
    tokens = np.random.default_rng(1).integers(1, 6, 40).tolist()
    log_probs = random_log_probs(301, 6, 2)
    whole = forced_align(log_probs, tokens)
    monkeypatch.setattr(forced_module, "_SHORTEST_BLOCK", 7)
    in_blocks = forced_align(log_probs, tokens)  # blocks of 18 frames, the last of 13
    np.testing.assert_array_equal(whole.tokens, in_blocks.tokens)


def test_equal_neighbours_are_parted_by_a_blank():
    log_probs = np.log(np.array([[0.01, 0.99]] * 5))  # blank is never likely
    path = forced_align(log_probs, [1, 1])
    assert (path.tokens == -1).sum() == 1
    assert path.tokens[0] == 0
    assert path.tokens[-1] == 1


def test_a_star_takes_the_sounds_that_the_transcript_lacks_and_leaves_silence():
    # a, three frames of something else, silence, b
    rows = [[0.02, 0.9, 0.02, 0.06], *[[0.02, 0.02, 0.06, 0.9]] * 3, [0.97, 0.01, 0.01, 0.01],
            [0.02, 0.02, 0.9, 0.06]]  # fmt: skip
    path = forced_align(np.log(rows), [1, STAR_TOKEN, 2])
    np.testing.assert_array_equal(path.tokens, [0, 1, 1, 1, -1, 2])
    assert path.log_probs[1] == pytest.approx(np.log(0.9) + HALF)


def test_as_many_frames_as_needed_are_enough_and_one_less_is_not():
    tokens = [1, 1, 2]
    log_probs = random_log_probs(4, 3, 0)
    np.testing.assert_array_equal(forced_align(log_probs, tokens).tokens, [0, -1, 1, 2])
    with pytest.raises(InputError, match="needs 4 frames and the audio has 3"):
        forced_align(log_probs[:3], tokens)


def test_no_tokens_are_refused():
    with pytest.raises(InputError, match="no letter"):
        forced_align(random_log_probs(3, 3, 0), [])


@pytest.mark.parametrize("token", [0, 3, -2])
def test_tokens_outside_of_the_vocabulary_are_refused(token):
    with pytest.raises(ValueError, match=f"token {token}"):
        forced_align(random_log_probs(3, 3, 0), [1, token])


def test_nan_is_refused():
    log_probs = random_log_probs(3, 3, 0)
    log_probs[1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        forced_align(log_probs, [1])
