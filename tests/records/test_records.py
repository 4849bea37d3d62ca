"""Records: what is written is read back, whoever was killed or wrote at the same time."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading

import made_up
import numpy as np
import pytest
from made_up import score, tuning
from pydantic import ValidationError

from foretune import records
from foretune.tasks.errors import InputError


def agreement(**changes):
    values = {
        "scores": [1.0, 2.0, 3.0],
        "values": [0.5, 0.4, 0.3],
        "deviations": [0.01, None, 0.02],
        "seeds": 1,
        "smooth_p_value": 2 / 6,
        "score_seconds": 1.6,
        "fine_tune_seconds": 160.0,
        "cost_ratio": 100.0,
    }
    return made_up.agreement(**(values | changes))


class TestAppendAndRead:
    def test_every_kind_comes_back(self, tmp_path):
        path = tmp_path / "new folder" / "records.jsonl"
        written = [tuning(), score(), agreement(), score(score=None, error="no source speech")]
        for record in written:
            records.append(path, record)
        assert records.read(path) == written
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["kind"] for line in lines] == ["tuning", "score", "agreement", "score"]
        assert all(line["schema"] == records.SCHEMA for line in lines)

    def test_a_torn_line_is_left_out_and_stays_apart_from_the_next(self, tmp_path):
        path = tmp_path / "records.jsonl"
        records.append(path, score(layer=1))
        whole = path.read_bytes()
        for cut in range(len(whole), 2 * len(whole)):  # killed at any byte while writing a second record
            path.write_bytes((whole + whole)[:cut])
            complete = 2 if cut >= 2 * len(whole) - 1 else 1  # only the line's end is missing
            assert len(records.read(path)) == complete
        path.write_bytes(whole + whole[: len(whole) // 2])
        records.append(path, score(layer=2))
        assert [record.layer for record in records.read(path)] == [1, 2]

    def test_a_line_torn_inside_a_letter(self, tmp_path):
        path = tmp_path / "records.jsonl"
        records.append(path, score(error="café"))
        whole = path.read_bytes()
        path.write_bytes(whole + whole[: whole.index("é".encode()) + 1])
        assert [record.error for record in records.read(path)] == ["café"]

    def test_writers_at_once_lose_nothing(self, tmp_path):
        path = tmp_path / "records.jsonl"
        path.with_suffix(".json").write_text(score().model_dump_json(by_alias=True))
        program = (
            "import sys, pathlib; from foretune import records\n"
            "path, writer = pathlib.Path(sys.argv[1]), int(sys.argv[2])\n"
            "template = records.ScoreRecord.model_validate_json(path.with_suffix('.json').read_text())\n"
            "for seed in range(50):\n"
            "    records.append(path, template.model_copy(\n"
            "        update={'layer': writer, 'seed': seed, 'error': 'x' * 9000}))\n"
        )
        writers = [subprocess.Popen([sys.executable, "-P", "-c", program, path, str(i)]) for i in range(3)]
        assert [writer.wait() for writer in writers] == [0, 0, 0]
        found = [(record.layer, record.seed) for record in records.read(path)]
        assert sorted(found) == [(writer, seed) for writer in range(3) for seed in range(50)]

    def test_missing_file(self, tmp_path):
        with pytest.raises(InputError, match=r"absent\.jsonl: no such file of records"):
            records.read(tmp_path / "absent.jsonl")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"schema": 4}, r"records\.jsonl:2: not a record of schema 1 to 3: score\.schema"),
            ({"kind": "poem"}, r"records\.jsonl:2: not a record of schema 1 to 3"),
            ({"layer": "three"}, r"records\.jsonl:2: .*score\.layer"),
            ({"unheard": 1}, r"records\.jsonl:2: .*score\.unheard"),
        ],
    )
    def test_a_finished_line_that_is_not_a_record(self, tmp_path, change, message):
        path = tmp_path / "records.jsonl"
        records.append(path, score())
        line = json.loads(path.read_text()) | change
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        with pytest.raises(InputError, match=message):
            records.read(path)


class TestNumbers:
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, np.float32("nan")])
    def test_nan_never_becomes_a_record(self, bad):
        with pytest.raises(ValidationError, match="finite"):
            score(score=bad)
        with pytest.raises(ValidationError, match="finite"):
            tuning(metrics={"wer": bad})
        with pytest.raises(ValidationError, match="finite"):
            agreement(values=[0.5, bad, 0.3])

    def test_nan_in_a_file_is_refused(self, tmp_path):
        path = tmp_path / "records.jsonl"
        line = json.loads(score().model_dump_json(by_alias=True)) | {"score": math.nan}
        path.write_text(json.dumps(line) + "\n")  # json.dumps writes NaN
        with pytest.raises(InputError, match=r"records\.jsonl:1"):
            records.read(path)

    def test_numpy_numbers_become_numbers(self):
        record = score(
            score=np.float32(0.5), layer=np.int64(4), samples=np.int32(7), forward_seconds=np.float64(1)
        )
        line = json.loads(record.model_dump_json())
        assert (line["score"], line["layer"], line["samples"], line["forward_seconds"]) == (0.5, 4, 7, 1.0)

    def test_numpy_within_lists_and_tables(self):
        record = agreement(
            values=np.array([0.5, 0.4, 0.3], dtype=np.float32),
            deviations=[np.float32(0.5), None, 1],
            seeds=np.int8(2),
        )
        line = json.loads(record.model_dump_json())
        assert line["values"] == [float(np.float32(value)) for value in (0.5, 0.4, 0.3)]
        assert (line["deviations"], line["seeds"], line["passed"]) == ([0.5, None, 1.0], 2, True)
        assert json.loads(tuning(metrics={"wer": np.float16(0.25)}).model_dump_json())["metrics"] == {
            "wer": 0.25
        }
        assert agreement(passed=np.bool_(False)).passed is False

    def test_floats_come_back_to_the_bit(self, tmp_path):
        path = tmp_path / "records.jsonl"
        values = [0.1 + 0.2, 1e-300, 2 / 3, -5.511463844797178e-06]
        for value in values:
            records.append(path, score(score=value))
        assert [record.score for record in records.read(path)] == values


class TestAppend:
    def test_several_at_once_are_as_one_after_the_other(self, tmp_path):
        together, apart = tmp_path / "together.jsonl", tmp_path / "apart.jsonl"
        made = [score(layer=layer) for layer in range(3)]
        together.write_bytes(b'{"torn')
        apart.write_bytes(b'{"torn')
        records.append(together, *made)
        for record in made:
            records.append(apart, record)
        assert together.read_bytes() == apart.read_bytes()


class TestSchema:
    def test_records_of_schema_1_are_read_and_stay_what_they_are(self, tmp_path):
        path = tmp_path / "records.jsonl"
        new = {"schema", "low", "high", "pearson", "ceiling", "score_errors", "dtype", "parameters"}
        for record in (agreement(), score()):
            fields = json.loads(record.model_dump_json(by_alias=True))
            old = {name: value for name, value in fields.items() if name not in new} | {"schema": 1}
            with path.open("a") as file:
                file.write(json.dumps(old) + "\n")
        found = records.read(path)
        assert [record.schema_version for record in found] == [1, 1]
        assert (found[0].ceiling, found[0].score_errors, found[1].dtype) == (None, [], "float32")
        records.compact(path)
        assert records.read(path) == found

    def test_records_of_schema_2_lack_operations_and_cpu_seconds(self, tmp_path):
        path = tmp_path / "records.jsonl"
        fields = json.loads(score().model_dump_json(by_alias=True))
        old = {name: value for name, value in fields.items() if not name.endswith(("flops", "cpu_seconds"))}
        for name in ("processor", "cores"):
            del old["provenance"][name]
        path.write_text(json.dumps(old | {"schema": 2}) + "\n")
        (found,) = records.read(path)
        assert (found.schema_version, found.forward_flops, found.score_cpu_seconds) == (2, None, None)
        assert found.provenance.place is None

    def test_records_of_schema_2_are_read_as_made_by_one_process(self, tmp_path):
        path = tmp_path / "records.jsonl"
        fields = json.loads(score().model_dump_json(by_alias=True)) | {"schema": 2}
        del fields["provenance"]["processes"]
        path.write_text(json.dumps(fields) + "\n")
        (found,) = records.read(path)
        assert (found.schema_version, found.provenance.processes) == (2, 1)

    @pytest.mark.parametrize(("count", "processes"), [(None, 1), ("1", 1), ("3", 3)])
    def test_records_say_how_many_processes_ran_tests_side_by_side(self, monkeypatch, count, processes):
        monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
        if count is not None:
            monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", count)
        assert records.provenance().processes == processes


class TestLatestAndCompact:
    def test_the_last_of_a_cell_counts(self):
        kept = records.latest([score(score=1.0), tuning(), score(layer=4), score(score=2.0)])
        assert kept == [score(score=2.0), tuning(), score(layer=4)]

    def test_compact_keeps_the_last_of_each_cell(self, tmp_path):
        path = tmp_path / "records.jsonl"
        for record in (score(score=1.0), tuning(), score(score=2.0)):
            records.append(path, record)
        records.compact(path)
        assert records.read(path) == [score(score=2.0), tuning()]
        assert {file.name for file in tmp_path.iterdir()} <= {"records.jsonl", "records.jsonl.lock"}

    def test_compact_drops_what_lies_before(self, tmp_path):
        path = tmp_path / "records.jsonl"
        records.append(path, score(score=1.0))
        before = path.stat().st_size
        records.append(path, tuning())
        records.compact(path, offset=before)
        assert records.read(path) == [tuning()]

    def test_a_writer_waits_for_compact(self, tmp_path, monkeypatch):
        path = tmp_path / "records.jsonl"
        records.append(path, score(score=1.0))
        writer = threading.Thread(target=records.append, args=(path, tuning()))
        read = records.read

        def read_while_another_writes(path, *, offset=0):
            found = read(path, offset=offset)
            writer.start()
            writer.join(0.2)  # it cannot end before the file is replaced
            return found

        monkeypatch.setattr(records.files, "read", read_while_another_writes)
        records.compact(path)
        writer.join()
        assert read(path) == [score(score=1.0), tuning()]


class TestReadTuning:
    def test_finished_runs_only_and_the_last_of_each(self, tmp_path):
        first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
        records.append(first, tuning(value=0.9))
        records.append(first, score())
        records.append(first, tuning(seed=1, status="failed", value=None, error="diverged"))
        records.append(second, tuning(value=0.4))
        assert records.read_tuning([first, second]) == [tuning(value=0.4)]


class TestProvenance:
    def test_names_code_packages_and_machine(self):
        provenance = records.provenance()
        assert provenance.packages["torch"].startswith("2.")
        assert len(provenance.commit) >= 5
        assert provenance.started.endswith("+00:00")

    def test_the_same_place_is_the_same_machine_used_alike(self, monkeypatch):
        monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)  # as if these tests ran alone
        provenance = records.provenance()
        assert provenance.place is not None
        assert provenance.cores >= 1
        for change in ({"processor": "another"}, {"cores": 99}, {"threads": 99}, {"device": "cuda"}):
            assert provenance.model_copy(update=change).place != provenance.place
        for unknown in ({"processor": ""}, {"cores": None}, {"processes": 2}):
            assert provenance.model_copy(update=unknown).place is None
        assert provenance.model_copy(update={"started": "later", "commit": "b"}).place == provenance.place
