"""The fixtures of the commands' tests."""

from tests.cli.conftest import shared, trained  # noqa: F401
