"""The gate drill: every way in which a run can be worse or incomplete, with the exit code that it must give.

By the command on files of records, and by real sessions of pytest, in one process and by pytest-xdist.
The table in docs/gates.md says what is tried here.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foretune import (
    ranking,  # so that the sessions in this process find NumPy and torch imported, which cannot be twice
)
from foretune import records as files

pytest_plugins = ["pytester"]

OK, FAILED, BAD_INPUT, USAGE = 0, 1, 2, 4
RHO = "embedded.asr.layers.ctc.logme"
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "gates.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _own_session(monkeypatch):
    """Keep the sessions started here from taking themselves for workers of the one they are tested in."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)


def replaced(records, changed):
    return [changed if record.key == changed.key else record for record in records]


def without(records, dropped):
    return [record for record in records if record.key != dropped.key]


class TestCommand:
    """`foretune compare`, and its exit code."""

    @pytest.fixture
    def drill(self, a_run, run, tmp_path):
        """Return a function from the new records, or the bytes of their file, to what the command gave."""
        old = a_run.write(tmp_path / "old.jsonl", a_run.whole())

        def drill_(new, *options):
            path = tmp_path / "new.jsonl"
            if isinstance(new, bytes):
                path.write_bytes(new)
            else:
                a_run.write(path, new)
            return run("compare", old, path, *options)

        return drill_

    def test_the_same_run(self, a_run, drill):
        code, out, err = drill(a_run.whole(), "--fail-under", "spearman=-0.05,time=+50%")
        assert (code, out) == (OK, "")
        assert err == "gate passed (9 values of 12 cells compared)\n"

    def test_rho_lowered_by_a_tenth(self, a_run, drill, tmp_path):
        lower = replaced(a_run.whole(), a_run.agreement(spearman=0.8))
        code, out, err = drill(lower, "--json", tmp_path / "found.json")
        assert code == FAILED
        assert " ".join(out.splitlines()[-1].split()) == f"{RHO} worse spearman 0.9 0.8 ≥ 0.85 (-0.05)"
        assert err == "gate FAILED: 1 worse (3 values of 12 cells compared)\n"
        assert "".join(f"{line.rstrip()}\n" for line in (out + err).splitlines()) in DOCUMENTED
        found = json.loads((tmp_path / "found.json").read_text())
        assert (found["passed"], found["limits"], found["cells"]) == (False, "spearman=-0.05", 12)
        assert [finding["cell"] for finding in found["findings"]] == [RHO]
        assert drill(lower, "--fail-under", "spearman=-0.1")[0] == OK

    def test_a_cell_removed(self, a_run, drill):
        code, out, _ = drill(without(a_run.whole(), a_run.agreement()))
        assert code == FAILED
        assert out.splitlines()[-1].split() == [RHO, "missing"]
        assert drill(without(a_run.whole(), a_run.agreement()), "--allow", "missing")[0] == OK

    def test_a_new_cell(self, a_run, drill):
        more = [*a_run.whole(), a_run.agreement("hscore_of_mine")]
        code, out, _ = drill(more)
        assert code == FAILED
        assert out.splitlines()[-1].split() == ["embedded.asr.layers.ctc.hscore_of_mine", "new"]
        assert drill(more, "--allow", "new,missing")[0] == OK

    def test_an_estimator_slowed_threefold(self, a_run, drill):
        slow = [
            record.model_copy(update={"score_seconds": 3 * record.score_seconds})
            if record.estimator == "nleep"
            else record
            for record in a_run.whole()
        ]
        code, out, err = drill(slow, "--fail-under", "time=+50%")
        assert code == FAILED
        assert [line.split()[0] for line in out.splitlines()[2:]] == [
            "embedded.asr.layers.ctc.nleep",
            "embedded.asr.times.ctc.nleep",
        ]
        assert "2 worse" in err
        assert drill(slow)[0] == OK  # times count only where a limit names them

    def test_a_failed_cell(self, a_run, drill):
        failed = a_run.agreement(status="failed", error="no source speech", spearman=None, p_value=None)
        code, out, _ = drill(replaced(a_run.whole(), failed))
        assert code == FAILED
        assert "failed" in out
        assert "no source speech" in out

    def test_a_nan_in_a_line(self, a_run, drill):
        lines = [record.model_dump_json(by_alias=True) for record in a_run.whole()]
        lines[2] = lines[2].replace('"spearman":0.9', '"spearman":NaN')
        code, out, err = drill("\n".join(lines).encode())
        assert (code, out) == (BAD_INPUT, "")
        assert "new.jsonl:3: not a record" in err
        assert "finite number" in err

    def test_records_cut_in_the_middle_of_a_line(self, a_run, drill, tmp_path):
        whole = a_run.write(tmp_path / "whole.jsonl", a_run.whole()).read_bytes()
        code, out, err = drill(whole[:-400])
        assert code == FAILED
        assert out.splitlines()[-1].split() == ["embedded.asr.layers.ctc.nleep", "missing"]
        assert "new.jsonl: 1 torn line left out" in err

    def test_two_writers_at_once(self, a_run, drill, tmp_path):
        both, program = tmp_path / "both.jsonl", tmp_path / "writer.py"
        program.write_text(
            "import sys\n"
            "from pathlib import Path\n"
            "from foretune import records\n"
            "for record in records.read(Path(sys.argv[1])):\n"
            "    records.append(Path(sys.argv[2]), record)\n"
        )
        halves = [a_run.whole()[0::2], a_run.whole()[1::2]]
        parts = [a_run.write(tmp_path / f"part{n}.jsonl", 10 * half) for n, half in enumerate(halves)]
        writers = [subprocess.Popen([sys.executable, "-P", program, part, both]) for part in parts]
        assert [writer.wait() for writer in writers] == [0, 0]
        assert len(files.read(both)) == 10 * len(a_run.whole())
        assert drill(both.read_bytes())[0] == OK

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--fail-under", "rho=-0.1"), "no measure 'rho'"),
            (("--allow", "worse"), "cannot allow 'worse'"),
            (("--fail-under", "spearman@*.absent=-0.1"), "fits no cell"),
        ],
    )
    def test_options_that_say_nothing(self, a_run, drill, options, message):
        code, out, err = drill(a_run.whole(), *options)
        assert (code, out) == (BAD_INPUT, "")
        assert err.startswith("foretune: error: ")
        assert message in err

    def test_a_file_that_is_missing(self, run, tmp_path):
        code, _, err = run("compare", tmp_path / "absent.jsonl", tmp_path / "absent.jsonl")
        assert code == BAD_INPUT
        assert "absent.jsonl: no such file of records" in err

    def test_the_installed_command(self, a_run, tmp_path):
        old = a_run.write(tmp_path / "old.jsonl", a_run.whole())
        new = a_run.write(tmp_path / "new.jsonl", replaced(a_run.whole(), a_run.agreement(spearman=0.8)))
        command = shutil.which("foretune", path=Path(sys.executable).parent)
        codes = [
            subprocess.run([command, "compare", old, other], check=False, capture_output=True).returncode
            for other in (old, new)
        ]
        assert codes == [OK, FAILED]


