"""Loading: names, folders, twins, and everything that is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from foretune import models
from foretune.models import load_candidate, names
from foretune.models.huggingface import load_folder
from foretune.models.weights import read_weights, weights_hash
from foretune.tasks.errors import InputError


@pytest.fixture
def folder(tiny_folders, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(tiny_folders("hubert-stable"), tmp_path / "model")


def test_filter_banks_and_the_zoo_with_its_twins_are_shipped():
    shipped = names()
    assert shipped[:2] == ["fbank", "mfcc"]
    zoo = [name for name in shipped[2:] if not name.endswith("-untrained")]
    twins = [name.removesuffix("-untrained") for name in shipped[2 + len(zoo) :]]
    assert {path.name for path in models.ZOO.glob("*") if path.is_dir()} >= set(zoo) >= set(twins)

    def configuration(name: str) -> str:
        read = json.loads((models.ZOO / name / "config.json").read_text(encoding="utf-8"))
        read.pop("transformers_version", None)  # which release wrote it makes no other encoder
        return json.dumps(read, sort_keys=True)

    assert sorted(map(configuration, twins)) == sorted(set(map(configuration, zoo)))


def test_one_twin_stands_for_all_of_an_architecture(tiny_folders, tmp_path, monkeypatch):
    for name in ("later", "early"):
        shutil.copytree(tiny_folders("hubert-stable"), tmp_path / name)
    shutil.copytree(tiny_folders("wavlm"), tmp_path / "other")
    monkeypatch.setattr(models, "ZOO", tmp_path)
    assert models.names() == [
        "fbank", "mfcc", "early", "later", "other", "early-untrained", "other-untrained",
    ]  # fmt: skip
    assert [row[0] for row in models.describe()] == models.names()


def test_half_precision_weights_are_used_in_single_precision(tiny_folders):
    folder = tiny_folders("hubert-stable")
    stored = load_file(folder / "model.safetensors")
    candidate = load_candidate(str(folder))
    weight = candidate.module.encoder.layers[0].feed_forward.intermediate_dense.weight
    assert weight.dtype == torch.float32
    assert stored["encoder.layers.0.feed_forward.intermediate_dense.weight"].dtype == torch.float16
    torch.testing.assert_close(
        weight.half(), stored["encoder.layers.0.feed_forward.intermediate_dense.weight"], rtol=0, atol=0
    )


def test_the_same_folder_gives_the_same_revision_and_other_weights_another(folder):
    first = load_candidate(str(folder)).revision
    assert load_candidate(str(folder)).revision == first
    assert len(first) == 12
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer_norm.bias"][0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_candidate(str(folder)).revision != first


def test_weights_that_differ_from_the_cards_sum_are_refused(folder):
    weights = folder / "model.safetensors"
    card = folder / "card.json"
    card.write_text(json.dumps({"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}))
    load_candidate(str(folder))
    tensors = load_file(weights)
    tensors["encoder.layer_norm.bias"][0] += 1
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.safetensors: its SHA-256 begins .* and card\.json says"):
        load_candidate(str(folder))
    card.write_text(json.dumps({"licence": "MIT"}))
    load_candidate(str(folder))


def test_normalisation_follows_the_preprocessing_and_is_part_of_the_revision(folder):
    with_it = load_candidate(str(folder))
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    without = load_candidate(str(folder))
    assert without.revision != with_it.revision
    waveform = np.linspace(0, 0.5, 4_000, dtype=np.float32)
    np.testing.assert_array_equal(without.batch([waveform])["input_values"][0], waveform)


def test_a_card_beside_the_weights_is_read(folder):
    card = {"pretraining_data": "embedded", "licence": "Apache-2.0", "objective": "CTC", "steps": 3}
    (folder / "card.json").write_text(json.dumps(card))
    read = load_candidate(str(folder)).card
    assert (read.pretraining_data, read.licence, read.objective) == ("embedded", "Apache-2.0", "CTC")
    assert read.family == "hubert"
    assert read.details == {"steps": 3}


README = """---
license: cc-by-4.0
datasets:
- librispeech_asr
- mls
---
# A model
"""


def test_licence_and_data_of_a_hub_model_are_read_from_its_card(folder):
    (folder / "README.md").write_text(README)
    card = load_candidate(str(folder)).card
    assert (card.family, card.licence, card.pretraining_data) == (
        "hubert",
        "cc-by-4.0",
        "librispeech_asr, mls",
    )


@pytest.mark.parametrize("text", ["no head at all", "---\nlicense: [\n---\n", "---\n- a list\n---\n"])
def test_what_a_model_card_does_not_say_is_unknown(folder, text):
    (folder / "README.md").write_text(text)
    assert load_candidate(str(folder)).card.licence == ""


def test_an_extractor_is_needed_where_the_family_has_none(tmp_path):
    from transformers import GlmAsrEncoder, GlmAsrEncoderConfig

    config = GlmAsrEncoderConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    GlmAsrEncoder(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no preprocessor_config\.json, and glmasr_encoder has no default"):
        load_candidate(str(tmp_path))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "NoSuch"}))
    with pytest.raises(InputError, match=r"its preprocessor_config\.json cannot be used"):
        load_candidate(str(tmp_path))


def test_layers_on_different_grids_are_refused(tmp_path):
    from transformers import (
        GraniteSpeech5Encoder,
        GraniteSpeech5EncoderConfig,
        GraniteSpeech5FeatureExtractor,
    )

    config = GraniteSpeech5EncoderConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    GraniteSpeech5Encoder(config).save_pretrained(tmp_path)
    GraniteSpeech5FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"are not supported: it has no list of layers .*differ in shape"):
        load_candidate(str(tmp_path))


def test_weights_above_the_encoder_may_be_missing(tmp_path):
    from transformers import MoonshineConfig, MoonshineModel

    config = MoonshineConfig(
        hidden_size=16,
        intermediate_size=16,
        encoder_num_hidden_layers=1,
        decoder_num_hidden_layers=1,
        encoder_num_attention_heads=2,
        decoder_num_attention_heads=2,
        vocab_size=9,
    )
    MoonshineModel(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    own = {key: tensor for key, tensor in weights.items() if key.startswith("encoder.")}
    save_file(own, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_candidate(str(tmp_path)).num_layers == 1
    own.popitem()
    save_file(own, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights are missing, the first encoder\."):
        load_candidate(str(tmp_path))


def test_weights_with_a_head_on_top_are_read_without_it(tiny_folders, tmp_path):
    from transformers import HubertConfig, HubertForCTC

    config = HubertConfig.from_pretrained(tiny_folders("hubert-stable"), vocab_size=9)
    HubertForCTC(config).save_pretrained(tmp_path / "ctc")
    assert load_candidate(str(tmp_path / "ctc")).num_layers == 3


def test_twins_differ_from_their_sibling_and_are_always_the_same(tiny_folders):
    name = str(tiny_folders("hubert-stable"))
    trained = load_candidate(name)
    state = torch.random.get_rng_state()
    twin = load_candidate(name + "-untrained")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    again = load_candidate(name + "-untrained")
    assert twin.revision == again.revision != trained.revision
    assert twin.parameters(3) == trained.parameters(3)
    assert twin.name == name + "-untrained"


def test_a_twin_needs_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert load_candidate(f"{folder}-untrained").num_layers == 3


def test_installed_packages_add_candidates(monkeypatch):
    def entry_points(*, group, name):
        assert group == "foretune.models"
        found = EntryPoint(name, "their_package:load", group)
        return [found] if name == "theirs" else []

    monkeypatch.setattr(models, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda _: lambda *, device: SimpleNamespace(device=device))
    theirs = load_candidate("theirs", device="cpu")
    assert theirs.device == "cpu"
    assert theirs.load_seconds >= 0


def test_all_are_those_that_ship_and_are_not_named_beside_it(monkeypatch):
    monkeypatch.setattr(models, "names", lambda: ["fbank", "hubert"])
    assert models.expand(["all"]) == ["fbank", "hubert"]
    assert models.expand(["./mine", "all", "hubert"]) == ["fbank", "./mine", "hubert"]
    assert models.expand(["hubert"]) == ["hubert"]


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """Return a function that puts a folder into the cache of a hub that cannot be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(folder, repository, branch="main"):
        home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        commit = "c" * 40
        (home / "refs").mkdir(parents=True)
        (home / "refs" / branch).write_text(commit)
        shutil.copytree(folder, home / "snapshots" / commit)

    return put


