"""Which cells of a file of gates a session leaves unjudged."""

from __future__ import annotations

import pytest

from foretune.gates.session import unjudged
from foretune.judged import Seen


@pytest.mark.parametrize(
    ("setting", "ranks", "model"),
    [
        ("layers", "layers", "hubert"),
        ("single-layer", "layers", "hubert"),
        ("models", "models", "all"),
        ("probe", "models", "all"),
    ],
)
def test_a_deselected_test_leaves_its_cells_to_others(setting: str, ranks: str, model: str) -> None:
    """One test judges the layers of a model, or all models, by every protocol there is."""
    test = ("asr", ranks, model, "logme")
    gates = {("asr", setting, model, "logme"): None}
    assert unjudged(gates, [], Seen(collected={test}, deselected={test}), settings=None) == []
    (found,) = unjudged(gates, [], Seen(collected={test}), settings=None)
    why = "its test recorded nothing" if setting == ranks else "no test judges it"
    assert (found.state, found.note) == ("missing", why)
    (found,) = unjudged(gates, [], Seen(), settings=None)
    assert found.note == "no test judges it"
