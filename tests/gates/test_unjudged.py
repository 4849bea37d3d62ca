"""Which cells of a file of gates a session leaves unjudged."""

from __future__ import annotations

import pytest

from foretune.gates.session import unjudged
from foretune.judged import Seen

TEST = ("asr", "layers", "hubert", "logme")
"""What one test judges: the layers of a model, by every protocol that these were fine-tuned by."""


@pytest.mark.parametrize("setting", ["layers", "single-layer", "probe"])
def test_a_deselected_test_leaves_its_cells_to_others(setting: str) -> None:
    gates = {("asr", setting, "hubert", "logme"): None}
    assert unjudged(gates, [], Seen(collected={TEST}, deselected={TEST}), settings=None) == []
    (found,) = unjudged(gates, [], Seen(collected={TEST}), settings=None)
    why = "its test recorded nothing" if setting == "layers" else "no test judges it"
    assert (found.state, found.note) == ("missing", why)
    (found,) = unjudged(gates, [], Seen(), settings=None)
    assert found.note == "no test judges it"
