"""Streams: results in order, one copy a thread, the same features however many there are."""

from __future__ import annotations

import threading
import time
import warnings

import made_up
import numpy as np
import pytest
import torch

from foretune.extraction import extract
from foretune.extraction.streams import copy_of, in_streams, one_ahead, streams_of
from foretune.models import load_candidate
from foretune.models.huggingface import load_folder
from foretune.tasks.errors import InputError
from foretune.tasks.utterance import Utterance


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    from transformers import AutoModel, Wav2Vec2Config

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = AutoModel.from_config(Wav2Vec2Config(**made_up.TINY))
    folder = tmp_path_factory.mktemp("encoder")
    module.save_pretrained(folder)
    return load_folder(folder, "encoder")


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2_000, 20_000, 30)
    return [
        Utterance(f"u{i}", rng.integers(-9_000, 9_000, n).astype(np.int16)) for i, n in enumerate(lengths)
    ]


class Plain:
    """What of a candidate a stream needs; it tells its copies apart."""

    device = torch.device("cpu")
    copies = True

    def __init__(self):
        self.module = torch.nn.Linear(2, 2)
        self.users = set()


def test_results_come_in_order_whatever_takes_longest(two_threads):
    def work(_, item):
        time.sleep(0.02 * (item % 3 == 0))
        return item**2

    assert list(in_streams(Plain(), range(20), work, 2)) == [item**2 for item in range(20)]


def test_each_stream_has_its_own_copy_and_its_share_of_the_threads(two_threads):
    at_work, most = set(), []

    def work(own, _):
        assert own not in at_work
        at_work.add(own)
        most.append(len(at_work))
        time.sleep(0.005)
        at_work.remove(own)
        return own, torch.get_num_threads(), threading.current_thread().name

    candidate = Plain()
    copies, threads, names = zip(*in_streams(candidate, range(30), work, 2), strict=True)
    assert candidate not in copies
    assert len(set(copies)) <= 2
    assert max(most) == 2
    assert set(threads) == {1}
    assert all(name.startswith("foretune-stream") for name in names)
    assert torch.get_num_threads() == 2  # as it was


def test_one_stream_needs_no_thread():
    candidate = Plain()
    found = list(
        in_streams(candidate, range(3), lambda own, item: (own, item, threading.current_thread()), 1)
    )
    assert found == [(candidate, item, threading.main_thread()) for item in range(3)]


def test_items_are_taken_a_few_at_a_time(two_threads):
    taken = []

    def items():
        for item in range(50):
            taken.append(item)
            yield item

    results = in_streams(Plain(), items(), lambda _, item: item, 2)
    for done in range(5):
        assert next(results) == done
        assert len(taken) <= done + 1 + 2 + 1
    results.close()
    assert len(taken) < 10
    assert torch.get_num_threads() == 2


def test_an_error_comes_in_its_turn(two_threads):
    def work(_, item):
        if item == 3:
            raise InputError("the fourth")
        return item

    results = in_streams(Plain(), range(9), work, 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="the fourth"):
        next(results)
    assert not [each for each in threading.enumerate() if each.name.startswith("foretune-stream")]


def test_copies_share_the_weights_and_nothing_else(encoder):
    copied = copy_of(encoder)
    assert copied.module is not encoder.module
    own = dict(encoder.module.named_parameters())
    assert dict(copied.module.named_parameters()).keys() == own.keys()
    assert all(tensor is own[name] for name, tensor in copied.module.named_parameters())
    assert all(
        one is not other for one, other in zip(copied.module.modules(), encoder.module.modules(), strict=True)
    )


def test_features_do_not_depend_on_the_number_of_streams(two_threads, encoder, utterances):
    assert streams_of(encoder) == 2
    beside = list(extract(encoder, utterances, batch_seconds=3.0))
    torch.set_num_threads(1)
    assert streams_of(encoder) == 1
    alone = list(extract(encoder, utterances, batch_seconds=3.0))
    assert len(beside) > 4
    for one, other in zip(beside, alone, strict=True):
        assert one.indices == other.indices
        for layer, expected in zip(one.states.layers, other.states.layers, strict=True):
            assert torch.equal(layer, expected)


@pytest.mark.parametrize("name", ["conformer", "apc", "vggish"])
def test_shipped_modules_compute_beside_themselves(two_threads, utterances, name):
    candidate = load_candidate(name)
    test_features_do_not_depend_on_the_number_of_streams(None, candidate, utterances)


def test_what_the_caller_does_meanwhile_has_one_thread(two_threads):
    results = in_streams(Plain(), range(4), lambda _, item: item, 2)
    next(results)
    assert torch.get_num_threads() == 1
    results.close()
    assert torch.get_num_threads() == 2


def test_what_cannot_be_copied_has_one_stream(two_threads, frame_statistics):
    assert streams_of(frame_statistics()) == 1


def test_half_precision_is_checked_once(two_threads, encoder, utterances):
    remarks = []
    batches = list(extract(encoder, utterances, batch_seconds=3.0, dtype="bfloat16", report=remarks.append))
    assert sum(len(batch.indices) for batch in batches) == 30
    assert len(remarks) == 1


def test_wavlm_warns_of_its_masks_in_no_stream(two_threads, tmp_path, utterances):
    """Every warning is an error here; filters belong to all threads together."""
    from transformers import AutoModel, WavLMConfig

    AutoModel.from_config(WavLMConfig(**made_up.TINY)).save_pretrained(tmp_path)
    candidate = load_folder(tmp_path, "wavlm")
    filters = list(warnings.filters)
    for _ in range(3):
        batches = list(extract(candidate, utterances, batch_seconds=3.0))
        assert sum(len(batch.indices) for batch in batches) == 30
    assert warnings.filters == filters


def test_the_next_is_begun_before_one_is_given():
    begun = []

    def results():
        for number in range(3):
            begun.append(number)
            yield number

    ahead = one_ahead(results())
    assert (next(ahead), begun) == (0, [0, 1])
    assert (next(ahead), begun) == (1, [0, 1, 2])
    assert list(ahead) == [2]
    assert list(one_ahead([])) == []


def test_what_has_been_begun_is_given_before_an_error():
    def results():
        yield 1
        raise InputError("no second one")

    ahead = one_ahead(results())
    assert next(ahead) == 1
    with pytest.raises(InputError, match="no second one"):
        next(ahead)