def test_a_hub_model_in_the_cache_needs_no_network(hub_cache, tiny_folders):
    hub_cache(tiny_folders("hubert-stable"), "owner/tiny", branch="v1")
    cached = load_candidate("owner/tiny@v1")
    assert cached.revision == load_candidate(str(tiny_folders("hubert-stable"))).revision
    assert cached.name == "owner/tiny@v1"
    with pytest.raises(InputError, match="model owner/tiny@v2: no such folder, not in the local cache"):
        load_candidate("owner/tiny@v2")


def test_a_hub_model_without_safetensors(hub_cache, folder):
    (folder / "model.safetensors").unlink()
    hub_cache(folder, "owner/pickled")
    with pytest.raises(InputError, match="model owner/pickled: the hub has no safetensors of it"):
        load_candidate("owner/pickled")


def test_weights_are_hashed_with_their_names():
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    assert weights_hash(one) == weights_hash(other)
    assert weights_hash(one, "another code") != weights_hash(one)
    with torch.no_grad():
        other.bias[0] += 1
    assert weights_hash(one) != weights_hash(other)


def test_loading_keeps_the_logging_of_transformers_as_it_was(tiny_folders, capfd):
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_info()
    folder = tiny_folders("hubert-stable")
    capfd.readouterr()
    read_weights(folder, AutoConfig.from_pretrained(folder))
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled()
    assert "Loading weights" not in capfd.readouterr().err
    logging.set_verbosity_warning()


