"""The commands, by what they are for; `foretune.cli` puts them together."""

from .comparison import compare
from .fine_tuning import pretrain, tune
from .inspection import check, list_
from .ranking import align, rank
from .results import judge, merge, report

__all__ = ["align", "check", "compare", "judge", "list_", "merge", "pretrain", "rank", "report", "tune"]
