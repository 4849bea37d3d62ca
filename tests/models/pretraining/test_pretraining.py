"""Pre-training: targets, masks, objectives, resuming, and what ships."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foretune.models.frame_grid import FrameGrid
from foretune.models.pretraining import RECIPES, Recipe, pretrain, stages
from foretune.models.pretraining.batches import Batches, span_mask
from foretune.models.pretraining.objectives import CHARACTERS
from foretune.models.pretraining.targets import cluster, mfcc
from foretune.tasks.embedded.corpus import pretraining_corpus
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance

SMALL = 24
"""Utterances of the corpus in these tests."""


def small(objective: str, **changes: object) -> Recipe:
    recipe = RECIPES[objective]
    return replace(recipe, layers=2, batch=4, utterances=SMALL, **changes)


def test_batches_are_the_same_however_they_are_reached(corpus: list[Utterance]) -> None:
    straight, jumping = Batches(corpus, 8, 0), Batches(corpus, 8, 0)
    in_order = [straight[step] for step in range(7)]
    for step in (5, 0, 6, 2):
        np.testing.assert_array_equal(jumping[step], in_order[step])


def test_an_epoch_holds_every_utterance_once(corpus: list[Utterance]) -> None:
    batches = Batches(corpus, 8, 0)
    assert sorted(np.concatenate([batches[step] for step in range(3)]).tolist()) == list(range(SMALL))


def test_inputs_are_normalised_and_padded_with_zeros(corpus: list[Utterance]) -> None:
    values, mask = Batches(corpus, 8, 0).inputs(np.array([0, 1, 2]))
    for row, utterance in enumerate(corpus[:3]):
        length = len(utterance.waveform())
        assert int(mask[row].sum()) == length
        assert float(values[row, :length].mean()) == pytest.approx(0, abs=1e-5)
        assert float(values[row, :length].std()) == pytest.approx(1, abs=1e-3)
        assert not values[row, length:].any()


def test_masks_stay_inside_the_utterance_and_cover_about_their_share() -> None:
    valid = torch.tensor([50, 20, 3])
    masks = [
        span_mask(valid, probability=0.6, length=5, rng=np.random.default_rng(seed)) for seed in range(200)
    ]
    shares = torch.stack(masks).float().mean(0)
    assert all(bool(mask[row].any()) for mask in masks for row in range(3))
    assert float(shares[1, 20:].sum()) == float(shares[2, 3:].sum()) == 0
    assert 0.35 < float(shares[0].mean()) < 0.6  # spans overlap, so it is less than 0.6


def test_mfcc_lie_on_the_frame_grid_without_mean(corpus: list[Utterance]) -> None:
    grid = FrameGrid(stride=640, receptive_field=1140)
    for utterance, features in zip(corpus[:3], mfcc(corpus[:3], grid), strict=True):
        assert features.shape == (grid.frames(len(utterance.waveform())), 39)
        np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)


def test_clusters_of_separate_clouds_are_the_clouds() -> None:
    rng = np.random.default_rng(0)
    cloud = np.repeat(np.arange(3), 100)
    features = (100.0 * cloud[:, None] + rng.standard_normal((300, 4))).astype(np.float32)
    (found,) = cluster([features], 3, 0)
    assert len({(int(a), int(b)) for a, b in zip(cloud, found, strict=True)}) == 3


@pytest.mark.parametrize("objective", ["hubert", "wav2vec2", "ctc", "speaker"])
@pytest.mark.usefixtures("spoken")
def test_every_objective_learns(objective: str, tmp_path: Path) -> None:
    recipe = small(objective, steps=40, first_steps=8 if objective == "hubert" else 0)
    losses: list[float] = []
    made = stages.run(recipe, tmp_path, lambda *_: None)
    curve = made.progress[-1].curve
    objective_now = made.objective.eval()
    batches = Batches(pretraining_corpus(SMALL), 8, 0)
    with torch.no_grad():
        for step in range(3):
            values, mask = batches.inputs(batches[step])
            losses.append(float(objective_now.loss(values, mask, batches[step], step)[0]))
    assert np.mean(losses) < curve[-1][1]  # after training less than on average during it


@pytest.mark.usefixtures("spoken")
def test_resuming_equals_one_undisturbed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foretune.models.pretraining import training

    monkeypatch.setattr(training, "_EVERY", 3)
    recipe = small("wav2vec2", steps=8)
    whole = stages.run(recipe, tmp_path / "whole", lambda *_: None)

    def stop(_stage: str, step: int, *_: float) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run(recipe, tmp_path / "torn", stop)
    resumed = stages.run(recipe, tmp_path / "torn", lambda *_: None)
    for (name, one), other in zip(
        whole.objective.state_dict().items(), resumed.objective.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0, msg=name)
    assert [entry[0] for entry in resumed.progress[0].curve] == [3, 6, 8]


@pytest.mark.usefixtures("spoken")
def test_what_ships_is_complete_and_in_half_precision(tmp_path: Path) -> None:
    folder = pretrain("speaker", output=tmp_path, work=tmp_path / "work", steps=2, utterances=SMALL)
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "card.json", "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.float16}
    card = json.loads((folder / "card.json").read_text())
    assert (card["name"], card["steps"], card["layers"]) == ("speaker", [2], 6)
    assert card["cpu_seconds"] > 0


def test_transcripts_fit_the_characters_of_ctc(corpus: Sequence[Utterance]) -> None:
    assert set("".join(str(utterance.text) for utterance in corpus)) <= set(CHARACTERS)


def test_an_unknown_recipe_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean hubert"):
        pretrain("hubbert", output=tmp_path, work=tmp_path)


def test_a_corpus_smaller_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--utterances 7: less than the 8 of an update"):
        stages.run(replace(small("fcnn"), batch=8, utterances=7), tmp_path, lambda *_: None)
