"""Operations of forward passes: against counts by hand, and that counting never stands in the way."""

from __future__ import annotations

import threading

import pytest
import torch

from foretune.flops import counted, flops_of_moments
from foretune.tasks.errors import InputError


def test_products_convolutions_and_attention_by_hand():
    x = torch.ones(4, 5, 8)

    def work():
        hidden = torch.nn.functional.linear(x, torch.ones(6, 8))  # 2 · 4·5 · 8 · 6
        heads = hidden.view(4, 1, 5, 6)
        torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)  # 2 products of 2 · 4 · 5·5 · 6
        torch.nn.functional.conv1d(torch.ones(2, 3, 10), torch.ones(7, 3, 4))  # 2 · 2 · 7 outputs · 7 · 3·4
        return hidden

    wanted = 2 * 4 * 5 * 8 * 6 + 2 * (2 * 4 * 25 * 6) + 2 * 2 * 7 * 7 * 12
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            result, flops = counted(work)
        assert flops == wanted
        assert torch.equal(result, torch.full((4, 5, 6), 8.0))


def test_other_threads_are_not_counted():
    started, ready = threading.Event(), threading.Event()

    def other():
        started.wait()
        torch.ones(50, 50) @ torch.ones(50, 50)
        ready.set()

    thread = threading.Thread(target=other)
    thread.start()

    def work():
        started.set()
        ready.wait()
        return torch.ones(2, 3) @ torch.ones(3, 2)

    assert counted(work)[1] == 2 * 2 * 3 * 2
    thread.join()


def test_what_cannot_be_watched_works_on_unwatched():
    def work():
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise RuntimeError("watched")
        return "done"

    assert counted(work) == ("done", None)


def test_errors_of_the_work_itself_come_through():
    def work():
        raise InputError("too short")

    with pytest.raises(InputError, match="too short"):
        counted(work)


def test_one_triangle_of_a_gram_matrix_a_layer():
    # D (D + 1) / 2 entries, each a sum of N products
    assert flops_of_moments(10, [4, 3]) == 2 * 10 * (4 * 5 // 2 + 3 * 4 // 2)
