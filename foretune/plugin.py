"""The pytest plugin: options of the study, and one fixture per task.

A task's fixture is named as the task (`asr`, `speaker_identification`, `emotion_recognition`, and
those of installed packages) and supplies a `foretune.study.TaskStudy`: the task's declaration, its
data, its fine-tuning ground truth, and candidates' features for the estimators. Everything is made
when it is first asked for, and shared by the session.

What becomes of a session's records and gates is the matter of `foretune.sessions`, which comes with it.

The plugin loads in every pytest session of whoever has foretune installed, so it imports nothing
heavy (neither torch nor the tasks) until a fixture is asked for.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from foretune.suites import SUITES

if TYPE_CHECKING:
    from foretune.records import Record
    from foretune.study import Study, TaskStudy

RECORDS = Path("results/records")
"""Folder of the files that scores and agreements go to, relative to pytest's root folder; one a suite."""
MADE_HERE = Path("results/records/tuning.jsonl")
"""Where fine-tuning runs go that the ground truth lacked; as `foretune tune`."""

pytest_plugins = ["foretune.sessions"]

GATES = pytest.StashKey[Path]()
"""The file of gates that a session has to judge."""
_STUDY = pytest.StashKey["Study"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the study."""
    group = parser.getgroup("foretune", "transferability estimation of pre-trained speech models")
    group.addoption(
        "--suite",
        default="embedded",
        choices=list(SUITES),
        help="embedded: synthetic speech and what ships (default); local: your data and candidates; hub: "
        "real corpora and the hub's encoders, such as --models wavlm-base",
    )
    group.addoption(
        "--data",
        action="append",
        default=[],
        metavar="TASK=WHERE",
        help="of the suites local and hub: a task's manifest, folder or corpus (see foretune list corpora), "
        "once for each; source=WHERE is speech from the models' pre-training",
    )
    group.addoption(
        "--utterances",
        type=int,
        default=None,
        metavar="N",
        help="at most so many of each part of a corpus that is named",
    )
    group.addoption(
        "--aligner",
        default=None,
        metavar="NAME",
        help="what aligns transcripts without true times, as for foretune rank (default: the one that ships)",
    )
    group.addoption("--device", default="cpu", help="a torch device for candidates: cpu, cuda (default: cpu)")
    group.addoption(
        "--models",
        default=None,
        type=names,
        metavar="NAME,...",
        help="only these candidates (default: all that the ground truth has)",
    )
    group.addoption(
        "--estimators",
        default=None,
        type=names,
        metavar="NAME,...",
        help="only these estimators (default: all)",
    )
    group.addoption(
        "--records",
        type=Path,
        default=None,
        metavar="PATH",
        help=f"where scores and agreements are recorded (default: {RECORDS}/SUITE.jsonl)",
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


def names(text: str) -> list[str]:
    """Split an option's value at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def study_of(config: pytest.Config) -> Study:
    """Return the session's study, as the options say; the same one each time."""
    if _STUDY not in config.stash:
        from foretune.study import Options, Study
        from foretune.suites import Suite
        from foretune.tasks.errors import InputError

        option = config.getoption
        try:
            suite = Suite.choose(option("--suite"), option("--data"), option("--utterances"))
            models = suite.candidates(option("--models"))
        except InputError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_STUDY] = Study(
            Options(
                records=records_of(config),
                ground_truth=config.getoption("--ground-truth"),
                made_here=config.rootpath / MADE_HERE,
                fine_tune=config.getoption("--fine-tune") == "missing",
                suite=suite,
                models=models,
                estimators=config.getoption("--estimators"),
                device=config.getoption("--device"),
                aligner=config.getoption("--aligner"),
            )
        )
    return config.stash[_STUDY]


def records_of(config: pytest.Config) -> Path:
    """Return the file that a session records to."""
    given: Path | None = config.getoption("--records")
    return config.rootpath / RECORDS / f"{config.getoption('--suite')}.jsonl" if given is None else given


def made_by(config: pytest.Config) -> list[Record]:
    """Return what this process has recorded in its session."""
    study = config.stash.get(_STUDY, None)
    return [] if study is None else study.made


def require_gates(config: pytest.Config, path: Path) -> None:
    """Ask that each cell that a file of gates names is judged by a session of the whole study.

    Args:
        config: of the session, when a conftest.py configures it.
        path: the file, as `foretune.gates.Gates.read` takes it.

    Raises:
        UsageError: the file cannot be used.
    """
    from foretune.gates import Gates
    from foretune.tasks.errors import InputError

    try:
        Gates.read(path)
    except InputError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[GATES] = path


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
