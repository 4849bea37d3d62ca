"""What becomes of a session of tests: the records that it leaves, and what its gates say.

With `--gate-against` a session ends as failed where it is worse than a saved run, and the study's own file
of gates may ask that none of its cells goes unjudged (`foretune.plugin.require_gates`). Under pytest-xdist
the workers send what they recorded to the controller, which judges it once; times, which tests that run
side by side spoil, are refused there.

A part of the pytest plugin, and as light.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from foretune.judged import Judged, Seen, judged_by
from foretune.plugin import GATES, made_by, names, records_of

if TYPE_CHECKING:
    from foretune.gates.session import SavedRun, Verdict
    from foretune.records import Record

TIMING_OPTIONS = ("save", "autosave", "json", "compare", "compare_fail", "histogram", "only")
"""Options of pytest-benchmark, `--benchmark-…`, that make no sense without times."""

_BEFORE = pytest.StashKey["_File"]()
_FILTERED = pytest.StashKey[bool]()
_SEEN = pytest.StashKey[Seen]()
_OF_WORKERS = pytest.StashKey[list[str]]()
_SAVED: pytest.StashKey[SavedRun] = pytest.StashKey()
_JUDGED = pytest.StashKey[bool]()
_VERDICTS: pytest.StashKey[list[Verdict]] = pytest.StashKey()


class _File(NamedTuple):
    """A file at some time: which one it was, and how long."""

    inode: int
    size: int

    @classmethod
    def at(cls, path: Path) -> _File:
        if not path.is_file():
            return cls(0, 0)
        found = path.stat()
        return cls(found.st_ino, found.st_size)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    group = parser.getgroup("foretune")
    group.addoption(
        "--gate-against",
        type=Path,
        default=None,
        metavar="RECORDS",
        help="fail the session where it is worse than this saved run, or lacks cells of it",
    )
    group.addoption(
        "--gate-limits",
        action="append",
        default=[],
        metavar="LIMIT,...",
        help="how much worse it may be, as for foretune compare --fail-under (default: spearman=-0.05)",
    )
    group.addoption(
        "--gate-allow",
        action="append",
        default=[],
        type=names,
        metavar="STATE,...",
        help="what does not fail: missing, new, failed, changed, untimed, unbounded",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the saved run before the long work, and refuse what cannot be done with it."""
    config.stash[_SEEN] = Seen()
    path: Path | None = config.getoption("--gate-against")
    if path is not None or GATES in config.stash:
        refuse_times_side_by_side(config)
    if path is not None and not _is_worker(config):
        from foretune.gates.session import SavedRun
        from foretune.tasks.errors import InputError

        try:
            config.stash[_SAVED] = SavedRun.open(path, config.getoption("--gate-limits"), _allowed(config))
        except InputError as error:
            raise pytest.UsageError(str(error)) from None


def refuse_times_side_by_side(config: pytest.Config) -> None:
    """Refuse to time tests that run beside each other, which pytest-benchmark would leave out silently.

    Raises:
        UsageError: pytest-xdist runs the tests, and an option or a limit asks for times.
    """
    if not _side_by_side(config):
        return
    asked = [f"--benchmark-{name.replace('_', '-')}" for name in TIMING_OPTIONS if _benchmark(config, name)]
    if any(
        part.strip().startswith("time") for part in ",".join(config.getoption("--gate-limits")).split(",")
    ):
        asked.append("--gate-limits time=…")
    if asked:
        raise pytest.UsageError(
            f"{asked[0]}: tests that run side by side (pytest-xdist) spoil each other's times; leave out -n, "
            "or gate quality alone"
        )


def _benchmark(config: pytest.Config, name: str) -> bool:
    return bool(config.getoption(f"benchmark_{name}", None))


