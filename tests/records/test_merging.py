"""Records of several machines in one file: what is kept, in which order, and what is said."""

from __future__ import annotations

import itertools
import json

import made_up
import pytest

from foretune import records
from foretune.tasks.errors import InputError


def origin(day, machine="Linux x86_64"):
    changes = {"machine": machine, "started": f"2026-01-{day:02d}T00:00:00+00:00"}
    return made_up.PROVENANCE.model_copy(update=changes)


def score(layer, value, day=1, **changes):
    values = {
        "provenance": origin(day),
        "layer": layer,
        "score": value,
    }
    return made_up.score(**(values | changes))


def tuning(seed, value, day=1, **changes):
    values = {
        "provenance": origin(day),
        "seed": seed,
        "status": "failed" if value is None else "done",
        "value": value,
        "metrics": {} if value is None else {"wer": value},
    }
    return made_up.tuning(**(values | changes))


@pytest.fixture
def file(tmp_path):
    """Return a function that writes records to a file of that name."""

    def write(name, *given):
        path = tmp_path / name
        for record in given:
            records.append(path, record)
        return path

    return write


class TestMerge:
    def test_a_run_of_two_machines_is_kept_once(self, file):
        first = file("a.jsonl", tuning(0, 0.5), tuning(1, 0.6))
        second = file("b.jsonl", tuning(1, 0.6), tuning(2, 0.7))
        merged = records.merge([first, second])
        assert [record.seed for record in merged.records] == [0, 1, 2]
        assert (merged.repeated, merged.conflicts) == (1, [])

    def test_the_same_result_again_may_have_cost_something_else(self, file):
        first = file("a.jsonl", tuning(0, 0.5, day=2, wall_seconds=10.0))
        second = file("b.jsonl", tuning(0, 0.5 + 1e-9, day=1, provenance=origin(1, "Darwin arm64")))
        merged = records.merge([first, second])
        assert (merged.repeated, merged.conflicts) == (1, [])
        assert merged.records == [tuning(0, 0.5, day=2, wall_seconds=10.0)]

    def test_the_later_of_two_results_wins_and_is_told(self, file):
        first, second = file("a.jsonl", score(3, 0.25, day=2)), file("b.jsonl", score(3, 0.31, day=1))
        merged = records.merge([first, second])
        assert merged.records == [score(3, 0.25, day=2)]
        (line,) = merged.conflicts
        assert line.startswith("score embedded asr hubert 3 logme: kept 0.25 in ")
        assert "a.jsonl (data aaaaaaaaaaaa, 2026-01-02" in line
        assert "; not 0.31 in " in line

    def test_a_result_wins_over_a_later_failure(self, file):
        first = file("a.jsonl", tuning(0, None, day=9, error="out of memory"))
        second = file("b.jsonl", tuning(0, 0.5, day=1))
        merged = records.merge([first, second])
        assert merged.records == [tuning(0, 0.5, day=1)]
        assert "not no result in" in merged.conflicts[0]

    def test_other_data_are_a_conflict(self, file):
        first = file("a.jsonl", score(3, 0.25))
        second = file("b.jsonl", score(3, 0.25, day=2, data_revision="cccccccccccc"))
        assert "kept 0.25" in records.merge([first, second]).conflicts[0]

    def test_the_order_of_files_and_lines_does_not_matter(self, file):
        given = [
            file("a.jsonl", score(5, 0.1), tuning(1, 0.5), score(0, 0.9)),
            file("b.jsonl", tuning(0, 0.4), score(5, 0.2, day=2)),
            file("c.jsonl", score(0, 0.7), tuning(1, 0.5, wall_seconds=3.0)),
        ]
        found = [records.merge(order).records for order in itertools.permutations(given)]
        assert all(each == found[0] for each in found)
        assert [(record.kind, record.layer) for record in found[0]] == [
            ("tuning", 3),
            ("tuning", 3),
            ("score", 0),
            ("score", 5),
        ]

    def test_within_a_file_the_last_counts(self, file):
        path = file("a.jsonl", score(0, 0.1, day=5), score(0, 0.2, day=4))
        merged = records.merge([path, path])
        assert merged.records == [score(0, 0.2, day=4)]
        assert (merged.repeated, merged.conflicts) == (0, [])

    def test_a_torn_line_is_left_out(self, file):
        path = file("a.jsonl", score(0, 0.1), score(1, 0.2))
        path.write_bytes(path.read_bytes()[:-20])
        assert [record.layer for record in records.merge([path]).records] == [0]


class TestCommand:
    def test_joins_two_files(self, file, tmp_path, run):
        first = file("a.jsonl", tuning(0, 0.5), tuning(1, 0.5))
        second = file("b.jsonl", tuning(1, 0.6, day=2), tuning(0, 0.5), score(0, 0.1))
        output = tmp_path / "c.jsonl"
        code, _, said = run("merge", first, second, "-o", output)
        assert code == 0
        found = records.read(output)
        assert found == records.merge([first, second]).records
        assert found[1].value == 0.6
        assert found[1].provenance == origin(2)
        assert "tuning asr aaaaaaaaaaaa hubert bbbbbbbbbbbb layer 3 1: kept 0.6" in said
        assert f"wrote {output}: 3 records, 1 repeated left out, 1 with different results" in said

    def test_the_same_files_give_the_same_bytes(self, file, tmp_path, run):
        first, second = file("a.jsonl", score(1, 0.5)), file("b.jsonl", score(0, 0.1), score(1, 0.5))
        written = []
        for order in ((first, second), (second, first)):
            assert run("merge", *order, "--output", tmp_path / "c.jsonl")[0] == 0
            written.append((tmp_path / "c.jsonl").read_bytes())
            (tmp_path / "c.jsonl").unlink()
        assert written[0] == written[1]
        assert all(json.loads(line)["kind"] == "score" for line in written[0].splitlines())

    def test_into_one_of_them(self, file, run):
        first, second = file("a.jsonl", score(0, 0.5)), file("b.jsonl", score(1, 0.1))
        assert run("merge", first, second, "-o", first)[0] == 0
        assert [record.layer for record in records.read(first)] == [0, 1]
        assert [record.layer for record in records.read(second)] == [1]

    def test_another_file_is_not_overwritten(self, file, run):
        first, other = file("a.jsonl", score(0, 0.5)), file("c.jsonl", score(1, 0.1))
        code, _, said = run("merge", first, "-o", other)
        assert code == 2
        assert "c.jsonl: is there already; name it among the files to join" in said
        assert records.read(other) == [score(1, 0.1)]

    def test_a_missing_file(self, file, tmp_path, run):
        code, _, said = run(
            "merge", file("a.jsonl", score(0, 0.5)), tmp_path / "no.jsonl", "-o", tmp_path / "c"
        )
        assert code == 2
        assert "no.jsonl: no such file of records" in said
        assert not (tmp_path / "c").exists()

    def test_a_line_that_is_no_record(self, file, tmp_path):
        path = file("a.jsonl", score(0, 0.5))
        with path.open("a") as lines:
            lines.write('{"kind": "poem"}\n')
        with pytest.raises(InputError, match=r"a\.jsonl:2: not a record"):
            records.write_merged([path], tmp_path / "c.jsonl")
