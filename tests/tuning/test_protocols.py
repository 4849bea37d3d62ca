"""One layer alone, and probes: what trains, what is computed once, and that short cuts change nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from foretune.models import load_candidate
from foretune.models.candidate import HiddenStates
from foretune.models.module import ModuleCandidate
from foretune.tasks import InputError
from foretune.tuning import FrozenFeatures, Settings, fine_tune
from foretune.tuning.cut import CutEncoder, own_parameters
from foretune.tuning.frozen import pad
from foretune.tuning.heads import make_head
from foretune.tuning.one_layer import OneLayer
from foretune.tuning.probe import PROJECTION
from foretune.tuning.protocols import Preparation, head_dimension
from foretune.tuning.stages import Trainer

BRIEF = Settings(steps=3, head_steps=3, batch_size=4, head_batch_size=8)
TOLERANCE = 1e-4  # of logits, relative to the largest


def tiny(family):
    """Return a small candidate of a family, with every weight drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FAMILIES[family]()


def convolutional(model, config, **changes):
    import transformers

    from foretune.models.candidate import Card
    from foretune.models.convolutional import ConvolutionalCandidate

    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "conv_dim": (4, 4),
        "conv_kernel": (40, 16),
        "conv_stride": (40, 16),
        "num_feat_extract_layers": 2,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
        "feat_extract_norm": "layer",
    }
    module = getattr(transformers, model)(getattr(transformers, config)(**sizes, **changes))
    return ConvolutionalCandidate("tiny", module, Card(family=model), normalise=True)


def conformer():
    from torchaudio.models import Conformer

    from foretune.models.torchaudio_models import FilterBankInputs

    module = Conformer(
        input_dim=16, num_heads=2, ffn_dim=16, num_layers=3, depthwise_conv_kernel_size=5, dropout=0.0
    )
    return ModuleCandidate(
        "tiny", module, layers="conformer_layers", inputs=FilterBankInputs(bins=8, stack=2)
    )


def whisper():
    from transformers import WhisperConfig, WhisperModel

    from foretune.models.candidate import Card
    from foretune.models.whisper import WhisperCandidate

    config = WhisperConfig(
        d_model=8, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=8, decoder_ffn_dim=8, num_mel_bins=80, max_source_positions=100,
    )  # fmt: skip
    return WhisperCandidate("tiny", WhisperModel(config), Card(family="whisper"))


FAMILIES = {
    "hubert": lambda: convolutional("HubertModel", "HubertConfig", do_stable_layer_norm=True),
    "wav2vec2": lambda: convolutional("Wav2Vec2Model", "Wav2Vec2Config"),
    "wavlm": lambda: convolutional("WavLMModel", "WavLMConfig", do_stable_layer_norm=True),
    "conformer": conformer,
    "whisper": whisper,
}


def preparation(candidate, task, data, layer, protocol="single-layer"):
    targets = [task.target(utterance) for utterance in data.train]
    dimension = head_dimension(protocol, candidate, task.kind, layer)
    head = make_head(task, targets, dimension, -2.0, 0)
    return Preparation(candidate, data, task.kind, layer, head, 0, FrozenFeatures())


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_by_itself_gives_what_the_whole_encoder_gives(family, layer, emotion, few):
    candidate = tiny(family)
    prepared = preparation(candidate, emotion, few, layer).by("single-layer")
    assert isinstance(prepared.model, OneLayer)  # else this compares nothing
    cut = CutEncoder(candidate, layer, prepared.model.head)
    features = FrozenFeatures().of(candidate, few).test
    whole = cut(*pad(features, candidate.device))
    alone = prepared.model(*prepared.model.collate(prepared.test))
    assert (whole - alone).abs().max() <= TOLERANCE * whole.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layers_gradients_are_those_of_the_whole_encoder(family, emotion, few):
    candidate = tiny(family)
    prepared = preparation(candidate, emotion, few, 2).by("single-layer")
    targets = [utterance.emotion for utterance in few.train]
    features = FrozenFeatures().of(candidate, few).train
    cut = CutEncoder(candidate, 2, prepared.model.head)
    gradients = []
    for model, inputs in ((cut, features), (prepared.model, prepared.train)):
        batch, lengths = model.collate(inputs)
        loss = model.head.loss(model(batch, lengths), lengths, targets)
        gradients.append(torch.autograd.grad(loss, prepared.encoder))
    for one, other in zip(*gradients, strict=True):
        assert (one - other).abs().max() <= 1e-3 * max(float(one.abs().max()), 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 2])
