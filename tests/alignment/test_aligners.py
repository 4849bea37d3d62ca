"""Aligners: windows, checkpoints of transformers, torchaudio's."""

from __future__ import annotations

import json
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchaudio

from foretune.alignment import STAR, STAR_TOKEN, align_text, load_aligner
from foretune.alignment.aligners import CtcAligner, MmsAligner, token_indices, windows
from foretune.models.huggingface import load_folder
from foretune.models.weights import weights_hash
from foretune.tasks.errors import InputError

ATOL = 1e-5
SECOND = 16_000


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(seconds * SECOND))).astype(np.float32)


# --- windows


@pytest.mark.parametrize(
    ("frames", "longest", "overlap"), [(0, 5, 2), (5, 5, 2), (6, 5, 2), (100, 7, 3), (33, 9, 0)]
)
def test_windows_keep_each_frame_once_in_order(frames, longest, overlap):
    kept = []
    for begin, end, own in windows(frames, longest, overlap):
        assert end - begin <= longest
        kept += list(range(begin, end))[own]
    assert kept == list(range(frames))


def test_kept_frames_lie_half_an_overlap_from_a_cut():
    for begin, end, own in windows(1000, 50, 10):
        kept = list(range(begin, end))[own]
        assert begin == 0 or kept[0] - begin >= 5
        assert end == 1000 or end - 1 - kept[-1] >= 5


@pytest.mark.parametrize("overlap", [-1, 4, 9])
def test_overlaps_of_half_a_window_are_refused(overlap):
    with pytest.raises(ValueError, match=f"overlap of {overlap} frames in windows of 8"):
        windows(20, 8, overlap)


