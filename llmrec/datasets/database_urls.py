"""Parses URLs of databases, and shows them without their passwords. Imports the standard library only."""

from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from llmrec.errors import InputError

SQLITE = "sqlite"
SCHEMES = (SQLITE, "postgresql", "postgres")
FORMS = "sqlite:///shop.db (four slashes for an absolute path) or postgresql://USER@HOST/DATABASE"


def is_database(path: str) -> bool:
    """Returns whether a path is the URL of a database."""
    return "://" in path


def database_name(url: str) -> str:
    """Returns the name of a database without the folder and the ending of its file."""
    return Path(unquote(parse_url(url).path)).stem


def parse_url(url: str) -> SplitResult:
    """Parses the URL of a database.

    Raises:
        InputError: It is not of one of the FORMS. The message does not show it, since its password cannot be told from
            the rest.
    """
    try:
        parsed = urlsplit(url)
        parsed.port  # noqa: B018, raises ValueError for what is no number
    except ValueError as error:
        raise InputError(_not_a_url()) from error
    # A / in a password ends the part with the host too early.
    is_broken = parsed.scheme != SQLITE and "@" in parsed.path
    if parsed.scheme not in SCHEMES or is_broken or not parsed.path.strip("/"):
        raise InputError(_not_a_url())
    return parsed


def _not_a_url() -> str:
    return f"path=: not the URL of a database. Give {FORMS}; write @ : / in a password as %40 %3A %2F"


def shown_url(parsed: SplitResult) -> str:
    """Returns the URL of a database without user, password and options, for messages."""
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}"


def passwords(parsed: SplitResult) -> set[str]:
    """Returns the passwords in a URL, as they stand there and decoded."""
    given = [parsed.password or "", *parse_qs(parsed.query).get("password", [])]
    return {*given, *map(unquote, given)} - {""}
