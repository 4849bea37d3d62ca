"""The cells of the study: which task, model and estimator each test is about, and its gates."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from foretune.estimators import UnknownEstimatorError
from foretune.gates import Gates, judged_as
from foretune.plugin import require_gates, study_of
from foretune.sessions import refuse_times_side_by_side
from foretune.study import Study, TaskStudy
from foretune.suites import EMBEDDED
from foretune.tasks.errors import InputError

GATES = Path(__file__).with_name("gates.toml")
OF_ANY_SUITE = {"test_layers.py", "test_models.py"}
"""The files that are about whatever speech and candidates a user names; the others are about what ships."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that asks for the sizes that take minutes."""
    parser.addoption(
        "--full", action="store_true", help="measure speed and memory at the sizes that claims are made for"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let no cell that has a gate go unjudged, and time nothing beside other tests."""
    refuse_times_side_by_side(config)
    if config.getoption("--suite") == EMBEDDED:
        require_gates(config, GATES)


def pytest_collection(session: pytest.Session) -> None:
    """Say in one line what is wrong with the options or the ground truth, before anything is collected."""
    study = study_of(session.config)
    try:
        study.task_names()
        study.check()
        study.estimator_names()
    except (InputError, UnknownEstimatorError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, of another suite, what is not about it."""
    other = collection_path.is_file() and collection_path.name not in OF_ANY_SUITE
    return True if other and config.getoption("--suite") != EMBEDDED else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every cell that there is ground truth for."""
    if "estimator" not in metafunc.fixturenames:
        return
    study = study_of(metafunc.config)
    cells: list[tuple[str, ...]] = [(task,) for task in study.task_names()]
    names = ["task_name", "estimator"]
    if "model" in metafunc.fixturenames:
        cells = [(task, model) for (task,) in cells for model in study.layered_models(task)]
        names = ["task_name", "model", "estimator"]
    values = [(*cell, estimator) for cell in cells for estimator in study.estimator_names()]
    metafunc.parametrize(names, values, ids=["-".join(value) for value in values])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests task by task, so that each candidate hears a task's speech once."""
    order: dict[object, int] = {}
    for item in items:
        order.setdefault(_task_name(item), len(order))
    items.sort(key=lambda item: order[_task_name(item)])


def _task_name(item: pytest.Item) -> object:
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("task_name")


FIGURES = pytest.StashKey[list[str]]()
"""Lines that tests have to say of what they measured."""


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Show a line at once, and again when the session ends: one that is cut off has shown it."""
    said = pytestconfig.stash.setdefault(FIGURES, [])
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def tell_(line: str) -> None:
        said.append(line)
        if terminal is not None and capture is not None:
            with capture.global_and_fixture_disabled():
                terminal.ensure_newline()
                terminal.write_line(line)

    return tell_


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show again what the session measured."""
    if said := config.stash.get(FIGURES, []):
        terminalreporter.section("figures")
        for line in said:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say in one line what a candidate or its ground truth lacks."""
    report = yield
    if call.excinfo is not None and call.excinfo.errisinstance(InputError):
        report.longrepr = f"{item.nodeid}: {call.excinfo.value}"
    return report


@pytest.fixture
def task_study(request: pytest.FixtureRequest, task_name: str) -> TaskStudy:
    """What the fixture of the test's task supplies."""
    supplied: TaskStudy = request.getfixturevalue(task_name)
    return supplied


@pytest.fixture(scope="session")
def gates(foretune_study: Study) -> Gates:
    """The thresholds; none of those of models where only some of these compete; none of other suites."""
    cells = Gates.read(GATES).cells if foretune_study.options.suite.name == EMBEDDED else {}
    if foretune_study.options.models is not None:
        cells = {cell: gate for cell, gate in cells.items() if judged_as(cell[1]) == "layers"}
    return Gates(cells)
