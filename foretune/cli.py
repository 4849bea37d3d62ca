"""The command `foretune`: rank, align, list, check, tune, judge, pretrain, report, compare, merge.

What the user gave and cannot be used is one line on standard error, and exit code 2. Heavy imports
happen inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from foretune import commands
from foretune.tasks.errors import InputError
from foretune.terminal import say


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command; what the user gave and cannot be used is one line, not a traceback."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from foretune.estimators import MissingInputError, UnknownEstimatorError

            if not isinstance(error, InputError | MissingInputError | UnknownEstimatorError):
                raise
            say(f"foretune: error: {' '.join(str(error).split())}")
            raise typer.Exit(2) from None


app = typer.Typer(
    name="foretune",
    cls=_Commands,
    help="""Rank pre-trained speech models, and their layers, before fine-tuning any of them.

Start with `foretune rank --task emotion_recognition --data manifest.csv --model all`.
""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command()(commands.rank)
app.command()(commands.align)
app.command("list")(commands.list_)
app.command()(commands.check)
app.command()(commands.tune)
app.command()(commands.judge)
app.command()(commands.pretrain)
app.command()(commands.report)
app.command()(commands.compare)
app.command()(commands.merge)


ENVIRONMENT = {
    # the libraries' own remarks and bars would stand between ours
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # torch keeps a compiled convolution for each of the last 1,024 lengths of speech, some 50 MB of them
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    # torch's threads turn round for milliseconds until the last one has done its part: beside other work that
    # has taken that one's core, filter banks took 27 times as long; to sleep sooner costs 3 % in quiet
    "GOMP_SPINCOUNT": "1000",
}
"""What the command sets for the libraries that it uses, unless the user has."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
        argv: what follows the command's name; that of the process by default.

    Raises:
        SystemExit: always; 0 where all went well, 1 where fine-tuning runs failed, a promise is broken
            or a run is worse than the saved one, 2 where something given cannot be used.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    app(args=None if argv is None else list(argv))
