"""The errors that are meant for the user's eyes."""


class InputError(ValueError):
    """Something the user gave cannot be used: says what was wrong, where (file, row, key) and what to do.

    Entry points print its message without a traceback and exit with status 2.
    """


class BusyError(InputError):
    """Another process is at work on the cell; entry points exit with status BUSY, so that a launcher tries again."""


BUSY = 75
"""EX_TEMPFAIL of sysexits.h."""