def _side_by_side(config: pytest.Config) -> bool:
    return config.getoption("dist", "no") != "no" and not _is_worker(config)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _allowed(config: pytest.Config) -> list[str]:
    return [state for states in config.getoption("--gate-allow") for state in states]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what the records held before this session."""
    session.config.stash[_BEFORE] = _File.at(records_of(session.config))


def pytest_itemcollected(item: pytest.Item) -> None:
    """Remember which cells there are tests of."""
    if judged := _judged(item):
        item.config.stash[_SEEN].collected.add(judged)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember that this session is only a part of the study, and which."""
    for item in items:
        item.config.stash[_FILTERED] = True
        if judged := _judged(item):
            item.config.stash[_SEEN].deselected.add(judged)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Remember why a test recorded nothing, should it turn out that it did not."""
    judged = _judged(item)
    if judged is None or call.excinfo is None:
        return
    skipped = call.excinfo.errisinstance(pytest.skip.Exception)
    words = str(call.excinfo.value).splitlines() or [call.excinfo.typename]
    item.config.stash[_SEEN].reasons[judged] = f"{'skipped' if skipped else 'failed'}: {words[0]}"


def _judged(item: pytest.Item) -> Judged | None:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else judged_by(callspec.params)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker of pytest-xdist saw and recorded; one that was killed sends nothing."""
    sent = getattr(node, "workeroutput", {}).get("foretune")
    if sent is None:
        return
    stash = node.config.stash
    stash[_SEEN].add(sent["seen"])
    stash.setdefault(_OF_WORKERS, []).extend(sent["records"])
    stash[_FILTERED] = stash.get(_FILTERED, False) or sent["filtered"]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the last record of each cell, and hold the session against its gates."""
    config = session.config
    made = made_by(config)
    if _is_worker(config):
        config.workeroutput["foretune"] = {  # type: ignore[attr-defined]
            "seen": config.stash[_SEEN].as_dict(),
            "records": [record.model_dump_json(by_alias=True) for record in made],
            "filtered": config.stash.get(_FILTERED, False),
        }
        return
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if lines := config.stash.get(_OF_WORKERS, []):
        from foretune.gates.session import parse

        made = [*made, *parse(lines)]
    verdicts = _keep(config, made, ended=ended) if made else []
    if (ended or exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED) and not config.option.collectonly:
        config.stash[_JUDGED] = True
        verdicts += _judge(config, made)
    config.stash[_VERDICTS] = verdicts
    if not all(verdict.passed for verdict in verdicts) and exitstatus != pytest.ExitCode.INTERRUPTED:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _keep(config: pytest.Config, made: list[Record], *, ended: bool) -> list[Verdict]:
    """Keep the last record of each cell, and complain where the file has a line that is no record."""
    from foretune.gates.session import Verdict
    from foretune.tasks.errors import InputError

    try:
        _compact(config, made, ended=ended)
    except InputError as error:
        return [Verdict("records", str(error), passed=False)]
    return []


def _compact(config: pytest.Config, made: list[Record], *, ended: bool) -> None:
    """Keep the last record of each cell, so that the file can be run again and committed.

    After a session of the whole study, records of earlier sessions go: their cells may no longer exist. They
    stay where others wrote to the file meanwhile.
    """
    from foretune.records import AgreementRecord, compact, read

    path, before = records_of(config), config.stash[_BEFORE]
    settings = {record.setting for record in made if isinstance(record, AgreementRecord)}
    whole = ended and settings == {"layers", "models"} and not _is_part(config)
    alone = before.inode in (0, _File.at(path).inode) and len(read(path, offset=before.size)) == len(made)
    compact(path, offset=before.size if whole and alone else 0)


def _judge(config: pytest.Config, made: list[Record]) -> list[Verdict]:
    """Hold a session against the saved run, and against the cells that must be judged."""
    verdicts = []
    gates, seen = config.stash.get(GATES, None), config.stash[_SEEN]
    if gates is not None and not _is_chosen(config):
        from foretune.gates.session import judge_gates

        whole = all(Path(argument).is_dir() for argument in config.args)
        settings = None if whole else {judged[1] for judged in seen.collected}
        verdict = judge_gates(gates, made, seen, settings=settings, allowed="missing" in _allowed(config))
        verdicts += [] if verdict is None else [verdict]
    if _SAVED in config.stash:
        verdicts.append(config.stash[_SAVED].judge(made, seen))
    return verdicts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what the gates said."""
    of_study = GATES in config.stash or _SAVED in config.stash
    if of_study and _side_by_side(config):
        terminalreporter.section("times")
        terminalreporter.write_line(
            "tests ran side by side (pytest-xdist): pytest-benchmark timed nothing, and the seconds in "
            "these records are not to be compared"
        )
    if _SAVED in config.stash and _JUDGED not in config.stash:
        terminalreporter.section(f"gate against {config.getoption('--gate-against')}")
        terminalreporter.write_line("the session did not end by itself: nothing was compared", red=True)
    for verdict in config.stash.get(_VERDICTS, []):
        terminalreporter.section(verdict.title, red=not verdict.passed, green=verdict.passed)
        terminalreporter.write_line(verdict.text)


def _is_part(config: pytest.Config) -> bool:
    """Whether options or arguments left out a part of the tests."""
    return _is_chosen(config) or config.stash.get(_FILTERED, False)


def _is_chosen(config: pytest.Config) -> bool:
    """Whether options or arguments choose a part of the study, or may end it early."""
    chosen = config.getoption("--models") or config.getoption("--estimators") or config.getoption("maxfail")
    return bool(chosen or any("::" in argument for argument in config.args))
