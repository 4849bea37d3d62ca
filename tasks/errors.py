"""The one error that means: what the user gave cannot be used."""


class InputError(ValueError):
    """One line that names the file, row or argument, says what was wrong, and what to do.

    The command prints it without a traceback and exits with code 2.
    """