STUDY = """
import pytest
from pathlib import Path
from foretune import records
from foretune.judged import judged_by

TO_RECORD = records.read(Path({to_record!r}))
CELLS = {cells!r}


@pytest.mark.parametrize(("task_name", "model", "estimator"), CELLS)
def test_layers(foretune_study, task_name, model, estimator):
    found = [record for record in TO_RECORD if record.estimator == estimator]
    if not found:
        pytest.skip("too few layers")
    for record in found:
        foretune_study.append(record)
"""


class TestSession:
    """`pytest --gate-against`, and its exit status."""

    @pytest.fixture
    def session(self, a_run, pytester):
        """Return a function from what a session records, and options, to what it gave.

        The tests are those of a study: one a cell, which records what was worked out beforehand.
        """
        pytester.makeini("[pytest]\nfilterwarnings = error\n")
        saved = a_run.write(pytester.path / "saved.jsonl", a_run.whole())

        def session_(records, *options, cells=a_run.estimators, **more):
            to_record = a_run.write(pytester.path / "to_record.jsonl", records)
            cells = [("asr", "ctc", estimator) for estimator in cells]
            pytester.makepyfile(test_study=STUDY.format(to_record=str(to_record), cells=cells))
            return pytester.runpytest_inprocess(
                "--records=made.jsonl", f"--gate-against={saved}", *options, **more
            )

        assert ranking
        return session_

    def test_the_same_run(self, session, a_run):
        result = session(a_run.whole())
        result.assert_outcomes(passed=3)
        assert result.ret == OK
        result.stdout.fnmatch_lines(
            ["*gate against *saved.jsonl (spearman=-0.05)*", "gate passed (3 values of 12 cells compared)"]
        )

    @pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
    def test_rho_lowered_by_a_tenth(self, session, a_run, options):
        lower = replaced(a_run.whole(), a_run.agreement(spearman=0.8))
        result = session(lower, *options)
        result.assert_outcomes(passed=3)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(
            [
                f"{RHO} *worse *spearman *0.9 *0.8 *≥ 0.85 (-0.05)",
                "gate FAILED: 1 worse (3 values of 12 cells compared)",
            ]
        )
        assert result.stdout.str().count("gate FAILED") == 1

    def test_xdist_passes_what_one_process_passes(self, session, a_run, pytester):
        result = session(a_run.whole(), "-n", "2")
        assert result.ret == OK
        result.stdout.fnmatch_lines(
            ["*nothing*and the seconds in these records are not to be compared", "gate passed (3 values *"]
        )
        assert len(files.read(pytester.path / "made.jsonl")) == len(a_run.whole())

    @pytest.mark.parametrize(
        "options", [("--gate-limits=spearman=-0.1,time=+50%",), ("--benchmark-save=here",)], ids=str
    )
    def test_times_under_xdist(self, session, a_run, options):
        result = session(a_run.whole(), "-n", "2", *options)
        assert result.ret == USAGE
        result.stderr.fnmatch_lines(["ERROR: --*: tests that run side by side (pytest-xdist) spoil *"])
        assert result.stderr.str().strip().partition(": --")[2].partition(": ")[2] in DOCUMENTED

    @pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
    def test_a_skipped_cell(self, session, a_run, options):
        records = [record for record in a_run.whole() if record.estimator != "nleep"]
        result = session(records, *options)
        result.assert_outcomes(passed=2, skipped=1)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(
            [
                "embedded.asr.scores.ctc.nleep, layers 0, 1 *missing *skipped: too few layers",
                "embedded.asr.layers.ctc.nleep *missing *skipped: too few layers",
                "gate FAILED: 3 missing (2 values of 12 cells compared)",
            ]
        )

    def test_a_deselected_cell_fails_unless_missing_ones_are_allowed(self, session, a_run):
        result = session(a_run.whole(), "-k", "logme or h_score")
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(["embedded.asr.layers.ctc.nleep *missing *deselected"])
        result = session(a_run.whole(), "-k", "logme or h_score", "--gate-allow=new,missing")
        assert result.ret == OK
        result.stdout.fnmatch_lines(["*ctc.nleep *missing (allowed) *deselected", "gate passed (2 values *"])

    def test_a_failed_cell_one_removed_and_a_new_one(self, session, a_run):
        failed = a_run.agreement("h_score", status="failed", error="singular", spearman=None, p_value=None)
        records = [*replaced(a_run.whole(), failed), a_run.agreement("mine")]
        result = session(records, cells=("logme", "h_score", "mine"))
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(
            [
                "embedded.asr.layers.ctc.h_score *failed *singular",
                "embedded.asr.layers.ctc.nleep *missing*",
                "embedded.asr.layers.ctc.mine *new*",
                "gate FAILED: 1 failed, 3 missing, 1 new (1 values of 13 cells compared)",
            ]
        )

    def test_an_estimator_slowed_threefold(self, session, a_run):
        slow = replaced(a_run.whole(), a_run.agreement(score_seconds=30.0))
        assert session(slow, "--gate-limits=time=+50%").ret == FAILED
        assert session(slow).ret == OK

    def test_where_all_is_skipped_nothing_is_compared(self, session):
        result = session([])
        result.assert_outcomes(skipped=3)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(["gate FAILED: 9 missing (0 values *"])

    def test_no_verdict_on_what_was_interrupted(self, session, a_run, pytester):
        pytester.makeconftest("def pytest_runtest_logfinish(): raise KeyboardInterrupt")
        result = session(a_run.whole(), no_reraise_ctrlc=True)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines(["the session did not end by itself: nothing was compared"])

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("--gate-against=absent.jsonl", "absent.jsonl: no such file of records"),
            ("--gate-limits=rho=-0.1", "no measure 'rho'"),
            ("--gate-limits=spearman@*.absent=-0.1", "it fits no cell"),
            ("--gate-allow=worse", "cannot allow 'worse'"),
        ],
    )
    def test_what_cannot_be_compared_is_said_before_any_test(self, session, a_run, option, message):
        result = session(a_run.whole(), option)
        assert result.ret == USAGE
        result.stderr.fnmatch_lines([f"ERROR: *{message}*"])

    def test_a_saved_run_with_a_nan(self, session, a_run, pytester):
        line = a_run.agreement().model_dump_json(by_alias=True).replace('"spearman":0.9', '"spearman":NaN')
        (pytester.path / "nan.jsonl").write_text(f"{line}\n")
        result = session(a_run.whole(), "--gate-against=nan.jsonl")
        assert result.ret == USAGE
        result.stderr.fnmatch_lines(["ERROR: nan.jsonl:1: not a record *finite number"])

    def test_the_saved_run_may_be_the_file_that_is_recorded_to(self, session, a_run, pytester):
        a_run.write(pytester.path / "made.jsonl", a_run.whole())
        lower = replaced(a_run.whole(), a_run.agreement(spearman=0.8))
        assert session(lower, "--gate-against=made.jsonl").ret == FAILED

    def test_a_nan_in_the_file_that_is_recorded_to(self, session, a_run, pytester):
        line = a_run.agreement("old").model_dump_json(by_alias=True).replace("0.9", "NaN")
        (pytester.path / "made.jsonl").write_text(f"{line}\n")
        result = session(a_run.whole())
        result.assert_outcomes(passed=3)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(["*made.jsonl:1: not a record *finite number", "gate passed (3 values *"])

    def test_two_sessions_at_once_record_to_one_file(self, session, a_run, pytester):
        session(a_run.whole())  # writes the tests
        command = [sys.executable, "-P", "-m", "pytest", "--records=both.jsonl", "--gate-against=saved.jsonl"]
        sessions = [
            subprocess.Popen(
                [*command, "-p", "no:cacheprovider"], cwd=pytester.path, stdout=subprocess.DEVNULL
            )
            for _ in range(2)
        ]
        assert [process.wait() for process in sessions] == [OK, OK]
        assert sorted(
            record.key for record in files.latest(files.read(pytester.path / "both.jsonl"))
        ) == sorted(record.key for record in a_run.whole())


