"""Commands with processes of their own, ended as `kill -9` or Ctrl-C ends them."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import Done, Workplace

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


class Tree:
    """A command at work, and all that it has started."""

    def __init__(self, place: Workplace, module: str, *arguments: str) -> None:
        self.command = place.start(module, *arguments)
        self.pid = self.command.process.pid or 0

    def when(self, holds: Callable[[], bool]) -> "Tree":
        """Waits until `holds` is true. Fails when the command ends by itself before that."""
        while not holds():
            assert self.command.process.is_alive(), f"ended too early:\n{self.command.log.read_text()}"
            time.sleep(0.002)
        return self

    def kill(self) -> None:
        """Ends it and everything that it has started, at once."""
        for process in [self.pid, *descendants(self.pid)]:
            signalled(process, signal.SIGKILL)
        self.wait()

    def kill_alone(self, others: int = 2) -> None:
        """Ends it and nothing else: the others, at least so many, the fork server among them, end by themselves."""
        started = descendants(self.pid)
        signalled(self.pid, signal.SIGKILL)
        self.wait()
        assert len(started) >= others
        all_gone(started)

    def interrupt(self) -> Done:
        """Ctrl-C, which reaches the command alone: what it starts has sessions of its own."""
        started = descendants(self.pid)
        signalled(self.pid, signal.SIGINT)
        done = self.wait()
        all_gone(started)
        return done

    def wait(self) -> Done:
        """Waits for its end."""
        return self.command.wait()


def descendants(process: int) -> list[int]:
    """The processes that a process and its children have started."""
    children = [int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if parent(stat) == process]
    return [*children, *(below for child in children for below in descendants(child))]


def parent(stat: Path) -> int | None:
    """The parent in a /proc/<process>/stat, None where it has ended meanwhile."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def signalled(process: int, number: int) -> None:
    """Signals a process, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def all_gone(processes: list[int]) -> None:
    """Processes have ended, or do so within a minute: other tests may have the cores."""
    until = time.monotonic() + 60
    while any(map(alive, processes)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [process for process in processes if alive(process)]


def alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
