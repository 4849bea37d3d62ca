"""The aligner's recipe: its speech, its true times, its objective."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from foretune.alignment.aligners import CtcAligner
from foretune.models.pretraining import RECIPES, alignment, pretrain, stages
from foretune.models.pretraining.alignment import LETTERS, VOCABULARY, Alignment
from foretune.models.pretraining.alignment_speech import alignment_corpus, mixed_lines, true_words
from foretune.models.pretraining.augmentation import Varied, vary
from foretune.models.pretraining.batches import Batches
from foretune.tasks.embedded.voices import speakers
from foretune.tasks.utterance import Span, Utterance

SPEECH = 16
TOLERANCE = 1e-9


def utterance(text, words, phones, seconds=1.0):
    return Utterance(
        "u", np.zeros(int(16_000 * seconds), dtype=np.int16), text=text, speaker="s",
        words=tuple(words), phones=tuple(phones),
    )  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    return alignment_corpus(SPEECH)


def small():
    recipe = RECIPES["aligner"]
    narrow = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "conv_dim": [8, 16, 32],
        "num_conv_pos_embeddings": 8,
    }
    return replace(recipe, layers=1, batch=4, utterances=SPEECH, overrides=recipe.overrides | narrow)


# --- speech


def test_a_word_lasts_from_its_first_phone_to_its_last():
    words = [Span(0.0, 0.4, "go"), Span(0.4, 1.0, "on")]
    phones = [Span(0.02, 0.1, "ɡ"), Span(0.1, 0.3, "oʊ"), Span(0.45, 0.6, "ɔ"), Span(0.6, 0.8, "n")]
    assert true_words(utterance("go, on", words, phones)) == (Span(0.02, 0.3, "go"), Span(0.45, 0.8, "on"))


@pytest.mark.parametrize("text", ["go on now", "goon"])
def test_words_that_espeak_joins_or_splits_have_no_times(text):
    words = [Span(0.0, 0.4, "go"), Span(0.4, 1.0, "on")]
    assert true_words(utterance(text, words, [Span(0.1, 0.2, "ɡ"), Span(0.5, 0.6, "n")])) == ()


def test_a_word_without_a_phone_has_no_times():
    words = [Span(0.0, 0.4, "go"), Span(0.4, 1.0, "on")]
    assert true_words(utterance("go on", words, [Span(0.1, 0.2, "ɡ")])) == ()


def test_the_corpus_has_times_and_known_letters(corpus):
    assert len(corpus) > SPEECH / 2
    for each in corpus:
        spans = true_words(each)
        assert [span.label for span in spans] == each.text.replace(",", "").split()
        assert set("".join(span.label for span in spans)) <= set(LETTERS)
        ends = [span.end for span in spans]
        assert all(one.start < one.end for one in spans)
        assert all(after.start > before - TOLERANCE for before, after in zip(ends, spans[1:], strict=False))
        assert ends[-1] < len(each.audio) / 16_000


def test_nobody_speaks_with_a_voice_of_a_task():
    heard = {line.speaker.variant for line in mixed_lines(500, seed=0)}
    for task in ("asr", "speaker_identification", "emotion_recognition"):
        assert not heard & {speaker.variant for speaker in speakers(task, 48)}


def test_lines_are_seeded_and_of_many_letters():
    lines = mixed_lines(300, seed=1)
    assert lines == mixed_lines(300, seed=1)
    assert lines != mixed_lines(300, seed=2)
    text = " ".join(line.text for line in lines)
    assert set(text) == {*LETTERS, " ", ","}
    assert len(set(text.replace(",", "").split())) > 500


# --- objective


def test_the_loss_at_equal_odds_is_that_of_guessing(monkeypatch):
    """With every logit 0 a frame is blank with 1/27, and each letter has 1/26 given that it is not."""
    monkeypatch.setattr(alignment, "vary", lambda waveform, *_: Varied(waveform, 1.0, 0.0))
    words = [Span(0.0, 1.0, "ab")]
    said = utterance("ab", words, [Span(0.2, 0.4, "a"), Span(0.4, 0.6, "b")])
    objective = Alignment(small(), [said]).eval()
    torch.nn.init.zeros_(objective.encoder.lm_head.weight)
    torch.nn.init.zeros_(objective.encoder.lm_head.bias)
    values, mask = Batches([said], 1, 0).inputs(np.array([0]))
    loss, watched = objective.loss(values, mask, np.array([0]), 0)
    frames, spoken = 48, 20  # 820 samples see 51 ms, 320 are 20 ms
    # two letters on 20 frames change at one of 19 places
    assert watched == pytest.approx(19 ** (1 / spoken) / 26, rel=1e-3)
    blanks = (spoken * -np.log(26 / 27) + (frames - spoken) * np.log(27)) / frames
    assert float(loss.detach()) == pytest.approx(np.log(26) - np.log(19) / spoken + blanks, rel=1e-3)


def test_times_follow_a_variation():
    rng = np.random.default_rng(0)
    silent = torch.full((16_000,), 1e-3)
    silent[1_600:4_800] = torch.sin(torch.arange(3_200) / 5)
    scales, shifts = [], []
    for _ in range(30):
        waveform, scale, shift = vary(silent, 0.3, rng)
        assert len(waveform) == round(scale * 16_000)
        assert float(waveform.mean()) == pytest.approx(0, abs=1e-4)
        assert float(waveform.std()) == pytest.approx(1, abs=1e-3)
        loud = torch.nonzero(waveform.unfold(0, 160, 160).square().mean(1) > 1.5)
        assert 0.01 * int(loud[0]) == pytest.approx(0.1 * scale + shift, abs=0.03)
        assert 0.01 * int(loud[-1] + 1) == pytest.approx(0.3 * scale + shift, abs=0.03)
        assert shift >= 0
        assert 0.3 * scale + shift < len(waveform) / 16_000
        scales.append(scale)
        shifts.append(shift)
    assert min(scales) < 0.9
    assert max(scales) > 1.1
    assert max(shifts) - min(shifts) > 0.3


def test_after_balancing_no_letter_has_more_weight_than_another(corpus):
    """A network that knows nothing but how often each letter comes, knows nothing after it."""
    objective = Alignment(small(), corpus)
    torch.nn.init.zeros_(objective.encoder.lm_head.weight)
    bias = torch.linspace(-3, 3, 27)
    objective.encoder.lm_head.bias.data = bias.clone()
    objective.balance(Batches(corpus, 4, 0))
    balanced = objective.encoder.lm_head.bias.detach()
    np.testing.assert_allclose(balanced[1:], np.full(26, float(bias[1:].mean())), atol=1e-4)
    assert float(balanced[0]) == -3.0
    assert objective.encoder.training


def test_it_ships_what_an_aligner_can_be_loaded_from(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "alignment_corpus", lambda utterances: corpus[:utterances])
    monkeypatch.setitem(RECIPES, "aligner", small())
    folder = pretrain("aligner", output=tmp_path, work=tmp_path / "work", steps=3)
    card = json.loads((folder / "card.json").read_text())
    assert (card["family"], card["steps"]) == ("Wav2Vec2ForCTC", [3])
    assert json.loads((folder / "vocab.json").read_text()) == VOCABULARY
    assert "no candidate" in (folder / "README.md").read_text()
    aligner = CtcAligner(folder, "new")
    assert aligner.letters == set(LETTERS)
    log_probs = aligner.log_probs(corpus[0].waveform())
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-4)


def test_training_lowers_the_loss(corpus):
    objective = Alignment(small(), corpus)
    optimiser = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    batches = Batches(corpus, 4, 0)
    losses = []
    for step in range(24):
        values, mask = batches.inputs(batches[step % 3])
        loss, _ = objective.loss(values, mask, batches[step % 3], step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3
