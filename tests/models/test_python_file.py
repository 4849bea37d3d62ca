"""Candidates that a user's own Python file makes."""

from __future__ import annotations

import sys

import pytest
import torch

from foretune.models import ModuleCandidate, check_name, load_candidate
from foretune.tasks.errors import InputError

ENCODER = """
from __future__ import annotations

from dataclasses import dataclass

import torch

from foretune.models import ModuleCandidate


@dataclass
class Sizes:
    width: int = 8
    layers: int = 3


class Encoder(torch.nn.Module):
    def __init__(self, sizes=Sizes()):
        super().__init__()
        self.convolution = torch.nn.Conv1d(1, sizes.width, 400, 320)
        widths = [sizes.width] * sizes.layers
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for width in widths)

    def forward(self, waveforms):
        hidden = self.convolution(waveforms[:, None]).transpose(1, 2)
        for layer in self.layers:
            hidden = torch.relu(layer(hidden))
        return hidden
"""
CANDIDATE = 'candidate = ModuleCandidate("mine", Encoder(), layers="layers")\n'
LOAD = """
def small(*, device):
    return ModuleCandidate("small", Encoder(Sizes(layers=2)), layers="layers")
"""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file of this text and returns its path."""

    def write(text: str, name: str = "mine.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_the_file_calls_candidate_and_under_the_name_given(file):
    path = file(ENCODER + CANDIDATE)
    for name in (str(path), f"{path}:candidate"):
        check_name(name)
        candidate = load_candidate(name)
        assert isinstance(candidate, ModuleCandidate)
        assert (candidate.name, candidate.num_layers, candidate.grid.stride) == (name, 3, 320)


def test_a_function_that_loads_one_as_entry_points_do(file):
    path = file(ENCODER + CANDIDATE + LOAD)
    assert load_candidate(f"{path}:small").num_layers == 2


def test_weights_drawn_at_random_are_the_same_each_time(file):
    path = file(ENCODER + CANDIDATE + LOAD)
    before = torch.random.get_rng_state()
    for name in (str(path), f"{path}:small"):
        first = load_candidate(name).revision
        torch.rand(1)
        assert load_candidate(name).revision == first
        torch.random.set_rng_state(before)
    assert load_candidate(str(path)).revision != load_candidate(f"{path}:small").revision
    assert torch.equal(torch.random.get_rng_state(), before)  # and nobody else's draws are changed


def test_a_changed_file_is_run_anew(file):
    path = file(ENCODER + CANDIDATE)
    first = load_candidate(str(path))
    file(ENCODER + CANDIDATE.replace("Encoder()", "Encoder(Sizes(layers=4))"))
    assert load_candidate(str(path)).num_layers == first.num_layers + 1 == 4


def test_what_lies_beside_it_can_be_imported_and_hides_nothing(file, monkeypatch):
    file(ENCODER, "encoder_of_mine.py")
    file("raise RuntimeError('this is not the one')\n", "soundfile.py")
    path = file(f"import soundfile\nfrom encoder_of_mine import Encoder, ModuleCandidate\n{CANDIDATE}")
    before = list(sys.path)
    assert load_candidate(str(path)).num_layers == 3
    assert sys.path == before
    monkeypatch.delitem(sys.modules, "encoder_of_mine")


def test_checking_the_name_runs_nothing(file):
    check_name(str(file("raise RuntimeError('must not run')\n")))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (ENCODER, "", r"nothing is called candidate in .*mine\.py; write .*mine\.py:NAME"),
        (ENCODER + CANDIDATE, ":other", "nothing is called other"),
        (
            ENCODER + "candidate = Encoder()\n",
            "",
            r"candidate is a Encoder, no Candidate; wrap a torch module as ModuleCandidate",
        ),
        ("candidate = 3\n", "", "candidate is a int, no Candidate"),
        ("import torch\n\ncandidate = 1 / 0\n", "", r"mine\.py: line 3: ZeroDivisionError: division by zero"),
        ("candidate = (\n", "", r"mine\.py: line 1: SyntaxError: "),
        ("def candidate(*, device):\n    raise OSError('no weights')\n", "", r"line 2: OSError: no weights"),
        ("def candidate():\n    return 3\n", "", r"TypeError: candidate\(\) got an unexpected keyword"),
        (
            ENCODER + 'candidate = ModuleCandidate("mine", Encoder(), layers="blocks")\n',
            "",
            "model mine: the module has no part blocks",
        ),
        (ENCODER + CANDIDATE, ":candidate-untrained", "a file has no twin"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(file, text, name, message):
    given = f"{file(text)}{name}"
    with pytest.raises(InputError, match=message):
        load_candidate(given)


def test_there_is_no_such_file(tmp_path):
    for attempt in (check_name, load_candidate):
        with pytest.raises(InputError, match=r"nowhere\.py:candidate: no such file as .*nowhere\.py;"):
            attempt(f"{tmp_path}/nowhere.py:candidate")
