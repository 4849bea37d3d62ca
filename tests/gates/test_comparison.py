"""Comparisons: every way in which a cell can be worse, absent or not comparable, and what may be allowed."""

from __future__ import annotations

import pytest

from foretune.gates import ALLOWABLE, Limits, compare
from foretune.gates.cells import Cell, results
from foretune.gates.display import summary, table
from foretune.records import PublishedRecord, TuningRecord
from foretune.tasks.errors import InputError

RHO = "embedded.asr.layers.ctc.logme"


@pytest.fixture
def against(a_run):
    """Return a function from one changed record, and limits, to the comparison with the run before."""

    def compare_(changed, *limits, **more):
        new = {(record.kind, *record.key): record for record in a_run.whole()}
        new[(changed.kind, *changed.key)] = changed
        return compare(a_run.whole(), new.values(), Limits.parse(limits), **more)

    return compare_


def only(comparison):
    (finding,) = comparison.findings
    return finding


class TestValues:
    def test_a_run_equals_itself(self, a_run):
        limits = Limits.parse(["spearman=-0", "regret=+0", "score=0", "time=+0"])
        found = compare(a_run.whole(), a_run.whole(), limits)
        assert found.passed
        assert found.findings == []
        # of each estimator: ρ, regret, the time of the agreement and that of the scores, two scores
        assert found.values == 3 * 6
        assert found.cells == 3 * (1 + 2 + 1)

    @pytest.mark.parametrize(
        ("limit", "change", "worse"),
        [
            ("spearman=-0.05", -0.1, True),
            ("spearman=-0.05", -0.04, False),
            ("spearman=-0.05", 0.1, False),
            ("kendall=-5%", -0.1, True),
            ("regret=+0.01", 0.02, True),
            ("regret=+0.01", -0.02, False),
            ("p_value=+0.01", 0.02, True),
        ],
    )
    def test_only_the_worse_direction_offends(self, a_run, against, limit, change, worse):
        measure = limit.partition("=")[0]
        old = getattr(a_run.agreement(), measure)
        found = against(a_run.agreement(**{measure: old + change}), limit)
        assert found.passed is not worse
        if worse:
            finding = only(found)
            assert (finding.state, finding.cell, finding.measure) == ("worse", RHO, measure)
            assert (finding.old, finding.new) == (old, old + change)

    @pytest.mark.parametrize("score", [0.3, 0.7])
    def test_scores_may_move_in_neither_direction(self, a_run, against, score):
        found = only(against(a_run.score(score=score), "score=0.1"))
        assert (found.cell, found.layer, found.old, found.new) == (
            "embedded.asr.scores.ctc.logme",
            0,
            0.5,
            score,
        )
        assert against(a_run.score(score=score), "score=50%").passed

    def test_intervals(self, a_run):
        old = [a_run.agreement(low=0.85, high=0.95), a_run.agreement("h_score")]
        limits = Limits.parse(["spearman=interval"])
        new = [a_run.agreement(spearman=0.84), a_run.agreement("h_score", spearman=0.0)]
        worse, unbounded = compare(old, new, limits).findings
        assert (worse.state, worse.limit) == ("worse", "≥ 0.85 (interval)")
        assert (unbounded.state, unbounded.note) == ("unbounded", "no interval before")
        new[0] = a_run.agreement(spearman=0.86)
        assert not compare(old, new, limits).passed
        assert compare(old, new, limits, allowed=["unbounded"]).passed


