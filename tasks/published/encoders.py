"""Benchmarks of frozen encoders beside SUPERB: EmoBox (emotion corpora) and X-ARES (speech, sounds, music).

EmoBox: Ma et al., 2024, arXiv:2406.07162, unweighted accuracy within each of eleven corpora.
X-ARES: a score from 0 to 1 of each task, by a linear head that is trained and, for these 20 tasks, by
nearest neighbours too, without any training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .leaderboard import Leaderboard, Metric, load

_FOLDER = Path(__file__).parent

_CORPORA = "crema_d emodb aesdd cafe emovo esd iemocap jl_corpus ravdess savee tess"  # in the file's order
_TASKS = (
    "asv2015 crema_d esc_50 fluent_speech_commands free_music_archive_small gtzan_genre libricount "
    "librispeech_mf nsynth_instruments ravdess speech_commands_v1 urbansound_8k vocal_imitation vocalsound "
    "voxceleb1 voxlingua33 key_scratching_car finger_snap_sound inside_outside_car subway_broadcast"
)


def emobox(path: Path = _FOLDER / "emobox.csv") -> Leaderboard:
    """Load EmoBox: ten models, eleven corpora; models that SUPERB has too bear SUPERB's names.

    Raises:
        InputError: the file is damaged.
    """
    columns = {name: Metric(name, "unweighted accuracy", "%", "higher") for name in _CORPORA.split()}
    return load(path, "emobox", "EmoBox", columns)


def xares(head: Literal["mlp", "knn"], folder: Path = _FOLDER) -> Leaderboard:
    """Load X-ARES: four models, 20 tasks.

    Args:
        head: `mlp` for the linear head, `knn` for nearest neighbours.
        folder: with xares_mlp.csv and xares_knn.csv.

    Raises:
        InputError: the file is damaged.
    """
    columns = {name: Metric(name, "score", "", "higher", high=1.0) for name in _TASKS.split()}
    return load(folder / f"xares_{head}.csv", f"xares_{head}", f"X-ARES, {head}", columns)
