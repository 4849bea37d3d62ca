"""Gates: what a threshold lets through, what a file may say, and that the shipped file is sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretune.estimators import ESTIMATORS
from foretune.gates import LOW, NO_GATE, Gate, Gates
from foretune.tasks import TASKS
from foretune.tasks.errors import InputError

SHIPPED = Path(__file__).parents[2] / "bench" / "gates.toml"


class TestGate:
    GATE = Gate(least_spearman=0.6, largest_p_value=0.05)

    def test_thresholds_themselves_pass(self):
        assert self.GATE.violations(0.6, 0.05) == []

    def test_each_threshold_is_its_own_violation(self):
        assert self.GATE.violations(0.59, 0.01) == ["Spearman's ρ is 0.59, must be at least 0.6"]
        assert self.GATE.violations(0.9, 0.051) == ["p is 0.051, must be at most 0.05"]
        assert len(self.GATE.violations(-1.0, 0.3)) == 2

    def test_a_missing_statistic_breaks_what_is_gated(self):
        assert len(self.GATE.violations(None, None)) == 2
        assert NO_GATE.violations(None, None) == []

    @pytest.mark.parametrize("low", [{}, {"least_spearman": LOW - 0.01}, {"largest_p_value": 0.05}])
    def test_low_or_absent_needs_a_reason(self, low):
        with pytest.raises(ValueError, match="give the reason"):
            Gate(**low)
        assert Gate(**low, reason="so it is").reason


class TestGates:
    def read(self, tmp_path, text):
        path = tmp_path / "gates.toml"
        path.write_text(text)
        return Gates.read(path)

    def test_cells(self, tmp_path):
        gates = self.read(
            tmp_path,
            '[asr.layers."ctc.v2".logme]\nleast_spearman = 0.7\n[asr.models.random]\nreason = "a baseline"\n',
        )
        assert gates.of("asr", "layers", "ctc.v2", "logme") == Gate(least_spearman=0.7)
        assert gates.of("asr", "models", "all", "random").reason == "a baseline"
        assert gates.of("asr", "models", "all", "logme") == NO_GATE

    def test_layers_that_were_fine_tuned_otherwise_have_gates_of_their_own(self, tmp_path):
        gates = self.read(
            tmp_path,
            "[asr.layers.ctc.logme]\nleast_spearman = 0.7\n"
            "[asr.single-layer.ctc.logme]\nleast_spearman = 0.6\n",
        )
        assert gates.of("asr", "layers", "ctc", "logme").least_spearman == 0.7
        assert gates.of("asr", "layers", "ctc", "logme", "single-layer").least_spearman == 0.6
        assert gates.of("asr", "layers", "ctc", "logme", "probe") == NO_GATE

    def test_models_that_were_probed_have_gates_of_their_own(self, tmp_path):
        gates = self.read(
            tmp_path, "[asr.models.logme]\nleast_spearman = 0.7\n[asr.probe.logme]\nleast_spearman = 0.6\n"
        )
        assert gates.of("asr", "models", "all", "logme").least_spearman == 0.7
        assert gates.of("asr", "models", "all", "logme", "probe").least_spearman == 0.6
        assert gates.of("asr", "models", "all", "ridge", "probe") == NO_GATE

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[asr", "not TOML"),
            ("asr = 3", "expected asr as a table of settings, found 3"),
            ("[asr.frames.logme]\n", r"asr\.frames: a setting is one of models, layers, single-layer, probe"),
            ("[asr.models.logme]\nleast_spearmen = 0.5", r"asr\.models\.all\.logme\.least_spearmen"),
            ("[asr.models.logme]\nleast_spearman = 1.5", "less than or equal to 1"),
            (
                "[asr.models.logme]\nleast_spearman = nan\nreason = 'x'",
                r"asr\.models\.all\.logme\.least_spearman",
            ),
            ("[asr.models.logme]\nleast_spearman = 0.1", "give the reason"),
            ("[asr.layers.logme]\nleast_spearman = 0.9", r"asr\.layers\.logme\.least_spearman: .*dictionary"),
        ],
    )
    def test_what_is_no_gate(self, tmp_path, text, message):
        with pytest.raises(InputError, match=message):
            self.read(tmp_path, text)

    def test_missing_file(self, tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            Gates.read(tmp_path / "absent.toml")


class TestShippedFile:
    def test_every_cell_names_a_task_and_an_estimator(self):
        for task, _, _, estimator in Gates.read(SHIPPED).cells:
            assert task in TASKS
            assert estimator in ESTIMATORS
