"""What the zoo learns by: hand-worked losses, what is drawn, what teachers do, stages, sizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from foretune.models import load_candidate
from foretune.models.log_mel.front_ends import log_mel
from foretune.models.pretraining import RECIPES, Recipe, stages, training
from foretune.models.pretraining.attention_decoder import AttentionDecoder
from foretune.models.pretraining.autoregression import AHEAD, Autoregression, explained
from foretune.models.pretraining.batches import Batches
from foretune.models.pretraining.denoising import mix
from foretune.models.pretraining.distillation import SelfDistillation
from foretune.models.pretraining.objectives import CHARACTERS, Hubert, PretrainingObjective
from foretune.models.pretraining.shipping import ship
from foretune.models.pretraining.slices import SliceReconstruction
from foretune.models.pretraining.transducer import Transducer
from foretune.models.pretraining.words import WordClassification
from foretune.tasks.utterance import Utterance

SMALL = 24
"""Utterances of the corpus in these tests."""
ZOO = [name for name, recipe in RECIPES.items() if recipe.objective != "alignment"]
TOLERANCE = 1e-4
MOST = 6e6
"""Bytes that one encoder's weights may have; ten times that for the zoo."""


def small(name: str, **changes: object) -> Recipe:
    recipe = replace(RECIPES[name], layers=2, utterances=SMALL)
    overrides = {**recipe.overrides, "max_source_positions": 250} if name == "whisper" else recipe.overrides
    return replace(recipe, overrides=overrides, **changes)  # type: ignore[arg-type]


def batch(corpus: list[Utterance], indices: list[int]) -> tuple[Tensor, Tensor, np.ndarray]:
    places = np.array(indices)
    return (*Batches(corpus, 2, 0).inputs(places), places)


def make(name: str, corpus: list[Utterance], **changes: object) -> PretrainingObjective:
    return stages.make_objective(small(name, **changes), corpus)


@pytest.mark.parametrize(
    "name", ["apc", "vggish", "fcnn", "conformer", "whisper", "data2vec", "decoar2", "wavlm", "hubert2"]
)
@pytest.mark.usefixtures("spoken")
def test_the_loss_falls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_EVERY", 6)
    made = stages.run(small(name, batch=4, steps=24, schedule=0, goes_on_from=""), tmp_path, lambda *_: None)
    losses = [loss for _, loss, _ in made.progress[-1].curve]
    assert all(0 <= watched <= 1 for _, _, watched in made.progress[-1].curve)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ZOO)
def test_every_encoder_is_small_enough_to_ship(name: str, corpus: list[Utterance]) -> None:
    assert 2 * parameters(name, corpus) < MOST


def test_the_zoo_is_small_enough_to_ship(corpus: list[Utterance]) -> None:
    assert 2 * sum(parameters(name, corpus) for name in ZOO) < 10 * MOST


def parameters(name: str, corpus: list[Utterance]) -> int:
    recipe = RECIPES[name]
    if recipe.objective in ("hubert", "wavlm"):
        objective = stages.make_predictor(recipe, [], 100)
    else:
        objective = stages.make_objective(recipe, corpus)
    return sum(weight.numel() for weight in objective.encoder.parameters())


# --- APC and DeCoAR


def test_what_is_explained_by_hand() -> None:
    wanted = torch.tensor([[1.0], [2.0], [6.0]])  # median 2, mean absolute deviation 5/3
    assert explained(torch.tensor(5 / 3), wanted) == pytest.approx(0, abs=1e-6)
    assert explained(torch.tensor(5 / 6), wanted) == pytest.approx(0.5)
    assert explained(torch.tensor(9.0), wanted) == 0


def test_apc_predicts_the_frame_so_many_ahead(corpus: list[Utterance]) -> None:
    objective = make("apc", corpus)
    assert isinstance(objective, Autoregression)
    with torch.no_grad():
        objective.head.weight.zero_()
        objective.head.bias.zero_()
        values, mask, indices = batch(corpus, [3])
        loss, _ = objective.loss(values, mask, indices, 0)
        frames = objective.encoder.features(values)[0]
        later = frames[4 * AHEAD : 4 * int(objective.frames(mask))]  # four log-mel frames are one
    assert float(loss) == pytest.approx(float(later.abs().mean()), rel=TOLERANCE)


