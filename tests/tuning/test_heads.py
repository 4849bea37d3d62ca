"""Heads and batches, by hand."""

from __future__ import annotations

import pytest
import torch

from foretune.tasks import InputError, get_task
from foretune.tuning.frozen import pad, shuffled_batches
from foretune.tuning.heads import make_head
from foretune.tuning.stages import _warm_up_and_fall


def one_hot(indices, outputs):
    return torch.nn.functional.one_hot(torch.tensor([indices]), outputs).float()


def test_greedy_decoding_merges_repetitions_and_drops_blanks(asr):
    head = make_head(asr, ["ab", "b a"], 4, -2.0, seed=0)
    assert head.outputs == ["", " ", "a", "b"]
    logits = one_hot([0, 2, 2, 0, 2, 3, 3, 1, 0, 3], 4)
    assert head.decide(logits, torch.tensor([10])) == ["aab b"]
    assert head.decide(logits, torch.tensor([5])) == ["aa"]
    assert head.decide(one_hot([0, 0], 4), torch.tensor([2])) == [""]


def test_ctc_loss_of_a_case_worked_by_hand(asr):
    # 2 frames, uniform over blank, a, b: the paths of "a" are aa, a-, -a
    head = make_head(asr, ["ab"], 4, 0.0, seed=0)
    loss = head.loss(torch.zeros(1, 2, 3), torch.tensor([2]), ["a"])
    torch.testing.assert_close(loss, -torch.tensor(3 / 9).log())


def test_phones_are_tokens_whatever_their_letters():
    head = make_head(get_task("phoneme_recognition"), ["tʃ iː z", "t iː"], 4, -2.0, seed=0)
    assert head.outputs == ["", "iː", "t", "tʃ", "z"]
    assert head.linear.bias.tolist() == [-2.0, 0.0, 0.0, 0.0, 0.0]
    logits = one_hot([3, 3, 0, 1, 1, 4, 0, 4], 5)
    assert head.decide(logits, torch.tensor([8])) == ["tʃ iː z z"]


def test_ctc_counts_a_phone_of_two_letters_once():
    # 2 frames, uniform over blank and two phones: the paths of "tʃ" are three of nine, as of any one token
    head = make_head(get_task("phoneme_recognition"), ["tʃ iː"], 4, 0.0, seed=0)
    loss = head.loss(torch.zeros(1, 2, 3), torch.tensor([2]), ["tʃ"])
    torch.testing.assert_close(loss, -torch.tensor(3 / 9).log())


def test_a_transcript_too_long_for_its_frames_counts_nothing(asr):
    head = make_head(asr, ["ab"], 4, 0.0, seed=0)
    logits = torch.zeros(2, 2, 3, requires_grad=True)
    both = head.loss(logits, torch.tensor([2, 2]), ["a", "abab"])
    alone = head.loss(logits[:1], torch.tensor([2]), ["a"])
    torch.testing.assert_close(both, alone / 2)
    (gradient,) = torch.autograd.grad(both, logits)
    assert (gradient[1] == 0).all()


def test_the_blank_starts_unlikely(asr):
    assert make_head(asr, ["ab"], 4, -2.0, seed=0).linear.bias.tolist() == [-2.0, 0.0, 0.0]


def test_pooling_leaves_padding_out(emotion):
    head = make_head(emotion, ["x", "y"], 3, 0.0, seed=0)
    features = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
    alone = head(features[:, :2], torch.tensor([2]))
    torch.testing.assert_close(head(features, torch.tensor([2])), alone)
    torch.testing.assert_close(alone, head.linear(features[:, :2].mean(1)))


@pytest.mark.parametrize("task", ["emotion", "asr"])
def test_features_are_standardised(task, request):
    head = make_head(request.getfixturevalue(task), ["x", "y"], 2, 0.0, seed=0)
    head.standardise([torch.tensor([[1.0, 7.0]]), torch.tensor([[5.0, 7.0]])])
    assert head.mean.tolist() == [3.0, 7.0]
    assert head.deviation.tolist() == [2.0, 1.0]  # a constant dimension keeps its scale


def test_utterances_are_standardised_by_their_means(emotion):
    head = make_head(emotion, ["x", "y"], 1, 0.0, seed=0)
    head.standardise([torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[6.0]])])
    assert head.mean.tolist() == [4.0]
    assert head.deviation.tolist() == [2.0]


def test_seeds_draw_the_weights(emotion):
    weights = [make_head(emotion, ["x", "y"], 3, 0.0, seed=seed).linear.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_transcripts_without_a_character_are_refused(asr):
    with pytest.raises(InputError, match="no training transcript has a character"):
        make_head(asr, ["", ""], 3, 0.0, seed=0)
    with pytest.raises(InputError, match="no training transcript has a phone"):
        make_head(get_task("phoneme_recognition"), ["", ""], 3, 0.0, seed=0)


def test_a_pass_of_batches_holds_every_index_once():
    lengths = [
        int(length) for length in torch.randint(20, 90, (50,), generator=torch.Generator().manual_seed(0))
    ]
    batches = shuffled_batches(lengths, 8, torch.Generator().manual_seed(1))
    for _ in range(3):
        seen = [next(batches) for _ in range(7)]
        assert sorted(index for batch in seen for index in batch) == list(range(50))
        padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in seen)
        assert padded < 1.2 * sum(lengths)


def test_batches_follow_their_seed():
    def draw(seed):
        batches = shuffled_batches([30] * 20, 4, torch.Generator().manual_seed(seed))
        return [next(batches) for _ in range(10)]

    assert draw(0) == draw(0) != draw(1)


def test_padding_is_zero():
    padded, lengths = pad([torch.ones(1, 2), torch.ones(3, 2)], torch.device("cpu"))
    assert padded[0].tolist() == [[1, 1], [0, 0], [0, 0]]
    assert lengths.tolist() == [1, 3]


def test_the_learning_rate_rises_and_falls():
    factors = [_warm_up_and_fall(step, 12, 0.25) for step in range(12)]
    torch.testing.assert_close(factors[:4], [0.25, 0.5, 0.75, 1.0])
    torch.testing.assert_close(factors[3:], [1 - k / 9 for k in range(9)])
    assert _warm_up_and_fall(0, 1, 0.1) > 0
