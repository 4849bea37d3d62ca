"""RESULTS.md, its pages and its figures are what the committed records say."""

from __future__ import annotations

from pathlib import Path

from foretune.report import write_report

ROOT = Path(__file__).parents[2]


def test_results_are_not_stale(tmp_path, monkeypatch):
    """Fails where records or the ground truth changed, and `foretune report` was not run after that."""
    monkeypatch.chdir(tmp_path)
    records = sorted((ROOT / "results" / "records").glob("*.jsonl"))
    output, written = tmp_path / "RESULTS.md", tmp_path / "results"
    write_report(records, output, figures=written / "figures", pages=written / "tasks")
    assert output.read_text(encoding="utf-8") == (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    for folder in ("figures", "tasks"):
        made = {path.name: path.read_bytes() for path in (written / folder).iterdir()}
        committed = {path.name: path.read_bytes() for path in (ROOT / "results" / folder).iterdir()}
        assert made == committed


def test_results_are_of_a_size_that_is_shown_and_read():
    """What is larger than 512 kB, a well-known host of repositories does not render."""
    assert (ROOT / "RESULTS.md").stat().st_size < 160_000
    for page in (ROOT / "results" / "tasks").iterdir():
        assert page.stat().st_size < 512_000
