"""The ways in which tests damage a file."""

from collections.abc import Callable
from pathlib import Path


def flip_byte(file: Path) -> None:
    """Changes one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    """Leaves the first half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    """Leaves nothing."""
    file.write_bytes(b"")


DAMAGES: list[Callable[[Path], None]] = [flip_byte, truncate, empty]
