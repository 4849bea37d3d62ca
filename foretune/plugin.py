"""The pytest plugin: options of the study, and one fixture per task.

A task's fixture is named as the task (`asr`, `speaker_identification`, `emotion_recognition`, and
those of installed packages) and supplies a `foretune.study.TaskStudy`: the task's declaration, its
data, its fine-tuning ground truth, and candidates' features for the estimators. Everything is made
when it is first asked for, and shared by the session.

The plugin loads in every pytest session of whoever has foretune installed, so it imports nothing
heavy (neither torch nor the tasks) until a fixture is asked for.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from foretune.study import Study, TaskStudy

RECORDS = Path("results/records/embedded.jsonl")
"""Where scores and agreements go, relative to pytest's root folder."""
MADE_HERE = Path("results/records/tuning.jsonl")
"""Where fine-tuning runs go that the ground truth lacked; as `foretune tune`."""

_STUDY = pytest.StashKey["Study"]()
_BYTES_BEFORE = pytest.StashKey[int]()
_FILTERED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the study."""
    group = parser.getgroup("foretune", "transferability estimation of pre-trained speech models")
    group.addoption(
        "--suite",
        default="embedded",
        choices=["embedded"],
        help="the data that tasks are made from (default: embedded, synthetic speech made on the fly)",
    )
    group.addoption(
        "--models",
        default=None,
        type=_names,
        metavar="NAME,...",
        help="only these candidates (default: all that the ground truth has)",
    )
    group.addoption(
        "--estimators",
        default=None,
        type=_names,
        metavar="NAME,...",
        help="only these estimators (default: all)",
    )
    group.addoption(
        "--records",
        type=Path,
        default=None,
        metavar="PATH",
        help=f"where scores and agreements are recorded (default: {RECORDS})",
    )
    group.addoption(
        "--ground-truth",
        type=Path,
        default=None,
        metavar="PATH",
        help="fine-tuning records to judge by (default: those that ship with foretune, and those in "
        f"{MADE_HERE})",
    )
    group.addoption(
        "--fine-tune",
        default="never",
        choices=["missing", "never"],
        help="whether to fine-tune now what the ground truth lacks (default: never)",
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def study_of(config: pytest.Config) -> Study:
    """Return the session's study, as the options say; the same one each time."""
    if _STUDY not in config.stash:
        from foretune.study import Options, Study

        config.stash[_STUDY] = Study(
            Options(
                records=_records(config),
                ground_truth=config.getoption("--ground-truth"),
                made_here=config.rootpath / MADE_HERE,
                fine_tune=config.getoption("--fine-tune") == "missing",
                suite=config.getoption("--suite"),
                models=config.getoption("--models"),
                estimators=config.getoption("--estimators"),
            )
        )
    return config.stash[_STUDY]


def _records(config: pytest.Config) -> Path:
    given: Path | None = config.getoption("--records")
    return config.rootpath / RECORDS if given is None else given


@pytest.fixture(scope="session")
def foretune_study(pytestconfig: pytest.Config) -> Study:
    """The study that the options describe: all tasks of a session, and where its records go."""
    return study_of(pytestconfig)


def _task_fixture(task: str) -> Callable[..., Any]:
    def supply(foretune_study: Study) -> TaskStudy:
        return foretune_study.tasks(task)

    supply.__doc__ = f"The task {task}: its data, its fine-tuning ground truth, and candidates' features."
    return pytest.fixture(scope="session", name=task)(supply)


asr = _task_fixture("asr")
speaker_identification = _task_fixture("speaker_identification")
emotion_recognition = _task_fixture("emotion_recognition")
phoneme_recognition = _task_fixture("phoneme_recognition")
keyword_spotting = _task_fixture("keyword_spotting")
multilingual_asr = _task_fixture("multilingual_asr")
for _entry in importlib.metadata.entry_points(group="foretune.tasks"):
    globals()[_entry.name] = _task_fixture(_entry.name)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember what the records held before this session."""
    path = _records(session.config)
    session.config.stash[_BYTES_BEFORE] = path.stat().st_size if path.is_file() else 0


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember that this session is only a part of the study."""
    if items:
        items[0].config.stash[_FILTERED] = True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the last record of each cell, so that the file can be run again and committed.

    After a session of the whole study, records of earlier sessions go: their cells may no longer exist.
    """
    config = session.config
    study = config.stash.get(_STUDY, None)
    if hasattr(config, "workerinput") or study is None or not study.recorded:
        return  # a worker of pytest-xdist, or a session that recorded nothing: others may be writing
    from foretune.records import AgreementRecord, compact, read

    path, before = _records(config), config.stash.get(_BYTES_BEFORE, 0)
    of_session = read(path, offset=before)
    settings = {record.setting for record in of_session if isinstance(record, AgreementRecord)}
    ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    whole = ended and settings == {"layers", "models"} and not _is_part(config)
    compact(path, offset=before if whole else 0)


def _is_part(config: pytest.Config) -> bool:
    """Whether options or arguments left out a part of the tests."""
    chosen = config.getoption("--models") or config.getoption("--estimators") or config.getoption("maxfail")
    named = any("::" in argument for argument in config.args)
    return bool(chosen or named or config.stash.get(_FILTERED, False))