# --- what is refused


def test_a_misspelt_name_suggests_the_nearest():
    with pytest.raises(InputError, match="model fbanks: unknown; did you mean fbank"):
        load_candidate("fbanks")


def test_a_name_like_nothing_lists_what_ships():
    with pytest.raises(InputError, match="model qqqq: unknown; shipped are fbank"):
        load_candidate("qqqq")


def test_an_unknown_hub_id_while_offline(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="model nobody/nothing: no such folder, not in the local cache"):
        load_candidate("nobody/nothing")


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match=r"absent: no such folder"):
        load_candidate(str(tmp_path / "absent"))


def test_a_folder_without_configuration(folder):
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"model: no config\.json"):
        load_candidate(str(folder))


def test_a_folder_without_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model: no weights in it; put model\.safetensors"):
        load_candidate(str(folder))


def test_pickled_weights_are_not_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(
        InputError, match=r"its weights are pickled \(pytorch_model\.bin\).*safe_serialization"
    ):
        load_candidate(str(folder))


def test_a_damaged_weights_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="model: its weights cannot be read"):
        load_candidate(str(folder))


def test_missing_weights_are_not_drawn_at_random(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layers.1.final_layer_norm.bias"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        InputError, match=r"1 weights are missing, the first encoder\.layers\.1\.final_layer_norm"
    ):
        load_candidate(str(folder))


def test_weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(InputError, match="model: its weights cannot be read"):
        load_candidate(str(folder))


def test_a_damaged_configuration(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: not JSON"):
        load_candidate(str(folder))


@pytest.mark.parametrize("family", ["no-such-family", None])
def test_an_unknown_architecture_or_remote_code(folder, family):
    (folder / "config.json").write_text(
        json.dumps({"model_type": family, "auto_map": {"AutoModel": "own.Model"}})
    )
    with pytest.raises(InputError, match=r"does not describe an encoder .* remote code is not run"):
        load_candidate(str(folder))


def test_a_family_that_is_not_for_speech(tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(
        BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
        )
    ).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="encoders of the family bert are not supported"):
        load_candidate(str(tmp_path / "bert"))


def test_a_model_at_another_sample_rate_is_given_resampled_waveforms(folder):
    (folder / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 24_000}))
    candidate = load_candidate(str(folder))
    batch = candidate.batch([np.zeros(16_001, np.float32)])
    assert batch["input_values"].shape == (1, 24_002)
    with torch.inference_mode():
        states = candidate.forward(batch)
    grid = candidate.grid
    assert grid.sample_rate == 24_000
    assert int(states.lengths[0]) == states.layers[0].shape[1] == grid.frames(16_001)
    assert grid.centres(2)[0] == pytest.approx(grid.receptive_field / 2 / 24_000)


def test_a_device_that_is_not_there(tiny_folders):
    with pytest.raises(InputError, match="device nonsense: "):
        load_folder(tiny_folders("hubert-stable"), "tiny", device="nonsense")