def test_only_the_layer_and_the_head_change(family, layer, emotion, few):
    candidate = tiny(family)
    before = {name: weight.detach().clone() for name, weight in candidate.module.named_parameters()}
    changed = set()

    def watch(done, total):
        if done == total:
            changed.update(
                name
                for name, weight in candidate.module.named_parameters()
                if not torch.equal(weight, before[name])
            )

    record = fine_tune(
        candidate, emotion, few, layer=layer, protocol="single-layer", settings=BRIEF, progress=watch
    )
    head = 3 * candidate.dimensions[layer] + 3
    if layer == 0:
        assert changed == set()
        assert record.parameters_trained == head
        return
    stack = {"conformer": "conformer_layers", "whisper": "layers"}.get(family, "encoder.layers")
    own = {name: weight for name, weight in before.items() if name.startswith(f"{stack}.1.")}
    # a key's bias shifts all scores of a query alike, so its gradient is rounding, if anything
    assert own.keys() - changed <= {name for name in own if "k_proj.bias" in name}
    assert changed <= own.keys()
    assert record.parameters_trained <= head + sum(weight.numel() for weight in own.values())
    assert all(torch.equal(weight, before[name]) for name, weight in candidate.module.named_parameters())


def test_where_a_layer_cannot_run_by_itself_the_whole_encoder_runs(make_toy, emotion, tones):
    # the toy adds a layer's input to its output, outside of the layer
    toy = make_toy()
    prepared = preparation(toy, emotion, tones, 2).by("single-layer")
    assert isinstance(prepared.model, CutEncoder)
    trained = {id(parameter) for parameter in toy.module.layers[1].parameters()}
    assert {id(each) for each in toy.module.parameters() if each.requires_grad} == trained
    record = fine_tune(toy, emotion, tones, layer=2, protocol="single-layer", settings=BRIEF)
    assert record.parameters_trained == 12 * 12 + 12 + 12 * 3 + 3


def test_a_layers_own_parameters_are_not_those_of_a_final_norm():
    candidate = tiny("hubert")
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    own = own_parameters(candidate, 3, features)
    norm = {id(each) for each in candidate.module.encoder.layer_norm.parameters()}
    assert own
    assert not norm & {id(each) for each in own}


def test_what_enters_the_layers_is_listened_to_once(emotion, few):
    candidate = tiny("hubert")
    frozen = FrozenFeatures()
    calls = []
    forward = candidate.forward_from_features
    candidate.forward_from_features = lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs)
    fine_tune(candidate, emotion, few, layer=1, protocol="single-layer", settings=BRIEF, frozen=frozen)
    first = len(calls)
    assert first >= len(few.train) + len(few.test)
    calls.clear()
    kept = fine_tune(candidate, emotion, few, layer=3, protocol="single-layer", settings=BRIEF, frozen=frozen)
    assert len(calls) < 10
    fresh = fine_tune(candidate, emotion, few, layer=3, protocol="single-layer", settings=BRIEF)
    assert kept.metrics == fresh.metrics


@pytest.mark.parametrize("limit", [1, 100_000])
def test_little_memory_changes_nothing_but_the_time(limit, asr, spelled_few):
    candidate = tiny("hubert")
    options = {"layer": 2, "protocol": "single-layer", "settings": BRIEF}
    wanted = fine_tune(candidate, asr, spelled_few, **options)
    found = fine_tune(candidate, asr, spelled_few, frozen=FrozenFeatures(limit=limit), **options)
    assert found.metrics == pytest.approx(wanted.metrics)


def test_a_probe_learns_which_layer_to_use(make_toy, emotion, tones):
    toy = make_toy()
    forward = toy.forward_from_features

    def noise_elsewhere(features, lengths, *, last_layer=None):
        states = forward(features, lengths, last_layer=last_layer)
        generator = torch.Generator().manual_seed(int(lengths.sum()))
        noise = [torch.randn(layer.shape, generator=generator) for layer in states.layers]
        return HiddenStates([noise[0], states.layers[1], *noise[2:]], lengths)

    toy.forward_from_features = noise_elsewhere
    found = preparation(toy, emotion, tones, 3, "probe").by("probe")
    settings = Settings(steps=100, head_steps=100, head_batch_size=16)
    Trainer(found.model, [each.emotion for each in tones.train], settings, 0).train_at_once(found.train)
    assert int(found.model.weights.argmax()) == 1
    assert float(found.model.weights.detach().sum()) == pytest.approx(1.0)


