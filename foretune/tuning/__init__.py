"""Fine-tuning: the ground truth and what it cost."""

from .finetune import fine_tune
from .frozen import FrozenFeatures
from .grid import Run, plan, run_grid
from .settings import DEFAULTS, Settings, default_settings

__all__ = [
    "DEFAULTS",
    "FrozenFeatures",
    "Run",
    "Settings",
    "default_settings",
    "fine_tune",
    "plan",
    "run_grid",
]
