"""The data files of published results, and what is refused of damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foretune.tasks import InputError, published
from foretune.tasks.published import Metric, chen2023, emobox, pretraining_hours, superb, superb_hidden, xares

FOLDER = Path(published.__file__).parent


def test_superb_holds_the_known_values() -> None:
    board = superb()
    by_name = {entry.model: entry for entry in board.entries}

    assert len(board.entries) == 42
    assert list(board.metrics) == ["PR", "ASR", "KS", "IC", "SID", "ASV", "SD", "ER", "SF", "QbE"]
    assert all(set(entry.values) == set(board.metrics) for entry in board.entries)
    hubert = by_name["HuBERT Base"]
    assert (hubert.values["PR"], hubert.values["ASR"], hubert.values["SID"]) == (5.41, 6.42, 81.42)
    assert (hubert.parameters, hubert.hours, hubert.published) == (94.68, 960, "2106")
    assert hubert.hub_id == "facebook/hubert-base-ls960"


def test_superb_takes_the_later_submissions() -> None:
    by_name = {entry.model: entry for entry in superb().entries}

    assert by_name["WavLM Base"].values["SD"] == 4.55  # 4.83 in the submission of October 2021
    assert by_name["FBANK"].values["KS"] == pytest.approx(41.3827)  # 8.63 with normalisation
    assert by_name["wav2vec 2.0 Large"].hub_id == "facebook/wav2vec2-large-lv60"
    assert by_name["wav2vec 2.0 Large"].hours == 60_000


def test_only_filter_banks_have_no_paper_and_no_speech() -> None:
    for entry in superb().entries:
        assert (entry.published == "") == (entry.model == "FBANK")
        assert (entry.hours == 0) == (entry.model == "FBANK")


def test_every_value_has_a_source() -> None:
    for board in (superb(), superb_hidden(), emobox(), xares("mlp"), xares("knn")):
        assert all(entry.source for entry in board.entries)


@pytest.mark.parametrize(
    ("board", "models", "tasks"),
    [(superb_hidden(), 29, 8), (emobox(), 10, 11), (xares("mlp"), 4, 20), (xares("knn"), 4, 20)],
    ids=["hidden", "emobox", "mlp", "knn"],
)
def test_the_other_boards_are_complete(board: published.Leaderboard, models: int, tasks: int) -> None:
    assert (len(board.models), len(board.metrics)) == (models, tasks)
    assert len(set(board.models)) == models


def test_boards_name_models_alike() -> None:
    public = set(superb().models)

    assert len(public & set(superb_hidden().models)) == 12
    assert len(public & set(emobox().models)) == 7


def test_directions_turn_errors_round() -> None:
    board = superb()

    assert board.goodness("PR")[0] == -82.01
    assert board.goodness("ER")[0] == pytest.approx(48.2367)
    # the best model of the board is the best both by an error and by an accuracy
    for task in ("PR", "SID"):
        best = max(range(42), key=lambda i: board.goodness(task)[i])
        assert board.models[best] == "WavLM Large"


def test_unknown_task() -> None:
    with pytest.raises(InputError, match="superb: no task WER; there are PR, ASR"):
        superb().goodness("WER")


def test_where_keeps_some_models() -> None:
    board = superb().where("base", "of one size", lambda entry: 90 <= (entry.parameters or 0) <= 100)

    assert "HuBERT Base" in board.models
    assert "HuBERT Large" not in board.models
    assert board.revision == superb().revision


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("-", 0),
        ("LS 960 hr", 960),
        ("LL 60k hr", 60_000),
        ("Mix 94k hr", 94_000),
        ("LS 960 hr, SpokenCOCO 947 hr", 1_907),
        ("WavLM Base+ teacher; LS 960 hr", 960),
        ("3.5k hr", 3_500),
    ],
)
def test_pretraining_hours(text: str, hours: float) -> None:
    assert pretraining_hours(text) == hours


@pytest.mark.parametrize("text", ["LibriSpeech", "", "960 hrs"])
def test_pretraining_hours_must_be_there(text: str) -> None:
    with pytest.raises(InputError, match="no hours"):
        pretraining_hours(text)


def test_the_papers_tables() -> None:
    conformer, hubert, models = chen2023()

    assert [len(experiment.names) for experiment in (conformer, hubert, models)] == [17, 12, 6]
    assert set(conformer.ranks) == {"logme", "sliced_wasserstein", "tsne_distance"}
    assert set(hubert.ranks) == {"logme"}
    assert models.names[models.printed_ranks.index(1)] == "VGGish"
    assert models.values[models.names.index("HuBERT Base")] == 95.94


def test_printed_ranks_are_those_of_the_metric_but_for_two_layers() -> None:
    for experiment in chen2023():
        goodness = [experiment.metric.goodness(value) for value in experiment.values]
        order = sorted(range(len(goodness)), key=lambda i: -goodness[i])
        ranks = [order.index(i) + 1 for i in range(len(goodness))]
        wrong = [
            name
            for name, rank, printed in zip(experiment.names, ranks, experiment.printed_ranks, strict=True)
            if rank != printed
        ]
        assert wrong == (["4", "6"] if experiment.name == "conformer" else [])


def test_the_papers_costs() -> None:
    claims = chen2023()[2].claims

    assert round(claims["logme"].cost_ratio or 0) == 2188
    assert round(claims["sliced_wasserstein"].cost_ratio or 0) == 4853
    assert chen2023()[0].claims["logme"].cost_ratio is None


def _damaged(folder: Path, name: str, line: int, old: str, new: str) -> Path:
    """Copy a file with one text on one of its lines replaced."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path = folder / name
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "old", "new", "message"),
    [
        (0, "pr_per", "per", r"superb\.csv: header is not model,"),
        (1, "82.01", "many", r"superb\.csv: row 1: pr_per is many, must be a number from 0 to 100"),
        (1, "82.01", "nan", r"row 1: pr_per is nan"),
        (1, "82.01", "182.01", r"row 1: pr_per is 182.01"),
        (2, "58.87", "", r"row 2: pr_per is empty"),
        (3, "APC", "PASE+", r"row 3: PASE\+ is in row 2 already"),
        (3, "APC,", "APC,,", r"row 3: 19 cells, not 18"),
        (3, "1904.03240", "1913.03240", r"row 3: arxiv is 1913.03240"),
        (3, "LS 360 hr", "much", r"row 3: pre-training data much: no hours"),
    ],
)
def test_a_damaged_board_names_file_and_row(
    tmp_path: Path, line: int, old: str, new: str, message: str
) -> None:
    path = _damaged(tmp_path, "superb.csv", line, old, new)

    with pytest.raises(InputError, match=message):
        superb(path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("chen2023.csv", "62.63,17,17", "62.63,17,16", r"row 5: logme_rank 16 is in row 1 too"),
        ("chen2023.csv", "62.63,17,17", "62.63,17,1.5", r"3\.csv: row 1: logme_rank 1\.5 is no whole"),
        ("chen2023.csv", "62.63,17", "62.63,18", r"row 1: fine_tuning_rank is 18, must be a number"),
        ("chen2023.csv", "conformer", "comformer", r"row 1: unknown experiment comformer"),
        ("chen2023_claims.csv", "logme", "logmi", r"claims\.csv: row 1: unknown estimator logmi"),
        ("chen2023_claims.csv", "0.87", "8.7", r"row 1: spearman is 8.7, must be a number from -1 to 1"),
    ],
)
def test_damaged_tables_of_the_paper(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    for file in ("chen2023.csv", "chen2023_claims.csv"):
        shutil.copy(FOLDER / file, tmp_path)
    _damaged(tmp_path, name, 1, old, new)

    with pytest.raises(InputError, match=message):
        chen2023(tmp_path)


def test_missing_empty_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        superb(tmp_path / "superb.csv")
    path = tmp_path / "superb.csv"
    header = (FOLDER / "superb.csv").read_text(encoding="utf-8").splitlines()[0]
    path.write_text(header + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="no rows"):
        superb(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        superb(path)


def test_goodness_of_a_metric() -> None:
    assert Metric("PR", "PER", "%", "lower").goodness(3.0) == -3.0
    assert Metric("ER", "accuracy", "%", "higher").goodness(3.0) == 3.0
