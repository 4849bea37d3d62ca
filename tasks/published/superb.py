"""SUPERB: frozen encoders with learned layer weights and small heads. Yang et al., 2021, arXiv:2105.01051.

The public board holds the 42 models that have results on all ten tasks. Of several submissions of a
model the later one counts (WavLM's of 2022; FBANK's re-run without mean and variance normalisation, in
which keyword spotting is not lost), and ablations and students distilled on 100 hours are left out.
SUPERB's wav2vec 2.0 Large is the checkpoint lv60, pre-trained on 60,000 hours. The hidden board is about
other speech: the 29 models that have results on eight tasks of the hidden set's test part.
"""

from __future__ import annotations

from pathlib import Path

from .leaderboard import Leaderboard, Metric, load

_FOLDER = Path(__file__).parent

_PUBLIC = {
    "pr_per": Metric("PR", "PER", "%", "lower"),
    "asr_wer": Metric("ASR", "WER", "%", "lower"),
    "ks_acc": Metric("KS", "accuracy", "%", "higher"),
    "ic_acc": Metric("IC", "accuracy", "%", "higher"),
    "sid_acc": Metric("SID", "accuracy", "%", "higher"),
    "asv_eer": Metric("ASV", "EER", "%", "lower"),
    "sd_der": Metric("SD", "DER", "%", "lower"),
    "er_acc": Metric("ER", "accuracy", "%", "higher"),
    "sf_f1": Metric("SF", "slot F1", "%", "higher"),
    "qbe_mtwv": Metric("QbE", "MTWV", "", "higher", high=1.0),
}
_HIDDEN = {
    "pr_per": Metric("PR", "PER", "%", "lower"),
    "asr_wer": Metric("ASR", "WER", "%", "lower"),
    "sid_acc": Metric("SID", "accuracy", "%", "higher"),
    "asv_eer": Metric("ASV", "EER", "%", "lower"),
    "sd_der": Metric("SD", "DER", "%", "lower"),
    "er_acc": Metric("ER", "accuracy", "%", "higher"),
    "qbe_map": Metric("QbE", "MAP", "%", "higher"),
    "st_bleu": Metric("ST", "BLEU", "", "higher"),
}


def superb(path: Path = _FOLDER / "superb.csv") -> Leaderboard:
    """Load the public board: 42 models, ten tasks.

    Raises:
        InputError: the file is damaged.
    """
    facts = ("parameters_millions", "pretraining", "arxiv")
    return load(path, "superb", "SUPERB", _PUBLIC, facts)


def superb_hidden(path: Path = _FOLDER / "superb_hidden.csv") -> Leaderboard:
    """Load the hidden board: 29 models, eight tasks.

    Raises:
        InputError: the file is damaged.
    """
    return load(path, "superb_hidden", "SUPERB, hidden set", _HIDDEN, ("parameters_millions",))
