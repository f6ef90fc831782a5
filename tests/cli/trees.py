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
    """A command at work with the processes that it has started, which work in its folder as it does."""

    def __init__(self, place: Workplace, module: str, *arguments: str) -> None:
        self.command = place.start(module, *arguments)
        self.pid, self.folder = self.command.process.pid, place.root

    def when(self, holds: Callable[[], bool]) -> "Tree":
        """Waits until `holds` is true. Fails when the command ends by itself before that."""
        while not holds():
            assert self.command.process.poll() is None, f"ended too early:\n{self.command.log.read_text()}"
            time.sleep(0.002)
        return self

    def kill(self) -> None:
        """Ends it and everything that it has started, at once."""
        for process in [self.pid, *self.others()]:
            signalled(process, signal.SIGKILL)
        self.wait()

    def kill_alone(self, others: int = 1) -> None:
        """Ends it and nothing else: the others, at least so many, end by themselves."""
        started = self.others()
        signalled(self.pid, signal.SIGKILL)
        self.wait()
        assert len(started) >= others
        all_gone(started)

    def interrupt(self) -> Done:
        """Ctrl-C, which reaches the command alone: what it starts has sessions of its own."""
        started = self.others()
        signalled(self.pid, signal.SIGINT)
        done = self.wait()
        all_gone(started)
        return done

    def terminate(self) -> Done:
        """SIGTERM, which a system that shuts down or `kill` sends to the command alone."""
        started = self.others()
        signalled(self.pid, signal.SIGTERM)
        done = self.wait()
        all_gone(started)
        return done

    def wait(self) -> Done:
        """Waits for its end."""
        return self.command.wait()

    def others(self) -> list[int]:
        """The processes in its folder but for itself; the tests' server, their parent, is elsewhere."""
        working = [int(link.parent.name) for link in Path("/proc").glob("[0-9]*/cwd") if works_in(link, self.folder)]
        return [process for process in working if process != self.pid]


def works_in(link: Path, folder: Path) -> bool:
    """Whether a /proc/<process>/cwd leads to a folder; not where the process has ended or is somebody else's."""
    try:
        return link.readlink() == folder.resolve()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


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
