"""Counted operations are those that a pencil counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from foretune.tuning import Settings, fine_tune
from foretune.tuning.cut import FrozenStates
from foretune.tuning.flops import flops_of_update
from foretune.tuning.heads import make_head


def test_a_linear_head_by_hand(emotion, tones):
    # pooled (4, 12) times (12, 3): 2 · 4 · 12 · 3 forward; the same again for the weights' gradient
    head = make_head(emotion, [each.emotion for each in tones.train], 12, 0.0, 0)
    model = FrozenStates(head, torch.device("cpu"))
    batch, lengths = model.collate([torch.ones(5, 12)] * 4)
    before = head.linear.weight.detach().clone()
    assert flops_of_update(model, batch, lengths, ["a", "b", "c", "a"]) == 2 * (2 * 4 * 12 * 3)
    assert head.linear.weight.grad is None
    assert torch.equal(head.linear.weight, before)


def test_attention_is_counted_on_a_cpu(emotion, tones):
    class Attending(FrozenStates):
        def hidden(self, inputs, lengths):
            heads = self.project(inputs).unflatten(2, (2, 4)).transpose(1, 2)
            return functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)

    head = make_head(emotion, [each.emotion for each in tones.train], 8, 0.0, 0)
    model = Attending(head, torch.device("cpu"))
    model.project = nn.Linear(8, 8)
    batch, lengths = model.collate([torch.randn(6, 8, generator=torch.Generator().manual_seed(0))] * 3)
    product = 2 * (3 * 2) * 6 * 6 * 4  # (6, 4) times (4, 6), or (6, 6) times (6, 4), in 3 · 2 heads
    linear = 2 * (3 * 6) * 8 * 8
    classes = 2 * 3 * 8 * 3
    # attention has two products forward, and five backward, where scores are computed again; the linear
    # layer needs no gradient of its inputs, the classifier does
    wanted = (2 + 5) * product + 2 * linear + 3 * classes
    assert flops_of_update(model, batch, lengths, ["a", "b", "c"]) == wanted


@pytest.mark.parametrize("protocol", ["layer", "single-layer", "probe"])
def test_operations_grow_with_the_updates(protocol, toy, emotion, tones):
    counts = [
        fine_tune(
            toy, emotion, tones, layer=3, protocol=protocol, settings=Settings(steps=steps, head_steps=steps)
        ).flops
        for steps in (3, 6)
    ]
    assert counts[0] > 0
    assert counts[1] == pytest.approx(2 * counts[0], rel=0.2)  # up to the lengths of the batches


def test_more_layers_are_more_operations(toy, emotion, tones):
    settings = Settings(steps=3, head_steps=3)
    counts = [fine_tune(toy, emotion, tones, layer=layer, settings=settings).flops for layer in (1, 2, 3)]
    assert counts == sorted(counts)
    assert len(set(counts)) == 3