class TestTimes:
    def test_an_estimator_slowed_threefold(self, a_run, against):
        slow = a_run.score(score_seconds=6.0)  # one of two layers: 2 + 2 before, 6 + 2 now
        found = only(against(slow, "time=+50%"))
        assert (found.cell, found.old, found.new) == ("embedded.asr.times.ctc.logme", 4.0, 8.0)
        assert found.limit == "≤ 6 (+50%)"
        assert against(slow, "time=+100%").passed
        assert only(against(a_run.agreement(score_seconds=30.0), "time=+50%")).cell == RHO

    def test_moments_are_too_short_to_compare(self, a_run):
        old, new = ([a_run.score(score_seconds=seconds)] for seconds in (0.001, 0.1))
        limit = ["time=+50%"]
        assert compare(old, new, Limits.parse(limit)).passed
        found = only(compare(old, new, Limits.parse(limit, shortest=0.0)))
        assert (found.old, found.new) == (0.001, 0.1)
        assert compare(old, [a_run.score(score_seconds=0.151)], Limits.parse(limit)).offending

    @pytest.mark.parametrize("change", [{"threads": 2}, {"device": "cuda"}, {"machine": "there"}])
    def test_times_taken_otherwise_are_not_compared(self, a_run, against, change):
        other = a_run.provenance.model_copy(update=change)
        changed = a_run.agreement(provenance=other, score_seconds=1.0)
        found = only(against(changed, "time=+50%"))
        (name, value), old = next(iter(change.items())), a_run.provenance
        assert (found.state, found.note) == ("untimed", f"{name}: {getattr(old, name)} → {value}")
        assert against(changed, "time=+50%", allowed=["untimed"]).passed
        assert against(changed, "spearman=-0.05").passed  # quality does not care

    @pytest.mark.parametrize(("then", "now"), [(2, 1), (1, 2), (2, 2)])
    def test_times_taken_beside_other_tests_are_none(self, a_run, then, now):
        def run(processes):
            origin = a_run.provenance.model_copy(update={"processes": processes})
            return [a_run.agreement(provenance=origin), a_run.score(provenance=origin)]

        found = compare(run(then), run(now), Limits.parse(["time=+50%"]))
        which = "then" if then > 1 else "now"
        assert {each.state for each in found.offending} == {"untimed"}
        assert {each.cell for each in found.offending} == {RHO, "embedded.asr.times.ctc.logme"}
        assert {each.note for each in found.offending} == {f"{which} 2 processes ran tests side by side"}
        assert compare(run(then), run(now), Limits.parse(["spearman=-0.05"])).passed

    def test_the_time_of_other_layers_is_another(self, a_run):
        old = [a_run.score(layer=0), a_run.score(layer=1)]
        found = compare(old, old[:1], Limits.parse(["time=+50%"]), allowed=["missing"])
        (untimed,) = found.offending
        assert (untimed.state, untimed.note) == ("untimed", "layers: 0, 1 → 0")


class TestAbsence:
    def test_a_missing_cell(self, a_run):
        new = [record for record in a_run.whole() if record.key != a_run.agreement().key]
        found = compare(a_run.whole(), new, Limits.parse([]))
        assert (only(found).state, only(found).cell) == ("missing", RHO)
        assert not found.passed
        assert compare(a_run.whole(), new, Limits.parse([]), allowed=["missing"]).passed

    def test_why_it_is_missing(self, a_run):
        found = compare(
            a_run.whole(),
            a_run.whole()[1:],
            Limits.parse([]),
            why_absent=lambda cell: f"skipped: {cell.estimator}",
        )
        assert only(found).note == "skipped: logme"

    def test_a_new_cell(self, a_run):
        found = compare(a_run.whole()[1:], a_run.whole(), Limits.parse([]))
        assert (only(found).state, only(found).layer) == ("new", 0)

    def test_a_failed_cell(self, a_run, against):
        failed = a_run.agreement(status="failed", error="no source speech", spearman=None, p_value=None)
        found = only(against(failed))
        assert (found.state, found.note) == ("failed", "no source speech")
        back = compare([failed], [a_run.agreement()], Limits.parse([]))
        assert (only(back).state, only(back).note) == ("new", "no value before: no source speech")

    def test_a_cell_that_never_had_a_value_is_counted_and_does_not_offend(self, a_run):
        failed = a_run.score(score=None, error="no posteriors")
        found = compare([failed, a_run.agreement()], [failed, a_run.agreement()], Limits.parse([]))
        assert found.passed
        assert found.unscored == 1

    def test_one_statistic_that_is_none(self, a_run, against):
        found = only(against(a_run.agreement(kendall=None), "kendall=-0.1"))
        assert (found.state, found.measure, found.old) == ("failed", "kendall", 0.8)
        assert against(a_run.agreement(kendall=None), "spearman=-0.1").passed

    @pytest.mark.parametrize(
        ("changes", "note"),
        [
            ({"data_revision": "d1"}, "data: d0 → d1"),
            ({"names": ["0", "2"]}, "candidates: 0, 1 → 0, 2"),
            ({"seeds_each": [1, 3]}, "seeds: 1 → 1, 3"),
            ({"seeds": 5, "seeds_each": [5, 5]}, "seeds: 1 → 5"),
        ],
    )
    def test_a_cell_made_from_something_else(self, a_run, against, changes, note):
        changed = a_run.agreement(spearman=0.1, **changes)
        found = only(against(changed))
        assert (found.state, found.note) == ("changed", note)
        allowed = against(changed, allowed=["changed"])
        assert [finding.state for finding in allowed.offending] == ["worse"]

    def test_seeds_told_one_by_one_are_the_same_seeds(self, a_run, against):
        assert against(a_run.agreement(seeds_each=[1, 1])).passed

    def test_scores_by_other_weights_or_precision(self, a_run, against):
        for changes in ({"model_revision": "w1"}, {"dtype": "bfloat16"}):
            assert only(against(a_run.score(**changes))).state == "changed"

    def test_nothing_compared_is_no_pass(self, a_run):
        found = compare(a_run.whole(), [], Limits.parse([]), allowed=list(ALLOWABLE))
        assert found.offending == []
        assert not found.passed
        assert summary(found).startswith("gate FAILED: nothing was compared")


