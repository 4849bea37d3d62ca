"""RESULTS.md and its figures are what the committed records say."""

from __future__ import annotations

from pathlib import Path

from foretune.report import write_report

ROOT = Path(__file__).parents[2]


def test_results_are_not_stale(tmp_path, monkeypatch):
    """Fails where records or the ground truth changed, and `foretune report` was not run after that."""
    monkeypatch.chdir(tmp_path)
    records = sorted((ROOT / "results" / "records").glob("*.jsonl"))
    output = tmp_path / "RESULTS.md"
    write_report(records, output, figures=tmp_path / "results" / "figures")
    assert output.read_text(encoding="utf-8") == (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "results" / "figures").iterdir()}
    committed = {path.name: path.read_bytes() for path in (ROOT / "results" / "figures").iterdir()}
    assert drawn == committed
