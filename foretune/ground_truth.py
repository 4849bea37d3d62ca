"""The ground truth of a task: what fine-tuning gave, averaged over seeds, and what it cost."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from foretune.models import is_twin
from foretune.records import TuningRecord, read_tuning
from foretune.records.tuning import Protocol, RunProtocol, planned
from foretune.tasks.errors import InputError

MODEL_PROTOCOLS: tuple[Protocol, ...] = ("layer", "probe")
"""How models are tuned: whole (`full`, the same as `layer` with the last one), or frozen under a probe."""
LEAST_CANDIDATES = 3
"""Below this many candidates there is no ranking to speak of."""


def shipped(suite: str = "embedded") -> Path:
    """Return the file of fine-tuning records that ships for a suite (it may be missing)."""
    return Path(str(files("foretune.tasks"))) / "ground_truth" / f"{suite}.jsonl"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What fine-tuning one candidate gave.

    Attributes:
        value: the metric in its own direction, mean over seeds.
        deviation: its standard deviation over seeds (n - 1); None with a single seed.
        seeds: how many.
        wall_seconds: of one run, mean over seeds.
        protocol: of these runs, `layer` for `full` too.
        by_seed: the metric of each run, by its seed.
    """

    value: float
    deviation: float | None
    seeds: int
    wall_seconds: float
    protocol: RunProtocol = "layer"
    by_seed: Mapping[int, float] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def over_seeds(cls, runs: Sequence[TuningRecord]) -> Outcome:
        """Average the runs of one candidate, which differ in their seeds; of one seed the last counts."""
        by_seed = {run.seed: run.value for run in runs if run.value is not None}
        values = list(by_seed.values())
        return cls(
            value=math.fsum(values) / len(values),
            deviation=statistics.stdev(values) if len(values) > 1 else None,
            seeds=len(values),
            wall_seconds=math.fsum(run.wall_seconds for run in runs) / len(runs),
            protocol=planned(runs[0].protocol),
            by_seed=by_seed,
        )


def shares_beaten(runs: Iterable[TuningRecord], *, except_task: str) -> dict[tuple[str, int], float]:
    """Return how well each candidate does on other tasks, in [0, 1], mean over those tasks.

    On a task, it is the share of all other fine-tuned candidates (models cut after a layer) that it beats,
    ties counting half. Whatever it was fine-tuned on and from counts: this is for a baseline. Other
    protocols than `layer` and `full` do not, nor do untrained twins.

    Args:
        runs: fine-tuning runs of several tasks.
        except_task: the task that must not be looked at.
    """
    by_task: dict[str, dict[tuple[str, int], list[float]]] = {}
    for run in runs:
        counts = run.task != except_task and planned(run.protocol) == "layer" and not is_twin(run.model)
        if counts and run.value is not None:
            goodness = run.value if run.direction == "higher" else -run.value
            by_task.setdefault(run.task, {}).setdefault((run.model, run.layer), []).append(goodness)
    shares: dict[tuple[str, int], list[float]] = {}
    for candidates in by_task.values():
        means = {candidate: math.fsum(values) / len(values) for candidate, values in candidates.items()}
        for candidate, own in means.items():
            beaten = sum((other < own) + (other == own) / 2 for other in means.values()) - 0.5  # itself
            shares.setdefault(candidate, []).append(beaten / max(1, len(means) - 1))
    return {candidate: math.fsum(values) / len(values) for candidate, values in shares.items()}


