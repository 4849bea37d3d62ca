"""Suites: what a study's speech, candidates and ground truth are.

`embedded` is synthetic speech, the shipped candidates and the fine-tuning records that ship. `local` is a
user's own: folders, manifests or corpora on disk, candidates that the user names, and records that
`foretune tune` wrote. `hub` is real corpora and the encoders of the hub that people use; what has to be got
by hand is given as for `local`.

Nothing heavy is imported here before data are asked for: the pytest plugin reads its options by this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretune.records import TuningRecord
    from foretune.tasks import Task, TaskData
    from foretune.tasks.corpora import NamedCorpus

SUITES = ("embedded", "local", "hub")
EMBEDDED, LOCAL, HUB = SUITES

SOURCE = "source"
"""In the place of a task: speech from the models' pre-training, for all tasks."""

HUB_DATA = {
    "asr": "librispeech",
    "keyword_spotting": "speech_commands",
    "multilingual_asr": "multilingual_librispeech",
}
"""The corpora that the hub has, by the task that they are for where the suite `hub` is told of no data."""


@dataclass(frozen=True)
class Suite:
    """What a study is about.

    Attributes:
        name: of `SUITES`.
        data: where the speech of each task comes from, as `foretune rank --data` takes it; empty for
            `embedded`, which makes its own.
        source: speech from the candidates' pre-training, likewise; None: there is none, but for `embedded`.
        utterances: at most so many of each part of a corpus that is named; see `foretune.rank`.
    """

    name: str = EMBEDDED
    data: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None
    utterances: int | None = None
    _loaded: dict[str, TaskData] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def choose(cls, name: str, data: Sequence[str] = (), utterances: int | None = None) -> Suite:
        """Return a suite as a user asks for it, having checked that its data are there.

        Args:
            name: of `SUITES`.
            data: of each task, `TASK=WHERE`; `source=WHERE` for all. `hub` without any takes `HUB_DATA`.
            utterances: see above.

        Raises:
            InputError: there is no such suite or task, data are given twice, given to `embedded` or not
                given to `local`, or they cannot be: a corpus that does not serve the task or is not on the
                hub, a path that does not exist.
        """
        from foretune.tasks import get_task
        from foretune.tasks.errors import InputError

        if name not in SUITES:
            raise InputError(f"--suite {name}: give {', '.join(SUITES)}")
        where: dict[str, str] = {}
        for text in data:
            given, _, place = text.partition("=")
            if not place:
                raise InputError(f"--data {text}: write TASK=WHERE, such as asr=manifest.csv")
            task = given if given == SOURCE else get_task(given).name
            if ":" in task:
                raise InputError(f"--data {text}: {task} is a part of a task; give data that hold it alone")
            if task in where:
                raise InputError(f"--data {text}: {task} is {where[task]} already; give each task once")
            where[task] = place
        if name == EMBEDDED and (where or utterances is not None):
            raise InputError("--data and --utterances: not for --suite embedded; add --suite local or hub")
        source = where.pop(SOURCE, None)
        if name == LOCAL and not where:
            raise InputError(
                "--suite local: no data; add --data TASK=WHERE for each task, a manifest, folder or corpus"
            )
        suite = cls(name, where or (HUB_DATA if name == HUB else {}), source, utterances)
        suite._check_data()
        return suite

    def _check_data(self) -> None:
        """Check, reading nothing, that each task's corpus fits it, or that there is such a path."""
        from foretune.ranking import EMBEDDED_SOURCE
        from foretune.tasks.errors import InputError

        of_corpora = False
        for task, place in [*self.data.items(), *([(SOURCE, self.source)] if self.source else [])]:
            try:
                if named := _corpus(place):
                    named.check(named.corpus.tasks[0] if task == SOURCE else task)
                    of_corpora = True
                elif not Path(place).expanduser().exists() and (task, place) != (SOURCE, EMBEDDED_SOURCE):
                    raise InputError("no such file or folder, and no corpus (see foretune list corpora)")
            except InputError as error:
                raise InputError(f"--data {task}={place}: {error}") from None
        if self.utterances is not None and not of_corpora:
            raise InputError(f"--utterances {self.utterances}: for corpora that are named, and there is none")

    def tasks(self, known: Iterable[str]) -> list[str]:
        """Return the known tasks that there are data of, in their order."""
        return [task for task in known if self.name == EMBEDDED or task in self.data]

    def load(self, task: Task) -> TaskData:
        """Return a task's data, loaded when first asked for.

        Raises:
            InputError: the suite has none, or they cannot be used; the message names them.
        """
        if task.name not in self._loaded:
            self._loaded[task.name] = self._load(task)
        return self._loaded[task.name]

    def _load(self, task: Task) -> TaskData:
        from foretune.ranking import load_data
        from foretune.tasks.errors import InputError

        if self.name == EMBEDDED:
            return task.embedded()
        place = self.data.get(task.name)
        if place is None:
            raise InputError(f"{task.name}: no data in the suite {self.name}; add --data {task.name}=WHERE")
        named = _corpus(place) or (_corpus(self.source) if self.source else None)
        try:
            loaded = load_data(task, place, source=self.source, utterances=self.utterances if named else None)
        except InputError as error:
            raise InputError(f"--data {task.name}={place}: {error}") from None
        return replace(loaded, suite=self.name)

    def has(self, run: TuningRecord) -> bool:
        """Whether a fine-tuning run was on the suite's own data, which are loaded to know that."""
        if self.name == EMBEDDED:
            return run.suite == EMBEDDED
        from foretune.tasks import get_task

        return run.task in self.data and run.data_revision == self.load(get_task(run.task)).revision

    def ground_truth(self, made_here: Path) -> list[Path]:
        """Return the files that hold fine-tuning runs by default: what ships, and what was made here."""
        from foretune.ground_truth import shipped

        return [shipped(), made_here] if self.name == EMBEDDED else [made_here]

    def candidates(self, names: Sequence[str] | None) -> list[str] | None:
        """Return the candidates that are named, as `load_candidate` takes them; None where none is.

        Of the suite `hub`, a name may be a short one of the pool, such as `wavlm-base`.

        Raises:
            InputError: several models of the pool are meant.
        """
        if names is None or self.name != HUB:
            return None if names is None else list(names)
        from foretune.models import names as shipped
        from foretune.models.hub_pool import meant_by, resolve

        return [resolve(name) if name not in shipped() and meant_by(name) else name for name in names]

    def check_candidates(self, names: Iterable[str]) -> None:
        """Check that candidates are there, without loading them; the hub is asked for nothing.

        Raises:
            InputError: there is no such folder, file or name; or, offline, no such model in the hub's cache.
        """
        from huggingface_hub.constants import HF_HUB_OFFLINE

        from foretune.models import check_name
        from foretune.models.hub import is_hub_id
        from foretune.models.python_file import is_python_file

        for name in names:
            is_path = name.startswith((".", "/", "~")) or is_python_file(name) or Path(name).exists()
            if HF_HUB_OFFLINE or is_path or not is_hub_id(name):
                check_name(name)

    def pool(self) -> list[str]:
        """Return the candidates to fine-tune where none is named and there is no ground truth yet.

        Raises:
            InputError: the suite is `local`, whose candidates the user names.
        """
        from foretune.tasks.errors import InputError

        if self.name == LOCAL:
            raise InputError("--suite local: name the candidates to fine-tune; add --models NAME,...")
        if self.name == HUB:
            from foretune.models.hub_pool import hub_pool

            return [model.name for model in hub_pool()]
        from foretune.models import names

        return names()


def _corpus(place: str) -> NamedCorpus | None:
    """Return the corpus that is named, None where it is a path; see `foretune.tasks.corpora.read_name`."""
    from foretune.tasks.corpora import read_name

    return read_name(place)
