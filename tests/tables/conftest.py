"""What the tests of the tables' commands share: one cache with the pretrained backbone."""

from tests.cli.conftest import place, shared, trained  # noqa: F401
