"""Any module as a candidate: layers by hooks, what is found by trying, what is refused."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch import nn

import foretune
from foretune.contract import check
from foretune.models import ModuleCandidate, module
from foretune.models.frame_grid import FrameGrid
from foretune.models.grid_probe import count_grid
from foretune.models.layer_states import find_layers, find_norm, parameters_by_stage
from foretune.tasks import get_task
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import TaskData, Utterance
from foretune.tuning import Settings, fine_tune

RATE = 16_000


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, hidden):
        return hidden + torch.tanh(self.linear(hidden))


class Encoder(nn.Module):
    """A convolution over the waveform, three layers, a norm, and a head that is never to run."""

    def __init__(self, *, time_first=False, group_norm=False, together=False, mask=False):
        super().__init__()
        self.convolution = nn.Conv1d(1, 8, 400, 320)
        self.group_norm = nn.GroupNorm(2, 8) if group_norm else nn.Identity()
        self.layers = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 1_000)
        self.unused = nn.Linear(8, 5)
        self.time_first, self.together, self.mask = time_first, together, mask
        self.heads = 0
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + 0.1)

    def forward(self, waveforms):
        if self.together:
            waveforms = waveforms / waveforms.std()
        hidden = self.group_norm(self.convolution(waveforms[:, None]))
        hidden = hidden.permute(2, 0, 1) if self.time_first else hidden.transpose(1, 2)
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = self.norm(hidden)
        self.heads += 1
        return self.head(hidden)


@pytest.fixture
def wrap():
    """Return a function that wraps the encoder of this file."""

    def make(*, layers="layers", **settings):
        own = {key: settings.pop(key) for key in ("time_first", "group_norm", "together") if key in settings}
        torch.manual_seed(0)
        return ModuleCandidate("mine", Encoder(**own), layers=layers, **settings)

    return make


def noise(samples, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


# --- by hand


@torch.no_grad()
def test_states_are_what_enters_the_layers_and_what_the_norm_makes_of_the_last(wrap):
    candidate = wrap()
    encoder, waveform = candidate.module, noise(4_000)
    hidden = encoder.convolution(torch.from_numpy(waveform)[None, None]).transpose(1, 2)
    expected = [hidden]
    for layer in encoder.layers:
        expected.append(hidden := layer(hidden))
    states = candidate.forward(candidate.batch([waveform]))
    assert len(states.layers) == 4
    for ours, theirs in zip(states.layers, [*expected[:3], encoder.norm(expected[3])], strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_nothing_above_the_layer_wanted_is_run(wrap):
    candidate = wrap()
    ran = []
    for number, layer in enumerate(candidate.layers, start=1):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    heads = candidate.module.heads
    candidate.forward(candidate.batch([noise(4_000)]), last_layer=1)
    assert ran == [1]
    candidate.forward(candidate.batch([noise(4_000)]))
    assert candidate.module.heads == heads


def test_weights_are_counted_where_they_are_used_and_heads_not_at_all(wrap):
    candidate = wrap()
    front, layer, norm = 8 * 400 + 8, 8 * 8 + 8, 2 * 8
    assert candidate._norm is None or candidate._norm is candidate.module.norm
    extra = norm if candidate._norm is not None else 0
    assert [candidate.parameters(depth) for depth in range(4)] == [
        front + extra + n * layer for n in range(4)
    ]
    frozen = candidate.front_end()
    assert sum(weight.numel() for weight in frozen.parameters()) == front


# --- what is found by trying


@pytest.mark.parametrize(("kernel", "stride"), [(400, 320), (10, 10), (2_000, 640)])
def test_the_grid_is_that_of_the_convolution(kernel, stride):
    encoder = Encoder()
    encoder.convolution = nn.Conv1d(1, 8, kernel, stride)
    grid = ModuleCandidate("mine", encoder, layers="layers").grid
    assert (grid.stride, grid.receptive_field, grid.offset) == (stride, kernel, 0)
    for samples in (kernel - 1, kernel, kernel + stride - 1, kernel + stride, 12_345):
        assert grid.frames(samples) == max(0, (samples - kernel) // stride + 1)


def test_the_grid_of_padded_convolutions_begins_before_the_waveform():
    encoder = Encoder()
    encoder.convolution = nn.Sequential(
        nn.Conv1d(1, 4, 25, 10, padding=12), nn.Conv1d(4, 8, 9, 16, padding=4)
    )
    grid = ModuleCandidate("mine", encoder, layers="layers").grid
    assert (grid.stride, grid.receptive_field, grid.offset) == (160, 25 + 8 * 10, -12 - 4 * 10)
    for samples in (1, 159, 160, 161, 4_000, 4_001):
        assert grid.frames(samples) == ((samples + 24 - 25) // 10 + 1 + 8 - 9) // 16 + 1


def test_norms_over_time_do_not_hide_what_a_frame_sees(wrap):
    grid = wrap(group_norm=True).grid
    assert (grid.stride, grid.receptive_field) == (320, 400)


def test_counting_needs_no_more_than_the_count():
    counted = count_grid(lambda samples: max(0, (samples - 123) // 77 + 1), RATE)
    assert (counted.stride, counted.first_frame_needs) == (77, 123)
    with pytest.raises(InputError, match="which is no grid; give the grid"):
        count_grid(lambda samples: int(samples**0.5), RATE)
    with pytest.raises(InputError, match=r"7 frames from .* and hardly more from"):
        count_grid(lambda _: 7, RATE)


@pytest.mark.parametrize(
    ("kind", "together", "pads"),
    [({}, True, True), ({"group_norm": True}, True, False), ({"together": True}, False, False)],
)
def test_what_may_share_a_batch_is_found_and_kept_to(wrap, kind, together, pads):
    candidate = wrap(**kind)
    assert (candidate._together, candidate._pads) == (together, pads)
    groups = candidate._groups([3, 5, 3])
    assert groups == ([[0, 1, 2]] if pads else [[0, 2], [1]] if together else [[0], [1], [2]])
    found = check(candidate)
    assert {each.promise: each.measured for each in found.findings if not each.holds} == {}


def test_time_may_come_first(wrap):
    waveforms = [noise(4_000), noise(6_000, seed=1)]
    with torch.no_grad():
        one, other = (each.forward(each.batch(waveforms)) for each in (wrap(), wrap(time_first=True)))
    for ours, theirs in zip(one.layers, other.layers, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_module_at_another_rate_gets_resampled_waveforms(wrap):
    candidate = wrap(sample_rate=24_000)
    assert candidate.grid.sample_rate == 24_000
    batch = candidate.batch([noise(16_000)])
    assert batch["samples"].tolist() == [24_000]
    assert batch["lengths"].tolist() == [(24_000 - 400) // 320 + 1]
    assert candidate.grid.centres(2)[1] == pytest.approx((200 + 320) / 24_000)
    assert check(candidate).holds


def test_the_longest_stack_is_found_and_its_norm():
    encoder = Encoder()
    encoder.others = nn.ModuleList([nn.Linear(1_000, 1_000)])
    run = lambda: encoder(torch.randn(1, 4_000))  # noqa: E731
    assert find_layers(run, encoder) == list(encoder.layers)

    assert find_norm(run, encoder, encoder.layers[-1]) is encoder.norm
    # the first module to take the last layer's output is no norm
    encoder.norm = nn.Linear(8, 8)
    assert find_norm(run, encoder, encoder.layers[-1]) is None
    assert [len(stage) for stage in parameters_by_stage(run, list(encoder.layers))] == [2, 2, 2, 2]


# --- fine-tuning's halves


def test_only_the_front_end_that_is_named_is_frozen(wrap):
    candidate = wrap(front_end="convolution", group_norm=True)
    features, lengths = candidate.front_end_features(candidate.batch([noise(8_000)]))
    candidate.forward_from_features(features, lengths).layers[-1].sum().backward()
    assert candidate.front_end() is candidate.module.convolution
    assert all(weight.grad is None for weight in candidate.module.convolution.parameters())
    assert all(weight.grad is not None for weight in candidate.module.group_norm.parameters())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("samples", [400, 401, 719, 720, 4_095, 4_096, 4_097, 100_000])
def test_the_waveform_comes_out_of_the_features_as_it_went_in(wrap, samples):
    candidate = wrap()
    seen = []
    candidate._states = lambda rows, stop, freeze: seen.extend(rows) or [torch.zeros(1, 1_000, 8)]
    waveform = noise(samples)
    features, lengths = candidate.front_end_features(candidate.batch([waveform]))
    assert features.shape[1] == int(lengths[0]) == (samples - 400) // 320 + 1
    candidate.forward_from_features(features, lengths)
    np.testing.assert_array_equal(seen[0].numpy(), waveform)


# --- ranking


@pytest.fixture
def emotions():
    """Loud and soft noise, two emotions."""
    rng = np.random.default_rng(3)
    utterances = [
        Utterance(
            id=f"u{number}",
            audio=(rng.standard_normal(6_000) * 1_000 * (1 + number % 2)).astype(np.int16),
            speaker=f"s{number // 4}",
            emotion="ab"[number % 2],
        )
        for number in range(12)
    ]
    return TaskData("emotion_recognition", "own", "0" * 12, utterances[:8], utterances[8:])


def test_a_wrapped_module_is_ranked_beside_a_name(wrap, emotions):
    ranking = foretune.rank("emotion_recognition", emotions, [wrap(), "fbank"])
    assert sorted((row.model, row.layer) for row in ranking.rows) == [
        ("fbank", 0),
        *(("mine", layer) for layer in range(4)),
    ]


def test_a_wrapped_module_is_fine_tuned_and_given_back_as_it_was(wrap, emotions):
    candidate = wrap()
    before = {key: tensor.clone() for key, tensor in candidate.module.state_dict().items()}
    settings = Settings(steps=3, head_steps=3)
    record = fine_tune(candidate, get_task("emotion_recognition"), emotions, layer=2, settings=settings)
    head = 2 * 8 + 2
    assert record.parameters_trained == 2 * (8 * 8 + 8) + 2 * 8 + head  # layers, norm, head; no front end
    for key, tensor in candidate.module.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_the_example_in_the_docstring():
    examples = doctest.DocTestFinder(recurse=False).find(
        ModuleCandidate, "ModuleCandidate", globs={"__name__": "example"}
    )
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.tries > 3
    assert runner.failures == 0


# --- what is refused


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"layers": "blocks"}, "model mine: the module has no part blocks"),
        ({"layers": []}, "model mine: it has no layers"),
        ({"inputs": lambda waveforms: {"waveforms": torch.tensor(np.stack(waveforms))}}, "give the grid"),
        ({"front_end": "nothing"}, "the module has no part nothing"),
    ],
)
def test_what_does_not_fit_the_module_is_refused(wrap, settings, match):
    with pytest.raises(InputError, match=match):
        wrap(**settings)


def test_layers_out_of_order_are_refused():
    encoder = Encoder()
    with pytest.raises(
        InputError, match="model mine: layer 2 ran when layer 0 was due; name the layers that it runs"
    ):
        ModuleCandidate("mine", encoder, layers=[encoder.layers[1], encoder.layers[0]])
    with pytest.raises(InputError, match=r"model mine: the module ran 0 of its 1 layers"):
        ModuleCandidate("mine", encoder, layers=[encoder.unused])


def test_a_grid_that_promises_more_frames_than_there_are_is_refused():
    candidate = ModuleCandidate("mine", Encoder(), layers="layers", grid=FrameGrid(160, 400))
    with pytest.raises(InputError, match="mine: 12 frames where its grid says 23"):
        candidate.forward(candidate.batch([noise(4_000)]))


def test_hidden_states_of_another_layout_need_to_be_told():
    encoder = Encoder()
    encoder.forward = lambda waveforms: encoder.layers[0](encoder.convolution(waveforms[:, None])[..., :8])
    with pytest.raises(InputError, match="model mine: "):
        ModuleCandidate("mine", encoder, layers="layers")


def test_the_module_is_public_and_torch_is_imported_only_with_it():
    assert foretune.models.ModuleCandidate is module.ModuleCandidate
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = foretune.models.Nothing