class TestInput:
    def test_states_that_cannot_be_allowed(self, a_run):
        for state in ("worse", "mising"):
            with pytest.raises(InputError, match=f"cannot allow '{state}'; there are missing, new"):
                compare(a_run.whole(), a_run.whole(), Limits.parse([]), allowed=[state])

    def test_a_limit_that_fits_no_cell(self, a_run):
        with pytest.raises(
            InputError, match=r"spearman@\*\.lgme=-0\.1: it fits no cell .* is called embedded"
        ):
            compare(a_run.whole(), a_run.whole(), Limits.parse(["spearman@*.lgme=-0.1"]))

    def test_a_saved_run_without_results(self, a_run):
        with pytest.raises(InputError, match="nothing to compare with"):
            compare([], a_run.whole(), Limits.parse([]))


class TestCells:
    def test_names(self, a_run):
        models = a_run.agreement(setting="models", model="all", layer_policy="last")
        probe = a_run.agreement(protocol="probe")
        found = list(results([a_run.agreement(), models, probe, a_run.score(layer=1)]))
        assert [str(cell) for cell in found] == [
            RHO,
            "embedded.asr.models.last.logme",
            "embedded.asr.layers.ctc (probe).logme",
            "embedded.asr.scores.ctc.logme, layer 1",
            "embedded.asr.times.ctc.logme",
        ]

    def test_published_results_and_fine_tuning_runs(self, a_run):
        shared = {"task": "ASR", "suite": "superb", "data_revision": "r", "model": "all"}
        numbers = dict.fromkeys(
            ("spearman", "p_value", "p_value_error", "kendall", "weighted_kendall", "regret", "regret_at_3"),
            0.5,
        )
        published = PublishedRecord(
            **shared,
            **numbers,
            provenance=a_run.provenance,
            setting="models",
            estimator="parameters",
            truth="printed ranks",
            metric="WER",
            unit="%",
            direction="lower",
            candidates=9,
            exact=True,
            low=0.1,
            high=0.8,
            regret_by_chance=2.0,
        )
        names = ("model_revision", "protocol", "layer", "seed")
        tuned = TuningRecord.model_construct(**shared, **dict.fromkeys(names, ""), settings={})
        (found,) = results([published, tuned]).items()
        assert found[0] == Cell("superb", "ASR", "models", "all (printed ranks)", "parameters")
        assert found[1].intervals == {"interval": (0.1, 0.8)}
        assert "time" not in found[1].values  # that of the source, not ours

    def test_of_repeated_cells_the_last_counts(self, a_run):
        found = results([a_run.agreement(spearman=0.1), a_run.agreement(spearman=0.2)])
        assert [result.values["spearman"] for result in found.values()] == [0.2]


class TestDisplay:
    def test_layers_share_a_row_and_so_do_times_taken_otherwise(self, a_run):
        other = a_run.provenance.model_copy(update={"threads": 2})
        old = [a_run.score("nleep", 0), a_run.score("nleep", 1), a_run.score(), a_run.agreement()]
        new = [a_run.score(provenance=other), a_run.agreement(provenance=other, spearman=0.5)]
        found = compare(old, new, Limits.parse(["spearman=-0.05,time=+50%"]), allowed=["untimed"])
        lines = table(found.findings).splitlines()[2:]
        assert [" ".join(line.split()) for line in lines] == [
            "embedded.asr.scores.ctc.nleep, layers 0, 1 missing",
            f"{RHO} worse spearman 0.9 0.5 ≥ 0.85 (-0.05)",
            "2 cells untimed (allowed) time threads: 1 → 2",
        ]
        assert summary(found) == (
            "gate FAILED: 2 missing, 1 worse (1 values of 6 cells compared, 2 findings allowed)"
        )