def test_windows_give_what_the_whole_gives(tone_aligner, say_tones):
    waveform = say_tones([(None, 9), ("a", 11), ("b", 7), (None, 30), ("c", 13), ("a", 40), (None, 3)])
    whole, cut = tone_aligner(), tone_aligner()
    expected = whole.log_probs(waveform)
    found = cut.log_probs(waveform, window=0.5, overlap=0.1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (whole.longest, cut.longest) == (len(waveform), SECOND // 2)


def test_windows_of_a_checkpoint_agree_with_the_whole_but_for_attention(ctc_folder):
    aligner = CtcAligner(ctc_folder, "tiny")
    waveform = noise(12)[: 12 * SECOND - 111]  # not a multiple of the stride
    whole = aligner.log_probs(waveform)
    cut = aligner.log_probs(waveform, window=5, overlap=2)
    assert cut.shape == whole.shape == (aligner.grid.frames(len(waveform)), 30)
    # attention over less gives other values, but frame by frame nearly the same; one frame off is far away
    assert np.corrcoef(cut.ravel(), whole.ravel())[0, 1] > 0.99
    off = np.corrcoef((cut[1:] - cut.mean(0)).ravel(), (whole[:-1] - whole.mean(0)).ravel())[0, 1]
    assert np.corrcoef((cut - cut.mean(0)).ravel(), (whole - whole.mean(0)).ravel())[0, 1] > off + 0.2


# --- checkpoints of transformers


def test_a_checkpoint_gives_the_log_probs_of_its_own_class(ctc_folder):
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    waveform = noise(1)
    module = Wav2Vec2ForCTC.from_pretrained(ctc_folder).eval()
    inputs = Wav2Vec2FeatureExtractor(do_normalize=True)(waveform, sampling_rate=SECOND, return_tensors="pt")
    with torch.inference_mode():
        expected = module(inputs.input_values).logits[0].log_softmax(-1)
    found = CtcAligner(ctc_folder, "tiny").log_probs(waveform)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_speeds_are_averaged_at_the_times_of_the_original(ctc_folder):
    waveform = noise(1)
    plain = CtcAligner(ctc_folder, "plain")
    found = CtcAligner(ctc_folder, "both", speeds=(1.0, 0.8)).log_probs(waveform)
    samples = plain.standardise(waveform).numpy()
    # every fifth of a sample more: the same stretch of time in 5/4 of the samples, linearly between them
    slow = np.interp((np.arange(20_000) + 0.5) * 0.8 - 0.5, np.arange(16_000), samples)
    with torch.inference_mode():
        at_slow = plain.infer(torch.from_numpy(slow.astype(np.float32))).numpy()
    centres = plain.grid.centres(plain.grid.frames(16_000))
    times = plain.grid.centres(len(at_slow)) * 0.8
    moved = np.stack([np.interp(centres, times, column) for column in at_slow.T], axis=1)
    mean = (plain.log_probs(waveform) + moved) / 2
    expected = mean - np.log(np.exp(mean).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_speech_too_short_at_a_speed_is_heard_as_it_is(ctc_folder):
    waveform = noise(0.03)[:340]  # one frame, and none when faster
    plain = CtcAligner(ctc_folder, "plain")
    assert plain.grid.frames(340) == 1 > plain.grid.frames(272)
    fast = CtcAligner(ctc_folder, "fast", speeds=(1.25,))
    np.testing.assert_allclose(fast.log_probs(waveform), plain.log_probs(waveform), atol=ATOL)


def test_a_checkpoint_writes_capitals_with_a_token_between_words(ctc_folder):
    aligner = load_aligner(str(ctc_folder))
    assert (aligner.blank, aligner.delimiter, "|" in aligner.letters) == (0, 2, False)
    assert token_indices(aligner, [["I", "'"], [STAR, "A"]], STAR, STAR_TOKEN) == [12, 3, 2, -1, 4]
    aligned = align_text("one", noise(2), "it's me", aligner)
    assert [span.label for span in aligned.words] == ["it's", "me"]
    assert [span.label for span in aligned.tokens] == list("IT'SME")
    assert 0 <= aligned.words[0].end <= aligned.words[1].start <= aligned.words[1].end <= 2


def test_its_identity_is_that_of_its_encoder_as_a_candidate(ctc_folder):
    identity = CtcAligner(ctc_folder, "tiny").identity
    assert identity.encoder_revision == load_folder(ctc_folder, "candidate").revision
    assert identity.revision != identity.encoder_revision


def test_too_short_audio_gives_no_frames(ctc_folder):
    assert CtcAligner(ctc_folder, "tiny").log_probs(noise(0.001)).shape == (0, 30)


def test_parents_are_read_from_the_card(ctc_folder):
    (ctc_folder / "card.json").write_text(json.dumps({"fine_tuned_from": "hubert", "base_model": ["a/b"]}))
    assert CtcAligner(ctc_folder, "tiny").identity.fine_tuned_from == ("hubert", "a/b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "vocab.json").unlink(), "no vocab.json in it"),
        (lambda folder: (folder / "vocab.json").write_text('{"a": 99}'), "does not name the 30 outputs"),
        (
            lambda folder: (folder / "vocab.json").write_text('{"en": {"a": 1}}'),
            "does not name the 30 outputs",
        ),
        (lambda folder: (folder / "config.json").unlink(), "no config.json in it"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights in it"),
        (
            lambda folder: (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000}'),
            "another rate than 16000 Hz",
        ),
    ],
)
def test_a_broken_folder_is_refused(ctc_folder, change, message):
    change(ctc_folder)
    with pytest.raises(InputError, match=message):
        load_aligner(str(ctc_folder))


def test_an_encoder_without_a_head_is_refused(tmp_path, ctc_folder):
    from transformers import Wav2Vec2Model

    Wav2Vec2Model.from_pretrained(ctc_folder).save_pretrained(tmp_path / "bare")
    (tmp_path / "bare" / "vocab.json").write_text((ctc_folder / "vocab.json").read_text())
    with pytest.raises(InputError, match="weights are missing, the first lm_head"):
        load_aligner(str(tmp_path / "bare"))


def test_other_families_are_refused(tmp_path):
    from transformers import WhisperConfig

    WhisperConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="family whisper are not supported"):
        load_aligner(str(tmp_path))


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="--aligner embeded: unknown; give embedded, mms_fa, a folder"):
        load_aligner("embeded")


# --- torchaudio's

TINY_MMS = {
    "extractor_conv_layer_config": [(8, 20, 10), (8, 8, 8), (8, 4, 4)], "encoder_embed_dim": 16,
    "encoder_pos_conv_kernel": 8, "encoder_pos_conv_groups": 2, "encoder_num_layers": 1,
    "encoder_num_heads": 2, "encoder_ff_interm_features": 32,
}  # fmt: skip


@pytest.fixture
def tiny_bundle():
    """Return torchaudio's bundle with a smaller model; its loading stays its own."""
    bundle = torchaudio.pipelines.MMS_FA
    return replace(bundle, _params=bundle._params | TINY_MMS)


def test_torchaudios_aligner_is_loaded_as_tensors(tiny_bundle, monkeypatch):
    # torchaudio takes three outputs that nothing uses off the file's
    as_filed = tiny_bundle._params | {"aux_num_out": 31}
    weights = torchaudio.models.wav2vec2_model(**as_filed).state_dict()
    asked = []

    def load(url, **settings):
        asked.append((url, settings))
        return weights

    monkeypatch.setattr(torchaudio.pipelines._wav2vec2.utils, "load_state_dict_from_url", load)
    aligner = MmsAligner(tiny_bundle)
    assert asked[0][1]["weights_only"] is True
    assert (aligner.grid.stride, aligner.blank, aligner.delimiter) == (320, 0, None)
    assert aligner.letters == {*"abcdefghijklmnopqrstuvwxyz", "'"}
    waveform = noise(1)
    log_probs = aligner.log_probs(waveform)
    assert log_probs.shape == (aligner.grid.frames(len(waveform)), 28)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=ATOL)
    assert aligner.identity.revision == weights_hash(aligner._module)


def test_torchaudios_aligner_refuses_offline(tiny_bundle, monkeypatch):
    def load(url, **_):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchaudio.pipelines._wav2vec2.utils, "load_state_dict_from_url", load)
    with pytest.raises(
        InputError, match=r"aligner mms_fa: its weights are not in torch's cache.*go online"
    ) as info:
        MmsAligner(tiny_bundle)
    assert "\n" not in str(info.value)
