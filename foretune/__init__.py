"""foretune: rank pre-trained speech models, and their layers, before fine-tuning any of them.

    import foretune

    ranking = foretune.rank("emotion_recognition", "manifest.csv", ["fbank", "hubert"])
    print(ranking.rows[0].model, ranking.rows[0].layer)

    foretune.score(features, labels, estimator="logme", groups=speakers)

Importing the package is quick: torch and the encoders are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretune.estimators import score
    from foretune.models import load_candidate
    from foretune.ranking import Ranking, rank
    from foretune.tasks import InputError

__all__ = ["InputError", "Ranking", "load_candidate", "rank", "score"]

_HOMES = {
    "InputError": "foretune.tasks.errors",
    "Ranking": "foretune.ranking",
    "load_candidate": "foretune.models",
    "rank": "foretune.ranking",
    "score": "foretune.estimators",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
