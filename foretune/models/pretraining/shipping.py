"""A candidate's folder: weights in half precision, configuration, model card."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from foretune.records import provenance

from .stages import Trained

_CANDIDATE = "A small encoder for trying methods on, pre-trained on synthetic speech alone."
_ALIGNER = (
    "Aligns transcripts in the Latin alphabet with speech; no candidate for rankings. It has heard synthetic",
    "English alone: on real speech its times are rougher, on other languages rougher still. The figure",
    "watched is the geometric mean of the probability of a frame's letter, given the word.",
)


def ship(trained: Trained, folder: Path) -> Path:
    """Write weights, `config.json`, `card.json`, `README.md`, and mostly `preprocessor_config.json`.

    An aligner gets `vocab.json` too.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = trained.objective.encoder
    weights = {
        name: value.detach()
        .cpu()
        .to(torch.float16 if value.is_floating_point() else value.dtype)
        .contiguous()
        for name, value in encoder.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", trained.objective.configuration())
    preprocessing = trained.objective.preprocessing()
    if preprocessing:
        _write(folder / "preprocessor_config.json", preprocessing)
    if trained.objective.vocabulary is not None:
        _write(folder / "vocab.json", dict(trained.objective.vocabulary))
    card = _card(trained, folder / "model.safetensors")
    _write(folder / "card.json", card)
    text = _readme(card, aligner=trained.objective.vocabulary is not None)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def _card(trained: Trained, weights: Path) -> dict[str, object]:
    recipe = trained.recipe
    last = trained.progress[-1].curve[-1]
    seconds = sum(len(utterance.waveform()) for utterance in trained.utterances) / 16_000
    speakers = len({utterance.speaker for utterance in trained.utterances})
    return {
        "name": recipe.name,
        "family": trained.objective.family or type(trained.objective.encoder).__name__,
        "objective": recipe.description,
        "pretraining_data": f"embedded synthetic speech (espeak-ng), {len(trained.utterances)} utterances, "
        f"{seconds / 3600:.2f} hours, {speakers} speakers",
        "licence": "Apache-2.0",
        "source_suite": "embedded",
        "parameters": sum(weight.numel() for weight in trained.objective.encoder.parameters()),
        "layers": recipe.layers,
        "steps": [progress.step for progress in trained.progress],
        "batch": recipe.batch,
        "learning_rate": recipe.learning_rate,
        "seed": recipe.seed,
        "final_loss": round(last[1], 4),
        "final_watched": round(last[2], 4),
        "watched": trained.objective.watched,
        "wall_seconds": round(sum(progress.wall_seconds for progress in trained.progress), 1),
        "cpu_seconds": round(sum(progress.cpu_seconds for progress in trained.progress), 1),
        "curve": [
            [[step, round(loss, 4), round(watched, 4)] for step, loss, watched in progress.curve]
            for progress in trained.progress
        ],
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "provenance": provenance(str(next(trained.objective.parameters()).device)).model_dump(),
    }


def _readme(card: dict[str, object], *, aligner: bool) -> str:
    rows = (
        ("Encoder", "family"),
        ("Objective", "objective"),
        ("Pre-training data", "pretraining_data"),
        ("Layers", "layers"),
        ("Parameters", "parameters"),
        ("Updates", "steps"),
        ("Utterances an update", "batch"),
        ("Learning rate", "learning_rate"),
        ("Seed", "seed"),
        ("Loss at the end", "final_loss"),
        ("Figure watched at the end", "final_watched"),
        ("Wall seconds", "wall_seconds"),
        ("CPU seconds", "cpu_seconds"),
        ("Licence", "licence"),
        ("SHA-256 of the weights", "sha256"),
    )
    lines = [f"# {card['name']}", "", "| | |", "|---|---|"]
    lines += [f"| {title} | {card[key]} |" for title, key in rows]
    about = _ALIGNER if aligner else (_CANDIDATE, f"The figure watched is {card['watched']}.")
    lines += ["", *about, f"Made by `foretune pretrain {card['name']}`.", ""]
    return "\n".join(lines)


def _write(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
