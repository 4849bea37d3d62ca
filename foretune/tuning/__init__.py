"""Fine-tuning: the ground truth and what it cost."""

from .finetune import fine_tune
from .frozen import FrozenFeatures
from .further import further_runs
from .grid import data_of, run_grid
from .planning import Run, plan
from .settings import DEFAULTS, Settings, default_settings

__all__ = [
    "DEFAULTS",
    "FrozenFeatures",
    "Run",
    "Settings",
    "data_of",
    "default_settings",
    "fine_tune",
    "further_runs",
    "plan",
    "run_grid",
]
