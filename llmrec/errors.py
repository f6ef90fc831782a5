"""The one error that is meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave cannot be used: says what was wrong, where (file, row, key) and what to do.

    Entry points print its message without a traceback and exit with status 2.
    """