def test_a_probes_mean_may_come_first(make_toy, emotion, tones):
    # the naive order: standardise and sum the frames of all layers, project each, and take the mean
    toy = make_toy()
    prepared = preparation(toy, emotion, tones, 3, "probe").by("probe")
    with torch.no_grad():
        prepared.model.scores.copy_(torch.tensor([0.3, -1.0, 2.0, 0.5]))
    features = FrozenFeatures().of(toy, tones)
    states = [
        torch.cat(toy.forward_from_features(*pad([row], toy.device)).layers, dim=2)[0].detach()
        for row in features.train
    ]
    means = torch.stack([rows.mean(0) for rows in states])
    rows = (states[5] - means.mean(0)) / means.std(0, correction=0)
    summed = sum(w * part for w, part in zip(prepared.model.weights, rows.split(12, dim=1), strict=True))
    naive = prepared.model.projection(summed).mean(0)
    found = prepared.model.hidden(*prepared.model.collate([prepared.train[5]]))[0, 0]
    torch.testing.assert_close(found, naive, rtol=1e-2, atol=1e-2)  # kept in half precision


def test_a_probes_record(make_toy, emotion, asr, tones, spelled):
    toy = make_toy()
    record = fine_tune(toy, emotion, tones, layer=3, protocol="probe", settings=BRIEF)
    assert (record.protocol, record.layer) == ("probe", 3)
    assert record.parameters_trained == 4 + (12 + 1) * PROJECTION + (PROJECTION + 1) * 3
    assert (record.steps, record.learning_rate) == (6, BRIEF.head_learning_rate)
    record = fine_tune(toy, asr, spelled, layer=3, protocol="probe", settings=BRIEF)
    assert record.parameters_trained == 4 + (12 + 1) * (1 + 3)


def test_a_probe_changes_no_weight(make_toy, emotion, tones):
    toy = make_toy()
    before = {name: weight.clone() for name, weight in toy.module.state_dict().items()}
    seen = []

    def watch(done, total):
        seen.append(
            all(torch.equal(weight, before[name]) for name, weight in toy.module.state_dict().items())
        )

    fine_tune(toy, emotion, tones, layer=3, protocol="probe", settings=BRIEF, progress=watch)
    assert seen == [True] * 6


def test_filter_banks_can_be_probed(emotion, tones):
    settings = Settings(steps=50, head_steps=50)
    record = fine_tune(load_candidate("fbank"), emotion, tones, layer=0, protocol="probe", settings=settings)
    assert record.value == 1.0


def test_a_probe_is_of_all_layers(make_toy, emotion, tones):
    with pytest.raises(InputError, match="`probe` is about the whole encoder; give layer 3"):
        fine_tune(make_toy(), emotion, tones, layer=2, protocol="probe")


def test_layers_of_several_dimensions_cannot_be_added(make_toy, emotion, tones):
    toy = make_toy()
    toy.dimensions = (12, 12, 12, 10)
    with pytest.raises(InputError, match="toy: its layers have 10, 12 dimensions, so a probe cannot add"):
        fine_tune(toy, emotion, tones, layer=3, protocol="probe")


@pytest.mark.parametrize("protocol", ["layer", "full", "single-layer", "probe"])
def test_the_same_seed_gives_the_same_metrics(protocol, asr, spelled_few):
    candidate = tiny("hubert")
    one, other = (
        fine_tune(candidate, asr, spelled_few, layer=3, protocol=protocol, seed=5, settings=BRIEF)
        for _ in range(2)
    )
    assert one.metrics == other.metrics


def test_recurrent_layers_take_gradients_on_any_device(emotion):
    """CuDNN takes none of them in the mode of evaluation."""
    candidate = load_candidate("apc-untrained")
    with torch.no_grad():
        before = candidate.forward_from_features(*front_end_of(candidate)).layers[-1]
        head = make_head(emotion, ["a", "b"], candidate.dimensions[-1], 0.0, 0)
        CutEncoder(candidate, candidate.num_layers, head).eval()
        recurrent = [part for part in candidate.module.modules() if isinstance(part, nn.RNNBase)]
        assert len(recurrent) == candidate.num_layers
        assert all(part.training for part in recurrent)
        assert not candidate.module.training
        after = candidate.forward_from_features(*front_end_of(candidate)).layers[-1]
    assert torch.equal(before, after)


def front_end_of(candidate):
    noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    return candidate.front_end_features(candidate.batch([noise]))
