"""How well estimators agree with the ground truth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .schema import RecordBase
from .tuning import RunProtocol


class AgreementRecord(RecordBase):
    """How well an estimator's scores agree with the ground truth in one setting.

    The candidates are the layers of `model`, or, with `model` = `all`, models. Where the estimator
    gave no score for one of them, `status` is `failed`, `error` says why, and there is no statistic.

    Attributes:
        layer_policy: how a model's layers make its score (`last`, `best`, `mean`); `each` for layers.
        protocol: how the candidates were fine-tuned; `layer` also where whole encoders were.
        names: the candidates: layer numbers or models.
        scores: one a candidate, higher predicts better transfer.
        values: the metric after fine-tuning, in its own direction, mean over seeds.
        deviations: the standard deviation of that over seeds; None with a single seed.
        seeds: the least number of seeds that a candidate was fine-tuned with.
        seeds_each: the number of each candidate; empty in older records, where all have `seeds`.
        low: lower end of the 95 % interval of ρ over candidates (`agreement.candidate_interval`).
        high: its upper end.
        smooth_p_value: see `agreement.smooth_p_value`; None for models.
        pearson: correlation of the scores and values themselves.
        top_3_recall: share of the best three among the three with the best scores; 1 for three candidates.
        held_fixed: what `partial_spearman` holds fixed: `log parameters` for models, `depth` for layers.
        partial_spearman: see `agreement.partial_spearman`; None where it is not defined.
        partial_p_value: likewise.
        seed_low: lower end of the 95 % interval of ρ over seeds of fine-tuning (`agreement.noise_interval`):
            where ρ with these candidates' true values may lie; None with a single seed.
        seed_high: its upper end.
        utterance_low: likewise over the utterances that were scored on; None where the scores' errors are
            not known.
        utterance_high: its upper end.
        utterance_errors: what these errors are: of all candidates by the same groups of utterances, or each
            candidate's own standard error.
        score_errors: the standard errors of the scores over utterances; empty where none is known.
        split_half: see `agreement.split_half`; None with a single seed.
        ceiling: ρ that a perfect estimator would reach with these values (`agreement.ceiling`); None
            with a single seed.
        regret: the best value less that of the candidate with the best score, in the metric's unit.
        regret_at_3: the same for the best of the three candidates with the best scores.
        score_seconds: what the scores of all candidates cost: forward passes, statistics, scores.
        fine_tune_seconds: what fine-tuning all candidates with one seed costs; of a part of a task (one
            language of several) that for the whole task, since it is fine-tuned for together.
        cost_ratio: the latter over the former; None for a part.
        least_spearman: the gate that was applied; None where there is none.
        largest_p_value: likewise.
        reason: why a gate is low or absent.
        passed: whether the gates hold.
    """

    kind: Literal["agreement"] = "agreement"
    setting: Literal["layers", "models"]
    estimator: str
    layer_policy: str
    protocol: RunProtocol = "layer"
    status: Literal["done", "failed"] = "done"
    error: str = ""
    metric: str
    direction: Literal["higher", "lower"]
    candidates: int
    names: list[str]
    scores: list[float | None]
    values: list[float]
    deviations: list[float | None]
    seeds: int
    seeds_each: list[int] = Field(default_factory=list)
    spearman: float | None
    p_value: float | None
    smallest_p_value: float
    p_value_error: float = 0.0
    low: float | None = None
    high: float | None = None
    smooth_p_value: float | None
    pearson: float | None = None
    top_3_recall: float | None = None
    held_fixed: str = ""
    partial_spearman: float | None = None
    partial_p_value: float | None = None
    seed_low: float | None = None
    seed_high: float | None = None
    utterance_low: float | None = None
    utterance_high: float | None = None
    utterance_errors: Literal["", "groups", "standard errors"] = ""
    score_errors: list[float | None] = Field(default_factory=list)
    split_half: float | None = None
    ceiling: float | None = None
    kendall: float | None
    weighted_kendall: float | None
    regret: float | None
    regret_at_3: float | None
    score_seconds: float
    fine_tune_seconds: float
    cost_ratio: float | None
    least_spearman: float | None = None
    largest_p_value: float | None = None
    reason: str = ""
    passed: bool = True

    @property
    def seed_numbers(self) -> list[int]:
        """Return with how many seeds each candidate was fine-tuned."""
        return list(self.seeds_each) or [self.seeds] * len(self.names)

    @property
    def goodness(self) -> list[float]:
        """Return the values, turned so that higher is better."""
        return [value if self.direction == "higher" else -value for value in self.values]

    @property
    def of_part(self) -> bool:
        """Whether it is of a part of a task, which was fine-tuned for, and has been heard, as a whole."""
        return ":" in self.task

    @property
    def key(self) -> tuple[str, ...]:
        """Return which cell of the grid this is."""
        cell = (self.suite, self.task, self.setting, self.model, self.estimator, self.layer_policy)
        return cell if self.protocol == "layer" else (*cell, self.protocol)


class PublishedRecord(RecordBase):
    """How well a ranking agrees with published results of real models, without any weights.

    The candidates are those of a table that ships (`suite` is its name, `data_revision` its hash), so
    neither their names nor their values are repeated here.

    Attributes:
        estimator: what ranks the candidates.
        truth: what the ranking is held against: the published metric, or the ranks printed beside it.
        candidates: how many.
        exact: whether every permutation was counted for `p_value`.
        low: lower end of the 95 % bootstrap interval of ρ over candidates; None for few of them.
        high: upper end.
        regret: as in an agreement, in the metric's unit.
        regret_at_3: likewise.
        regret_by_chance: what choosing one at random loses on average.
        printed_spearman: what the source itself says; None where it does not.
        printed_p_value: likewise.
        score_seconds: what the source says that scores cost; None where it does not.
        fine_tune_seconds: likewise of fine-tuning.
    """

    kind: Literal["published"] = "published"
    setting: Literal["layers", "models"]
    estimator: str
    truth: Literal["metric", "printed ranks"] = "metric"
    metric: str
    unit: str
    direction: Literal["higher", "lower"]
    candidates: int
    spearman: float
    p_value: float
    p_value_error: float
    exact: bool
    low: float | None = None
    high: float | None = None
    kendall: float
    weighted_kendall: float
    regret: float
    regret_at_3: float
    regret_by_chance: float
    printed_spearman: float | None = None
    printed_p_value: float | None = None
    score_seconds: float | None = None
    fine_tune_seconds: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str, str]:
        """Return which cell of which table this is."""
        return (self.suite, self.task, self.setting, self.model, self.estimator, self.truth)
