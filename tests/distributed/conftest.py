"""What the tests of the commands share: one trained run, one cache with the pretrained backbone."""

from tests.cli.conftest import place, shared, trained  # noqa: F401
