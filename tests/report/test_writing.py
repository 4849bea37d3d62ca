"""RESULTS.md and its pages as files: determinism, what is stale, errors; and how numbers are written."""

from __future__ import annotations

import made_up
import pytest
from made_up_study import PROVENANCE, RUNS, STUDY, SUMMARY, cell, rows_under, run

from foretune import records
from foretune.report import pages, render, write_report
from foretune.report.tables import number, significant
from foretune.tasks.errors import InputError


class TestWriteReport:
    def write(self, path, found):
        for record in found:
            records.append(path, record)
        return path

    def test_the_same_records_give_the_same_bytes(self, tmp_path):
        agreements = self.write(tmp_path / "embedded.jsonl", STUDY)
        truth = self.write(tmp_path / "truth.jsonl", RUNS)
        outputs = [tmp_path / "one.md", tmp_path / "two.md"]
        for output in outputs:
            write_report([agreements], output, [truth])
        assert outputs[0].read_bytes() == outputs[1].read_bytes()
        assert outputs[0].read_text(encoding="utf-8") == render(STUDY, RUNS)

    def test_the_last_record_of_a_cell_counts_and_torn_lines_do_not(self, tmp_path):
        path = self.write(tmp_path / "embedded.jsonl", [cell(spearman=0.1), cell(spearman=0.9)])
        with path.open("a") as file:
            file.write('{"kind": "agreement", "task": "as')
        write_report([path], tmp_path / "RESULTS.md", [])
        rows = rows_under((tmp_path / "RESULTS.md").read_text(encoding="utf-8"), SUMMARY)
        assert rows[1][:2] == ["logme", "0.90"]

    def test_a_page_a_task_and_none_that_is_stale(self, tmp_path):
        path = self.write(tmp_path / "embedded.jsonl", [*STUDY, cell(task="multilingual_asr:de")])
        folder = tmp_path / "some results" / "tasks"
        folder.mkdir(parents=True)
        (folder / "gone.md").write_text(f"# Gone\n\n{pages.MARK}\n")
        (folder / "notes.md").write_text("a reader's own")
        write_report([path], tmp_path / "RESULTS.md", [], pages=folder)
        assert sorted(each.name for each in folder.iterdir()) == ["asr.md", "multilingual_asr.md", "notes.md"]
        assert (folder / "asr.md").read_text(encoding="utf-8") == pages.render([*STUDY], "../../RESULTS.md")[
            "asr"
        ]
        text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
        assert "[asr.md](some%20results/tasks/asr.md)" in text
        first = {each.name: each.read_bytes() for each in folder.iterdir()}
        write_report([path], tmp_path / "RESULTS.md", [], pages=folder)
        assert {each.name: each.read_bytes() for each in folder.iterdir()} == first

    def test_no_task_is_written_outside_of_its_folder(self, tmp_path):
        path = self.write(tmp_path / "embedded.jsonl", [cell(task="../up")])
        folder = tmp_path / "results" / "tasks"
        write_report([path], tmp_path / "RESULTS.md", [], pages=folder)
        assert [each.name for each in folder.iterdir()] == ["up.md"]
        assert "](results/tasks/up.md)" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize("told", ["layer", "full"])  # up to the last layer, one and the same run
    def test_a_run_beside_scores_takes_nothings_place_in_the_ground_truth(self, told, tmp_path):
        place = {"processor": "abc", "cores": 2}
        origin = PROVENANCE.model_copy(update=place)
        again = run(0, protocol=told, provenance=origin, value=0.9, metrics={"wer": 0.9}, flops=6 * 10**12)
        score = made_up.score(
            layer=1,
            provenance=origin,
            forward_cpu_seconds=100.0,
            accumulate_cpu_seconds=20.0,
            score_cpu_seconds=80.0,
            forward_flops=10**12,
            accumulate_flops=2 * 10**12,
            forward_seconds=200.0,
            accumulate_seconds=100.0,
            score_seconds=60.0,
        )
        found = self.write(tmp_path / "embedded.jsonl", [*STUDY, again, score])
        truth = self.write(tmp_path / "truth.jsonl", RUNS)
        write_report([found], tmp_path / "RESULTS.md", [truth])
        text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
        assert "The ground truth is 2 fine-tuning runs" in text
        row = rows_under(text, "One candidate scored and really fine-tuned")[1]
        machine = "abc (Linux x86_64), 1 thread of 2 cores, cpu"
        assert row[:5] == ["asr", "hubert", "full", "logme", machine]
        assert row[5:] == ["1800", "1800", "6.00", "360", "200", "3.00", "5.0", "9.0", "2.0"]
        assert "| 0.900 |" not in text[text.index("## The ground truth") :]

    def test_no_agreement_leaves_the_old_report(self, tmp_path):
        output = tmp_path / "RESULTS.md"
        output.write_text("old")
        with pytest.raises(InputError, match=r"truth\.jsonl: no agreement to report"):
            write_report([self.write(tmp_path / "truth.jsonl", RUNS)], output, [])
        with pytest.raises(InputError, match="no such file of records"):
            write_report([tmp_path / "absent.jsonl"], output, [])
        assert output.read_text() == "old"


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"), [(0.125, "0.12"), (-0.004, "0.00"), (-0.5, "-0.50"), (1, "1.00"), (None, "–")]
    )
    def test_fixed(self, value, text):
        assert number(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (1 / 360, "0.0028"),
            (1.0, "1.0"),
            (2 / 479001600, "4.2e-09"),
            (0.0999, "0.10"),
            (-1234567.0, "-1.2e+06"),
            (200.4, "200"),
            (0.0, "0"),
            (None, "–"),
        ],
    )
    def test_significant(self, value, text):
        assert significant(value) == text