def test_decoar_counts_masked_frames_alone_and_codewords_not_in_use(
    corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    from foretune.models.pretraining import slices

    objective = stages.make_objective(small("decoar2", unmasked=0.0), corpus).eval()
    assert isinstance(objective, SliceReconstruction)
    values, mask, indices = batch(corpus, [3])
    one = torch.zeros(1, int(objective.frames(mask)), dtype=torch.bool)
    one[0, 7] = True
    monkeypatch.setattr(slices, "span_mask", lambda *_, **__: one)
    with torch.no_grad():
        for weight in objective.head.parameters():
            weight.zero_()
        loss, _ = objective.loss(values, mask, indices, 0)
        wanted = objective.encoder.features(values)[0, 28:32].abs().mean()
    # one frame uses one codeword of each of two groups: perplexity 2 of 128
    assert float(loss) == pytest.approx(float(wanted) + 0.1 * (1 - 2 / 128), rel=TOLERANCE)


def test_decoar_counts_frames_that_are_not_masked_as_the_recipe_says(
    corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    from foretune.models.pretraining import slices

    objective = stages.make_objective(small("decoar2", unmasked=0.25), corpus).eval()
    assert isinstance(objective, SliceReconstruction)
    values, mask, indices = batch(corpus, [3, 4])
    lengths = objective.frames(mask)
    masked = torch.zeros(2, int(lengths.max()), dtype=torch.bool)
    masked[:, 3:7] = True
    monkeypatch.setattr(slices, "span_mask", lambda *_, **__: masked)
    monkeypatch.setattr(slices, "_DIVERSITY", 0.0)
    with torch.no_grad():
        for weight in objective.head.parameters():
            weight.zero_()
        loss, _ = objective.loss(values, mask, indices, 0)
        wanted = slices.stack(objective.encoder.features(values)).abs()
    heard = (torch.arange(masked.shape[1]) < lengths[:, None]) & ~masked
    expected = 0.75 * wanted[masked].mean() + 0.25 * wanted[heard].mean()
    assert float(loss) == pytest.approx(float(expected), rel=TOLERANCE)


# --- WavLM and data2vec


def test_mixing_changes_at_most_half_of_some_utterances() -> None:
    values = torch.randn(8, 4_000, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(8, 4_000, dtype=torch.int64)
    mask[3, 3_000:] = 0
    values[3, 3_000:] = 0
    changed = 0
    for seed in range(20):
        mixed = mix(values, mask, np.random.default_rng(seed))
        assert not mixed[3, 3_000:].any()
        for row, length in enumerate(mask.sum(1).tolist()):
            if torch.equal(mixed[row], values[row]):
                continue
            changed += 1
            heard = mixed[row, :length]
            assert float(heard.mean()) == pytest.approx(0, abs=1e-4)
            assert float(heard.std()) == pytest.approx(1, abs=1e-3)
            # where nothing was mixed in, the waveform is the old one up to gain and offset
            steps, old = heard.diff(), values[row, :length].diff()
            gain = (steps / old).median()
            kept = (steps - gain * old).abs() < 1e-3 * old.abs() + 1e-5
            assert float(kept.float().mean()) >= 0.49
    assert 0.35 < changed / 160 < 0.65


def test_mixing_leaves_what_was_given() -> None:
    values, mask = torch.randn(4, 1_000), torch.ones(4, 1_000, dtype=torch.int64)
    before = values.clone()
    mix(values, mask, np.random.default_rng(0))
    torch.testing.assert_close(values, before, rtol=0, atol=0)


def test_the_teacher_follows_its_student(corpus: list[Utterance]) -> None:
    objective = make("data2vec", corpus)
    assert isinstance(objective, SelfDistillation)
    student, teacher = (next(part.parameters()) for part in (objective.encoder, objective.teacher))
    torch.testing.assert_close(teacher, student, rtol=0, atol=0)
    with torch.no_grad():
        student += 1.0
    objective.follow(0)
    torch.testing.assert_close(teacher, student - 0.99, rtol=0, atol=1e-6)
    with torch.no_grad():
        teacher.copy_(student - 1.0)
    objective.follow(RECIPES["data2vec"].steps)
    torch.testing.assert_close(teacher, student - 0.9995, rtol=0, atol=1e-6)
    assert not any(weight.requires_grad for weight in objective.teacher.parameters())


def test_targets_of_the_teacher_are_normed_over_valid_frames(corpus: list[Utterance]) -> None:
    objective = make("data2vec", corpus)
    assert isinstance(objective, SelfDistillation)
    values, mask, _ = batch(corpus, [0, 1])
    lengths = objective.frames(mask)
    targets = objective.targets(values, mask, lengths)  # two layers: one of them is the upper half
    for row, count in enumerate(lengths.tolist()):
        assert float(targets[row, :count].mean(0).abs().max()) < TOLERANCE
        torch.testing.assert_close(
            targets[row, :count].square().mean(0), torch.ones(targets.shape[2]), atol=0.02, rtol=0
        )
        assert not targets[row, count:].any()


def test_log_mel_frames_ground_the_first_updates(corpus: list[Utterance]) -> None:
    plain = make("data2vec", corpus, grounding=0.0, steps=80).eval()
    grounded = make("data2vec", corpus, grounding=0.5, steps=80).eval()
    assert isinstance(grounded, SelfDistillation)
    assert grounded._mel_head is not None
    values, mask, indices = batch(corpus, [0, 1])
    wanted = []
    for row, count in enumerate(grounded.frames(mask).tolist()):
        mel = log_mel(values[row : row + 1, : mask[row].sum()], 40)[0, : 4 * count]
        wanted.append(((mel - 3.3) / 2.6).reshape(count, 160))
    square = float(torch.cat(wanted).square().mean())
    with torch.no_grad():
        grounded._mel_head.weight.zero_()  # predicts nothing
        grounded._mel_head.bias.zero_()
        for step, weight in ((0, 1.0), (10, 0.75), (39, 0.025), (40, 0.0), (79, 0.0)):
            without, with_it = (each.loss(values, mask, indices, step)[0] for each in (plain, grounded))
            assert float(with_it - without) == pytest.approx(weight * square, abs=1e-4)


# --- words, transducer, decoder


def test_words_are_all_alike_to_a_head_of_zeros(corpus: list[Utterance]) -> None:
    objective = make("fcnn", corpus)
    assert isinstance(objective, WordClassification)
    with torch.no_grad():
        objective.head.weight.zero_()
        objective.head.bias.zero_()
        loss, _ = objective.loss(*batch(corpus, [0, 1, 2]), 0)
    known = {word.label for utterance in corpus for word in utterance.words}
    assert objective.head.out_features <= len(known)
    assert float(loss) == pytest.approx(math.log(objective.head.out_features), rel=TOLERANCE)


def test_the_transducer_sums_over_all_alignments(corpus: list[Utterance]) -> None:
    """With every output equally probable, each of the alignments has the same probability."""
    objective = make("conformer", corpus).eval()
    assert isinstance(objective, Transducer)
    with torch.no_grad():
        objective.joint.weight.zero_()
        objective.joint.bias.zero_()
        loss, watched = objective.loss(*batch(corpus, [0, 5]), 0)
    total, characters = 0.0, 0
    for utterance in (corpus[0], corpus[5]):
        frames = ((len(utterance.waveform()) - 400) // 160 + 1) // 4
        letters = len(str(utterance.text))
        # the last output is a blank; before it, blanks and letters come in any order
        alignments = math.comb(frames - 1 + letters, letters)
        total += (frames + letters) * math.log(len(CHARACTERS) + 1) - math.log(alignments)
        characters += letters
    assert float(loss) == pytest.approx(total / characters, rel=TOLERANCE)
    assert watched == pytest.approx(math.exp(-total / characters), rel=TOLERANCE)


def test_the_conformer_that_ships_sees_what_it_was_trained_on(
    corpus: list[Utterance], tmp_path: Path
) -> None:
    recipe = small("conformer", steps=2)
    objective = stages.make_objective(recipe, corpus)
    assert isinstance(objective, Transducer)
    progress = training.Progress(2, 1.0, 1.0, [[2, 3.0, 0.1]])
    folder = ship(stages.Trained(recipe, objective, [progress], corpus), tmp_path / "conformer")
    candidate = load_candidate(str(folder))
    assert candidate.grid.stride == 640
    assert candidate.card.family == "Conformer"
    states = candidate.forward(candidate.batch([corpus[0].waveform()])).layers
    torch.testing.assert_close(states[0][0], objective._features(0), atol=1e-3, rtol=1e-3)


def test_the_decoder_is_blind_to_what_pads_its_text(corpus: list[Utterance]) -> None:
    objective = make("whisper", corpus, ctc=0.0).eval()
    assert isinstance(objective, AttentionDecoder)
    with torch.no_grad():
        together = float(objective.loss(*batch(corpus, [0, 1]), 0)[0])
        alone = [float(objective.loss(*batch(corpus, [index]), 0)[0]) for index in (0, 1)]
    counts = [len(str(corpus[index].text)) + 1 for index in (0, 1)]  # and the end
    assert together == pytest.approx(np.average(alone, weights=counts), rel=TOLERANCE)


def test_the_encoders_part_of_the_loss_sums_over_all_alignments(corpus: list[Utterance]) -> None:
    """With every character equally probable, each of CTC's alignments has the same probability."""
    decoder = make("whisper", corpus, ctc=0.0).eval()
    hybrid = make("whisper", corpus, ctc=0.25).eval()
    assert isinstance(hybrid, AttentionDecoder)
    assert hybrid._letters is not None
    with torch.no_grad():
        hybrid._letters.weight.zero_()
        hybrid._letters.bias.zero_()
        without, with_it = (float(each.loss(*batch(corpus, [0, 5]), 0)[0]) for each in (decoder, hybrid))
    losses = []
    for utterance in (corpus[0], corpus[5]):
        frames, text = len(utterance.waveform()) // 320, str(utterance.text)
        # a blank has to part letters that are the same
        repeated = sum(one == other for one, other in itertools.pairwise(text))
        alignments = math.comb(frames + len(text) - repeated, 2 * len(text))
        total = frames * math.log(len(CHARACTERS) + 1) - math.log(alignments)
        losses.append(total / len(text))
    assert with_it == pytest.approx(0.75 * without + 0.25 * np.mean(losses), rel=TOLERANCE)


# --- stages of one training


@pytest.mark.usefixtures("spoken")
def test_a_stage_is_the_same_with_and_without_the_one_before(tmp_path: Path) -> None:
    early = small("hubert2-early", batch=2, steps=3, schedule=8)
    middle = small("hubert2-middle", batch=2, steps=6, schedule=8)
    afresh = stages.run(middle, tmp_path / "afresh" / middle.name, lambda *_: None)
    before = stages.run(early, tmp_path / "shared" / early.name, lambda *_: None)
    after = stages.run(middle, tmp_path / "shared" / middle.name, lambda *_: None)
    assert [made.progress[0].step for made in (before, after)] == [3, 6]
    assert after.progress[0].curve[0][0] == 3  # it went on
    weights = [made.objective.state_dict() for made in (afresh, after, before)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=0, msg=name)
    assert any(not torch.equal(weights[2][name], weight) for name, weight in weights[0].items())


def test_stages_of_a_training_share_all_but_their_end() -> None:
    early, middle, last = (RECIPES[name] for name in ("hubert2-early", "hubert2-middle", "hubert2"))
    assert early.steps < middle.steps < last.steps == last.schedule == early.schedule == middle.schedule
    assert (middle.goes_on_from, last.goes_on_from) == (early.name, middle.name)
    for stage in (early, middle):
        assert replace(stage, name=last.name, steps=last.steps, goes_on_from=last.goes_on_from) == last


@pytest.mark.usefixtures("spoken")
def test_targets_of_a_shipped_encoder_are_its_middle_layers_clusters(
    corpus: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    teacher = load_candidate("hubert")

    def hidden(encoder: object, layer: int, utterances: list[Utterance]) -> list[np.ndarray]:
        asked.append((type(encoder).__name__, layer))
        rng = np.random.default_rng(0)
        return [rng.standard_normal((teacher.grid.frames(len(each.waveform())), 4)) for each in utterances]

    monkeypatch.setattr(stages, "hidden", hidden)
    made = stages.run(small("hubert2-early", steps=1, batch=4), tmp_path, lambda *_: None)
    assert asked == [("HubertModel", 6)]
    assert isinstance(made.objective, Hubert)
    assert made.objective.head.out_features == 200
