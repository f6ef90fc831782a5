"""Exceptions whose messages are shown to the user."""


class InputError(ValueError):
    """Invalid input from the user. The message states what is wrong, where (file, row, key) and what to do.

    Entry points print the message without a traceback and exit with status 2.
    """


class SettingsError(InputError):
    """A setting is unknown or has a value that it cannot have. A sweep with such a job starts no job."""


class BusyError(InputError):
    """Another process is working on the same run. Entry points exit with status BUSY, and a launcher tries again."""


BUSY = 75
"""Exit status of a BusyError: EX_TEMPFAIL of sysexits.h."""


def shortened(text: str, limit: int = 80) -> str:
    """Returns a text for a message, cut to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