class TestGatesFile:
    """A cell that bench/gates.toml names, and that nothing judges."""

    @pytest.fixture
    def session(self, a_run, pytester):
        """Return a function from the text of a file of gates, and options, to what a session gave."""
        pytester.makeini("[pytest]\nfilterwarnings = error\n")
        pytester.makeconftest(
            "from pathlib import Path\n"
            "from foretune.plugin import require_gates\n"
            "def pytest_configure(config):\n"
            "    require_gates(config, Path(__file__).with_name('gates.toml'))\n"
        )

        def session_(gates, *options, records=None, path="."):
            to_record = a_run.write(
                pytester.path / "to_record.jsonl", a_run.whole() if records is None else records
            )
            cells = [("asr", "ctc", estimator) for estimator in a_run.estimators]
            pytester.makepyfile(test_study=STUDY.format(to_record=str(to_record), cells=cells))
            (pytester.path / "gates.toml").write_text(
                "".join(f"[asr.{cell}]\nleast_spearman = 0.5\n" for cell in gates)
            )
            return pytester.runpytest_inprocess(path, "--records=made.jsonl", *options)

        return session_

    def test_all_are_judged(self, session):
        result = session(["layers.ctc.logme", "layers.ctc.nleep"])
        assert result.ret == OK
        assert "gates.toml" not in result.stdout.str()

    @pytest.mark.parametrize(
        "cell", ["layers.ctc.lgme", "models.logme", "single-layer.ctc.logme", "probe.logme"]
    )
    def test_one_that_no_test_judges(self, session, cell):
        result = session(["layers.ctc.logme", cell])
        result.assert_outcomes(passed=3)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(
            ["*missing *no test judges it", "FAILED: 1 cell is named in gates.toml and judged by no test"]
        )
        assert session(["layers.ctc.logme", cell], "--gate-allow=missing").ret == OK

    def test_a_file_that_cannot_be_used_is_said_before_any_test(self, session):
        result = session(["layers.logme"])
        assert result.ret == USAGE
        result.stderr.fnmatch_lines(["ERROR: *gates.toml: asr.layers.logme.least_spearman: *"])

    def test_one_whose_test_was_skipped(self, session, a_run):
        records = [record for record in a_run.whole() if record.estimator != "nleep"]
        result = session(["layers.ctc.nleep"], records=records)
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(["asr.layers.ctc.nleep *missing *skipped: too few layers"])

    def test_one_that_was_deselected_or_not_chosen(self, session):
        gates = ["layers.ctc.logme", "layers.ctc.nleep"]
        assert session(gates, "-k", "logme").ret == OK
        assert session([*gates, "models.logme"], path="test_study.py").ret == OK
        assert session([*gates, "models.logme"], "--estimators=logme").ret == OK
