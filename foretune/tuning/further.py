"""Which settings need further seeds of fine-tuning, since the first ones disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from foretune.ground_truth import LEAST_CANDIDATES
from foretune.records import TuningRecord
from foretune.records.tuning import settings_text
from foretune.seeds import SeedAgreement, by_candidate, seed_agreement
from foretune.setting import Setting, by_setting
from foretune.tasks.errors import InputError

from .planning import Run

MAX_SEEDS = 5


@dataclass(frozen=True, slots=True)
class SeededSetting:
    """A setting whose first seeds are settled.

    Attributes:
        setting: whose runs.
        candidates: by model and layer, without those of which no run succeeded.
        agreement: of the first seeds.
        recorded: model, layer and seed of every run, those that failed too.
    """

    setting: Setting
    candidates: Sequence[tuple[str, int]]
    agreement: SeedAgreement
    recorded: frozenset[tuple[str, int, int]]


def further_runs(records: Iterable[TuningRecord], *, seeds: int = 3, max_seeds: int = MAX_SEEDS) -> list[Run]:
    """List the runs with further seeds that records still lack, where their first seeds disagree.

    Every candidate of a setting whose seeds disagree (`foretune.seeds`) gets all further seeds. Only the
    first ones are judged by, and only where all candidates of the setting have them: the same settings
    are chosen however many further runs there are already.

    Args:
        records: of runs, those that failed too, which count as settled. Of a task's data and a model's
            weights those of the last record count.
        seeds: the first ones, 0 to seeds - 1.
        max_seeds: of a setting whose first seeds disagree.

    Returns:
        The runs, the lowest seed of everything first.

    Raises:
        InputError: as `check_seeds`; or the runs of a setting had different settings.
    """
    check_seeds(seeds, max_seeds)
    return runs_with_seeds(seeded_settings(records, seeds), range(seeds, max_seeds))


def runs_with_seeds(settings: Iterable[SeededSetting], seeds: Iterable[int]) -> list[Run]:
    """List the runs with some seeds that settings lack whose first seeds disagree.

    Args:
        settings: any; others lack nothing.
        seeds: further ones.
    """
    unsure = [each for each in settings if each.agreement.disagree]
    runs = [
        Run(each.setting.task, model, each.setting.protocol, layer, seed)
        for seed in seeds
        for each in unsure
        for model, layer in each.candidates
        if (model, layer, seed) not in each.recorded
    ]
    return list(dict.fromkeys(runs))


def seeded_settings(records: Iterable[TuningRecord], seeds: int) -> list[SeededSetting]:
    """Return the settings in which every candidate has its first seeds settled, and how well these agree.

    Args:
        records: see `further_runs`.
        seeds: the first ones, 0 to seeds - 1.

    Raises:
        InputError: the runs of a setting had different settings.
    """
    found = []
    for suite, own in _current(records).items():
        for setting, runs in by_setting(own, suite).items():
            if len({settings_text(run.settings) for run in runs}) > 1:
                raise InputError(
                    f"{setting.task}, {setting.title}: runs with different settings cannot be compared; keep "
                    "them in files of their own"
                )
            recorded = frozenset((run.model, run.layer, run.seed) for run in runs)
            candidates = {(model, layer) for model, layer, _ in recorded}
            if not all((*each, seed) in recorded for each in candidates for seed in range(seeds)):
                continue
            done = by_candidate(run for run in runs if run.seed < seeds and run.value is not None)
            if len(done) >= LEAST_CANDIDATES:
                agreement = seed_agreement(list(done.values()))
                found.append(SeededSetting(setting, list(done), agreement, recorded))
    return found


def possible_runs(runs: Sequence[Run], max_seeds: int) -> list[Run]:
    """List the further runs of a grid that there would be if the seeds of all its settings disagreed.

    Args:
        runs: of the grid, with its first seeds.
        max_seeds: see `further_runs`.
    """
    first = 1 + max((run.seed for run in runs), default=-1)
    found = {
        (run.task, run.model, run.protocol, run.layer): None
        for own in by_setting(runs, "").values()
        if len({(run.model, run.layer) for run in own}) >= LEAST_CANDIDATES
        for run in own
    }
    return [Run(*candidate, seed) for seed in range(first, max_seeds) for candidate in found]


def check_seeds(seeds: int, max_seeds: int) -> None:
    """Check that there are seeds that can disagree, and further ones.

    Raises:
        InputError: there are not.
    """
    if seeds < 2:
        raise InputError(
            f"max seeds {max_seeds}: one seed cannot disagree; give 2 or more seeds to begin with"
        )
    if max_seeds <= seeds:
        raise InputError(f"max seeds {max_seeds}: must be more than the {seeds} seeds to begin with")


def _current(records: Iterable[TuningRecord]) -> dict[str, list[TuningRecord]]:
    """Return, by suite, the records of each task's last data and each model's last weights."""
    given = list(records)
    data = {(run.suite, run.task): run.data_revision for run in given}
    weights = {(run.suite, run.task, run.model): run.model_revision for run in given}
    found: dict[str, list[TuningRecord]] = {}
    for run in given:
        last = data[run.suite, run.task], weights[run.suite, run.task, run.model]
        if (run.data_revision, run.model_revision) == last:
            found.setdefault(run.suite, []).append(run)
    return found
