"""Every family of speech encoders, tiny and random: loaded from a folder, it keeps every promise."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from foretune.contract import check
from foretune.models.huggingface import load_folder

TRANSFORMER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
CONVOLUTIONS = {
    "conv_dim": (8, 8, 8),
    "conv_kernel": (20, 8, 4),
    "conv_stride": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
WAVEFORM = {**TRANSFORMER, **CONVOLUTIONS}
ENCODER_DECODER = {
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "vocab_size": 32,
}
SEAMLESS = {
    **ENCODER_DECODER,
    "hidden_size": 16,
    "speech_encoder_layers": 2,
    "speech_encoder_attention_heads": 2,
    "speech_encoder_intermediate_size": 32,
    "conv_depthwise_kernel_size": 5,
    "t2u_vocab_size": 32,
    "t2u_encoder_layers": 1,
    "t2u_decoder_layers": 1,
    "t2u_encoder_ffn_dim": 16,
    "t2u_decoder_ffn_dim": 16,
    "t2u_encoder_attention_heads": 2,
    "t2u_decoder_attention_heads": 2,
    "unit_hifi_gan_vocab_size": 32,
    "unit_embed_dim": 8,
    "lang_embed_dim": 8,
    "spkr_embed_dim": 8,
    "upsample_initial_channel": 64,
    "num_adapter_layers": 1,
    "vocoder_num_langs": 2,
    "vocoder_num_spkrs": 2,
}
MOONSHINE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "encoder_num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "encoder_num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "vocab_size": 32,
}
MIMI = {
    **TRANSFORMER,
    "num_filters": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "codebook_size": 16,
    "codebook_dim": 8,
    "vector_quantization_hidden_dimension": 8,
    "num_quantizers": 8,
    "sliding_window": 20,
    "upsample_groups": 16,
}
ENCODEC = {"num_filters": 2, "num_lstm_layers": 1, "hidden_size": 16, "codebook_size": 16, "codebook_dim": 16}
ENCODEC_48 = {
    **ENCODEC,
    "sampling_rate": 48_000,
    "audio_channels": 2,
    "norm_type": "time_group_norm",
    "use_causal_conv": False,
    "normalize": True,
    "target_bandwidths": [3.0],
}


def clap(*, fusion):
    text = hf.ClapTextConfig(**TRANSFORMER, vocab_size=32, projection_dim=16)
    audio = hf.ClapAudioConfig(
        patch_embeds_hidden_size=8,
        hidden_size=64,
        depths=[1, 1, 2, 1],
        num_attention_heads=[1, 1, 2, 2],
        projection_dim=16,
        enable_fusion=fusion,
    )
    return hf.ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=16)


def granite():
    text = {**TRANSFORMER, "model_type": "granite", "num_key_value_heads": 2, "vocab_size": 32}
    projector = {**TRANSFORMER, "model_type": "blip_2_qformer", "encoder_hidden_size": 16, "vocab_size": 32}
    encoder = {
        "model_type": "granite_speech_encoder",
        "num_layers": 2,
        "hidden_dim": 16,
        "feedforward_mult": 2,
        "num_heads": 2,
        "dim_head": 8,
        "output_dim": 12,
        "context_size": 20,
        "max_pos_emb": 32,
        "conv_kernel_size": 5,
    }
    return hf.GraniteSpeechConfig(text_config=text, encoder_config=encoder, projector_config=projector)


def no_level():
    return hf.Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=True)


WHISPER = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
FAMILIES = {
    "mms": lambda: (hf.Wav2Vec2Model(hf.Wav2Vec2Config(**WAVEFORM, adapter_attn_dim=4)), no_level()),
    "unispeech": lambda: (
        hf.UniSpeechModel(hf.UniSpeechConfig(**WAVEFORM, num_codevectors_per_group=4)),
        None,
    ),
    "sew": lambda: (hf.SEWModel(hf.SEWConfig(**WAVEFORM)), None),
    "sew-layer": lambda: (hf.SEWModel(hf.SEWConfig(**WAVEFORM, feat_extract_norm="layer")), None),
    "sew-d": lambda: (
        hf.SEWDModel(hf.SEWDConfig(**WAVEFORM, max_position_embeddings=64, position_buckets=16)),
        None,
    ),
    "wav2vec2-conformer": lambda: (
        hf.Wav2Vec2ConformerModel(hf.Wav2Vec2ConformerConfig(**WAVEFORM, conv_depthwise_kernel_size=5)),
        None,
    ),
    "wav2vec2-bert": lambda: (
        hf.Wav2Vec2BertModel(
            hf.Wav2Vec2BertConfig(
                **TRANSFORMER, conv_depthwise_kernel_size=5, add_adapter=True, output_hidden_size=16
            )
        ),
        hf.SeamlessM4TFeatureExtractor(),
    ),
    "qwen2-audio": lambda: (hf.Qwen2AudioEncoder(hf.Qwen2AudioEncoderConfig(**WHISPER)), None),
    "voxtral": lambda: (hf.VoxtralEncoder(hf.VoxtralEncoderConfig(**TRANSFORMER)), None),
    "moonshine": lambda: (hf.MoonshineModel(hf.MoonshineConfig(**MOONSHINE)), no_level()),
    "parakeet": lambda: (
        hf.ParakeetEncoder(
            hf.ParakeetEncoderConfig(**TRANSFORMER, subsampling_conv_channels=4, conv_kernel_size=5)
        ),
        hf.ParakeetFeatureExtractor(),
    ),
    "lasr": lambda: (
        hf.LasrEncoder(hf.LasrEncoderConfig(**TRANSFORMER, subsampling_conv_channels=4, conv_kernel_size=5)),
        None,
    ),
    "glm-asr": lambda: (
        hf.GlmAsrEncoder(hf.GlmAsrEncoderConfig(**TRANSFORMER)),
        hf.WhisperFeatureExtractor(feature_size=128),
    ),
    "speecht5": lambda: (
        hf.SpeechT5ForSpeechToText(hf.SpeechT5Config(hidden_size=16, **ENCODER_DECODER, **CONVOLUTIONS)),
        hf.SpeechT5FeatureExtractor(),
    ),
    "speech-to-text": lambda: (
        hf.Speech2TextModel(hf.Speech2TextConfig(d_model=16, **ENCODER_DECODER, conv_channels=16)),
        hf.Speech2TextFeatureExtractor(),
    ),
    "seamless": lambda: (
        hf.SeamlessM4TModel(hf.SeamlessM4TConfig(**SEAMLESS)),
        hf.SeamlessM4TFeatureExtractor(),
    ),
    "seamless-v2": lambda: (
        hf.SeamlessM4Tv2Model(hf.SeamlessM4Tv2Config(**SEAMLESS, char_vocab_size=32)),
        hf.SeamlessM4TFeatureExtractor(),
    ),
    "granite-speech": lambda: (hf.GraniteSpeechModel(granite()), hf.GraniteSpeechFeatureExtractor()),
    "ast": lambda: (hf.ASTModel(hf.ASTConfig(**TRANSFORMER)), hf.ASTFeatureExtractor()),
    "clap": lambda: (hf.ClapModel(clap(fusion=False)), hf.ClapFeatureExtractor(truncation="rand_trunc")),
    "clap-fusion": lambda: (hf.ClapModel(clap(fusion=True)), hf.ClapFeatureExtractor()),
    "nemotron-streaming": lambda: (
        hf.NemotronAsrStreamingEncoder(
            hf.NemotronAsrStreamingEncoderConfig(
                **TRANSFORMER, subsampling_conv_channels=16, conv_kernel_size=5
            )
        ),
        hf.NemotronAsrStreamingFeatureExtractor(),
    ),
    "voxtral-realtime": lambda: (
        hf.VoxtralRealtimeEncoder(
            hf.VoxtralRealtimeEncoderConfig(**TRANSFORMER, num_key_value_heads=2, head_dim=8)
        ),
        hf.VoxtralRealtimeFeatureExtractor(),
    ),
    "fun-asr-nano": lambda: (
        hf.FunAsrNanoEncoder(hf.FunAsrNanoEncoderConfig(**TRANSFORMER)),
        hf.FunAsrNanoFeatureExtractor(),
    ),
    "moonshine-streaming": lambda: (
        hf.MoonshineStreamingModel(
            hf.MoonshineStreamingConfig(
                **TRANSFORMER,
                vocab_size=32,
                num_key_value_heads=2,
                head_dim=8,
                encoder_config={**TRANSFORMER, "num_key_value_heads": 2, "sliding_windows": [[16, 4]] * 2},
            )
        ),
        no_level(),
    ),
    "encodec": lambda: (hf.EncodecModel(hf.EncodecConfig(**ENCODEC)), None),
    "encodec-48": lambda: (hf.EncodecModel(hf.EncodecConfig(**ENCODEC_48)), None),
    "mimi": lambda: (hf.MimiModel(hf.MimiConfig(**MIMI)), None),
}
GRIDS = {  # stride and receptive field in seconds, and the rate, by the families' papers and code
    "mms": (0.02, 330 / 16_000, 16_000),
    "unispeech": (0.02, 330 / 16_000, 16_000),
    "sew": (0.04, 650 / 16_000, 16_000),
    "sew-layer": (0.04, 650 / 16_000, 16_000),
    "sew-d": (0.04, 650 / 16_000, 16_000),
    "wav2vec2-conformer": (0.02, 330 / 16_000, 16_000),
    "wav2vec2-bert": (0.02, 0.035, 16_000),
    "qwen2-audio": (0.02, 0.065, 16_000),
    "voxtral": (0.02, 0.065, 16_000),
    "moonshine": (0.024, 895 / 16_000, 16_000),
    "parakeet": (0.08, 0.165, 16_000),
    "lasr": (0.04, 0.145, 16_000),
    "glm-asr": (0.02, 0.065, 16_000),
    "speecht5": (0.02, 330 / 16_000, 16_000),
    "speech-to-text": (0.04, 0.145, 16_000),
    "seamless": (0.02, 0.035, 16_000),
    "seamless-v2": (0.02, 0.035, 16_000),
    "granite-speech": (0.02, 0.035, 16_000),
    "ast": (0.1, 0.175, 16_000),
    "clap": (5_005 / 16_000, 5_005 / 16_000, 48_000),
    "clap-fusion": (5_005 / 16_000, 5_005 / 16_000, 48_000),
    "nemotron-streaming": (0.08, 0.165, 16_000),
    "voxtral-realtime": (0.02, 0.065, 16_000),
    "fun-asr-nano": (0.06, None, 16_000),
    "moonshine-streaming": (0.02, None, 16_000),
    "encodec": (320 / 24_000, None, 24_000),
    "encodec-48": (320 / 48_000, None, 48_000),
    "mimi": (0.04, None, 24_000),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a function from a family to its folder, random weights with norms that are not trivial."""
    root = tmp_path_factory.mktemp("families")

    def folder(family):
        path = root / family
        if not path.is_dir():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(11)
                module, extractor = FAMILIES[family]()
                with torch.no_grad():
                    for weight in module.parameters():
                        weight.add_(0.05 * torch.randn_like(weight))
            module.save_pretrained(path)
            if extractor is not None:
                extractor.save_pretrained(path)
        return path

    return folder


@pytest.fixture(scope="module")
def candidate(saved):
    """Return a function from a family to its candidate, loaded once."""
    loaded = {}

    def of(family):
        if family not in loaded:
            loaded[family] = load_folder(saved(family), family)
        return loaded[family]

    return of


@pytest.mark.parametrize(
    "family", [family for family in FAMILIES if family != "clap-fusion"]
)  # as clap, slow
def test_every_promise_is_kept(candidate, family):
    found = check(candidate(family))
    assert {each.promise: each.measured for each in found.findings if not each.holds} == {}
    assert found.holds


@pytest.mark.parametrize("family", FAMILIES)
def test_the_grid_is_that_of_the_family(candidate, family):
    encoder = candidate(family)
    stride, field, rate = GRIDS[family]
    assert encoder.grid.stride / encoder.grid.sample_rate == pytest.approx(stride, rel=1e-9)
    if field is not None:
        assert encoder.grid.receptive_field / encoder.grid.sample_rate == pytest.approx(field, rel=1e-9)
    assert getattr(encoder, "native_rate", encoder.grid.sample_rate) == rate
    assert encoder.num_layers == (4 if family.startswith("clap") else 2)
