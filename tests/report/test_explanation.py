"""Why an estimator agrees as it does: figures worked by hand from made-up agreements."""

from __future__ import annotations

import made_up
import pytest

from foretune.experiments import REBUILT
from foretune.report import experiments
from foretune.report.explanation import Pairs, explain, pairs

CAUTION = REBUILT["hubert"].caution
VALUES = [0.9, 0.5, 0.4, 0.38]
SCORES = [0.1, 0.4, 0.3, 0.2]


def cell(**changes):
    """Four layers, each alone; two means of three seeds differ surely by 2 · 0.03 · √(2/3) = 0.049."""
    values = {
        "task": "phoneme_recognition", "model": "hubert2", "protocol": "single-layer", "metric": "per",
        "names": ["0", "1", "2", "3"], "candidates": 4, "scores": SCORES, "values": VALUES,
        "deviations": [0.03] * 4, "spearman": 0.2,
    }  # fmt: skip
    return made_up.agreement(**(values | changes))


class TestPairs:
    def test_by_hand(self):
        # only the last two are too near; 1 is scored above 2 and 3, which are better, and 2 above 3
        assert pairs(cell()) == Pairs(sure=5, sure_right=3.0, near=1, near_right=0.0)
        assert pairs(cell()).wrong == 3

    def test_equal_scores_are_half_right(self):
        assert pairs(cell(scores=[0.1, 0.3, 0.3, 0.3])) == Pairs(5, 4.0, 1, 0.5)

    def test_where_higher_is_better_the_order_turns(self):
        turned = cell(direction="higher")
        assert pairs(turned) == Pairs(5, 2.0, 1, 1.0)

    def test_more_seeds_tell_more_pairs_apart(self):
        # the last two: 2 · 0.03 · √(2/n) is less than 0.02 beyond 18 seeds
        assert pairs(cell(seeds=17)).near == 1
        assert pairs(cell(seeds=19)).near == 0
        # the others are told apart still: 2 · 0.03 · √(1/3 + 1/19) = 0.037
        assert pairs(cell(seeds_each=[3, 3, 3, 19])).sure == 5

    def test_seeds_that_never_differ_confuse_nothing_and_one_seed_says_nothing(self):
        assert pairs(cell(deviations=[0.0] * 4)).near == 0
        assert pairs(cell(deviations=[None] * 4, seeds=1)) is None


class TestText:
    def test_by_hand(self):
        text = explain(cell(ceiling=0.874, utterance_low=-0.25, utterance_high=0.5))
        assert text == (
            "**logme** agrees by ρ = 0.20, where the seeds leave 0.87 to an estimator that knows the truth; "
            "scores of endless speech would agree by -0.25 to 0.50. Of 6 pairs of layers, 5 differ in PER by "
            "more than the seeds can confuse (2 standard errors of the difference): it orders 60 % of these "
            "rightly, and 0 % of the 1 too near to tell. Of 3 pairs in the wrong order, 2 differ surely: the "
            "scores err there. Whether they err on the other 1, only more seeds can tell. Ranked furthest "
            "from where fine-tuning puts them: layer 1 (1 instead of 3), layer 3 (3 instead of 1)."
        )

    def test_cut_encoders_are_set_beside_layers_alone(self):
        # the reverse order, in one candidate more
        more = {"names": ["0", "1", "2", "3", "4"], "candidates": 5, "deviations": [0.03] * 5}
        values = [0.1, 0.2, 0.3, 0.4, 0.5]
        cut = cell(protocol="layer", spearman=-0.4, scores=[*SCORES, 0.0], values=values, **more)
        sentence = (
            "the same scores agree by ρ = -0.40; the two ways to fine-tune agree with each other by -1.00."
        )
        assert explain(cell(), cut).endswith(sentence)
        assert "two ways" not in explain(cell())

    def test_a_perfect_ranking_has_no_wrong_pairs(self):
        text = explain(cell(scores=[0.1, 0.2, 0.3, 0.4], spearman=1.0))
        assert "wrong" not in text
        assert "furthest" not in text
        assert "100 % of these rightly, and 100 % of the 1 too near" in text

    def test_models_and_noise_that_hides_all(self):
        text = explain(cell(setting="models", model="all", names=["a", "b", "c", "d"], deviations=[9.0] * 4))
        assert "Of 6 pairs of models, 0 differ in PER" in text
        assert "(2 standard errors of the difference); it orders 50 % of the 6 too near to tell." in text
        assert "b (1 instead of 3)" in text

    def test_ties_are_said(self):
        assert "Of 1.5 pairs in the wrong order (ties count half), 1 differ surely" in explain(
            cell(scores=[0.1, 0.3, 0.3, 0.3])
        )

    def test_one_seed_leaves_the_ranks(self):
        text = explain(cell(deviations=[None] * 4, seeds=1))
        assert text.startswith("**logme** agrees by ρ = 0.20. Ranked furthest")

    def test_no_score_no_text(self):
        failed = cell(status="failed", error="no", spearman=None, scores=[None] * 4)
        assert explain(failed) == ""


class TestInTheExperiments:
    @pytest.mark.parametrize("with_cut", [True, False])
    def test_it_stands_below_the_table(self, with_cut):
        cut = [cell(protocol="layer", spearman=0.8)] if with_cut else []
        parts = experiments.section([cell(), cell(estimator="tsne_distance"), *cut], [])
        assert parts[-2] == explain(cell(), *cut)
        assert parts[-3].startswith("| task")
        assert parts[-1] == CAUTION

    def test_without_logme_there_is_none(self):
        parts = experiments.section([cell(estimator="tsne_distance")], [])
        assert parts[-2].startswith("| task")
        assert parts[-1] == CAUTION
