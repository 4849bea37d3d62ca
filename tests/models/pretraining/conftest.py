"""A small corpus, spoken once for each module of these tests."""

from __future__ import annotations

import pytest

from foretune.models.pretraining import stages
from foretune.tasks.embedded.corpus import pretraining_corpus
from foretune.tasks.utterance import Utterance

SMALL = 24
"""Utterances of the corpus."""


@pytest.fixture(scope="module")
def corpus() -> list[Utterance]:
    return pretraining_corpus(SMALL)


@pytest.fixture
def spoken(corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak the corpus once for the whole module."""
    monkeypatch.setattr(stages, "pretraining_corpus", lambda utterances: corpus[:utterances])