class GroundTruth:
    """The finished fine-tuning runs of one task by one protocol.

    Fine-tuning a whole encoder (protocol `full`) is the same as cutting it after its last layer
    (protocol `layer`), so either record serves for both.

    Attributes:
        task: the task's name.
        protocol: how candidates were fine-tuned.
        runs: on whatever data and weights; what is asked for is matched by revision.
    """

    def __init__(
        self,
        task: str,
        runs: Iterable[TuningRecord],
        *,
        metric: str | None = None,
        protocol: Protocol = "layer",
        settings: Mapping[str, float | str] | None = None,
    ) -> None:
        """Keep the finished runs of a task.

        Args:
            task: its name.
            runs: of any tasks.
            metric: what candidates are ranked by, where it is another one than when the runs were made;
                runs that did not measure it are left out.
            protocol: `layer` (with `full`), `single-layer` or `probe`; others are left out.
            settings: of the runs, as their records have them; other runs are left out. By default runs
                with any settings count, and mixed ones are an error when values are asked for.
        """
        self.task = task
        self.protocol = protocol
        self.runs = [
            run if metric is None else run.model_copy(update={"metric": metric, "value": run.metrics[metric]})
            for run in runs
            if run.task == task
            and planned(run.protocol) == planned(protocol)
            and (settings is None or run.settings == settings)
            and run.status == "done"
            and (metric is None or metric in run.metrics)
        ]
        self._of_candidate: dict[tuple[str, int], list[TuningRecord]] = {}
        for run in self.runs:
            self._of_candidate.setdefault((run.model, run.layer), []).append(run)

    @classmethod
    def read(
        cls,
        task: str,
        paths: Iterable[Path],
        *,
        metric: str | None = None,
        protocol: Protocol = "layer",
        settings: Mapping[str, float | str] | None = None,
    ) -> GroundTruth:
        """Read a task's runs from several files; of repeated runs the last counts.

        Args:
            task: its name.
            paths: files of records.
            metric: see `GroundTruth`, as for the others.
            protocol: likewise.
            settings: likewise.

        Raises:
            InputError: a file is missing or holds something else.
        """
        return cls(task, read_tuning(paths), metric=metric, protocol=protocol, settings=settings)

    def models(self) -> list[str]:
        """Return every model that was fine-tuned, cut after whatever layer, by name."""
        return sorted({run.model for run in self.runs})

    def reaches(self, model: str, layer: int) -> bool:
        """Whether there is a run of a model up to this layer, on whatever data and weights."""
        return (model, layer) in self._of_candidate

    def layered_models(self) -> list[str]:
        """Return the models that were fine-tuned cut after enough layers to rank these, by name."""
        layers: dict[str, set[int]] = {}
        for run in self.runs:
            layers.setdefault(run.model, set()).add(run.layer)
        return sorted(model for model, found in layers.items() if len(found) >= LEAST_CANDIDATES)

    def has(self, model: str, layer: int, seed: int, *, data_revision: str, model_revision: str) -> bool:
        """Whether there is a run of this seed on these data, from these weights."""
        wanted = (seed, data_revision, model_revision)
        return any(
            (run.seed, run.data_revision, run.model_revision) == wanted
            for run in self._of_candidate.get((model, layer), [])
        )

    def layers(self, model: str, *, data_revision: str, model_revision: str) -> dict[int, Outcome]:
        """Return what fine-tuning a model cut after each of its layers gave, in their order.

        Args:
            model: the candidate's name.
            data_revision: of the data that the estimators see now.
            model_revision: of the weights that they see now.

        Raises:
            InputError: for some layer there is none, or only for other data or other weights; or the
                task's runs on these data had different settings.
        """
        wanted = sorted(layer for name, layer in self._of_candidate if name == model)
        return {layer: self._outcome(model, layer, data_revision, model_revision) for layer in wanted}

    def full(self, model: str, top: int, *, data_revision: str, model_revision: str) -> Outcome:
        """Return what fine-tuning the whole encoder gave.

        Args:
            model: the candidate's name.
            top: its last layer.
            data_revision: of the data that the estimators see now.
            model_revision: of the weights that they see now.

        Raises:
            InputError: there is none, or only for other data or other weights; or the task's runs on
                these data had different settings.
        """
        return self._outcome(model, top, data_revision, model_revision)

    def _outcome(self, model: str, layer: int, data_revision: str, model_revision: str) -> Outcome:
        runs = self._of_candidate.get((model, layer), [])
        what = f"{self.task}: {model}, layer {layer}"
        if not runs:
            raise InputError(f"{what}: never fine-tuned; add --fine-tune missing to do it now")
        now = (data_revision, model_revision)
        current = [run for run in runs if (run.data_revision, run.model_revision) == now]
        if not current:
            last = runs[-1]
            raise InputError(
                f"{what}: the ground truth is stale (fine-tuned on data {last.data_revision} from weights "
                f"{last.model_revision}, now {data_revision} and {model_revision}); "
                "add --fine-tune missing to do it again"
            )
        self._check_settings(data_revision)
        return Outcome.over_seeds(current)

    @functools.cached_property
    def _settings_on(self) -> dict[str, set[str]]:
        """The settings of the runs on each revision of the data."""
        found: dict[str, set[str]] = {}
        for run in self.runs:
            found.setdefault(run.data_revision, set()).add(run.key[-1])
        return found

    def _check_settings(self, data_revision: str) -> None:
        """Refuse runs of different settings, whose values say nothing about each other's candidates."""
        found = self._settings_on.get(data_revision, set())
        if len(found) > 1:
            each = "; ".join(text or "the default settings" for text in sorted(found))
            raise InputError(
                f"{self.task}: its {self.protocol} runs were made with different settings ({each}), which "
                "cannot be compared; keep them in files of their own"
            )
