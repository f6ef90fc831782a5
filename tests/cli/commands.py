"""Runs llmrec's commands as processes of their own, in a folder away from the checkout."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llmrec.command import ENDING, TERMINATED
from llmrec.processes.fork_server import ForkedProcess, ForkRequest, ForkServer

DEBUG = ("scale=debug", "trainer.progress=false")
PAUSE_BEFORE_RENAMING = "PAUSE_BEFORE_RENAMING"
"""Environment variable with a pattern of temporary files. A command that has written such a file waits for a signal, so
that a test can end it at this moment however busy the machine is."""


@functools.cache
def fork_server() -> ForkServer:
    """The one server of all this process's tests, also of the processes that their commands start."""
    return ForkServer.start(["tests.cli.warm"], {"PYTHONPATH": os.pathsep.join(sys.path)})


@dataclass(frozen=True)
class Done:
    """A command that ended: its exit status and what it printed, stdout and stderr in one."""

    status: int
    output: str

    def last_line(self) -> str:
        """The last line that says something."""
        return self.output.strip().splitlines()[-1]

    def record(self) -> Path:
        """The folder that the run named as its record; of a run with a stage, the run's own, which comes last."""
        return Path([line for line in self.output.splitlines() if line.startswith("record: ")][-1][8:])

    def run(self) -> Path:
        """The folder of the training that the record belongs to."""
        return self.record().parents[1]


@dataclass
class Started:
    """A command at work."""

    process: ForkedProcess
    log: Path

    def kill_when(self, holds: Callable[[], bool], by: signal.Signals = signal.SIGKILL) -> None:
        """Ends the command by a signal once `holds` is true. Fails when it ends by itself before that."""
        while not holds():
            assert self.process.poll() is None, f"ended before it could be killed:\n{self.log.read_text()}"
            time.sleep(0.002)
        os.kill(self.process.pid, by)
        assert self.process.wait() == (TERMINATED if by in ENDING else -by)

    def wait(self) -> Done:
        """Waits for its end."""
        return Done(self.process.wait(), self.log.read_text(encoding="utf-8"))


def ended_by_sigterm(done: Done, module: str) -> bool:
    """Whether a command ended with status 143 and one line that says what was ended, without a traceback."""
    line = f"{module}: ended by SIGTERM; the same command goes on from here"
    said = [text for text in done.output.splitlines() if line in text]
    return done.status == TERMINATED == 143 and len(said) == 1 and "Traceback" not in done.output


@dataclass(frozen=True)
class Workplace:
    """A folder to run commands in, with its own data and runs; the cache may be shared, for pretraining takes time."""

    root: Path
    cache: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> Path:
        """Where records go."""
        return self.root / "runs"

    @property
    def data(self) -> Path:
        """Where real sets are looked for."""
        return self.root / "data"

    def environment(self) -> dict[str, str]:
        """What the commands find in their environment: no settings of W&B but the workplace's own."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        folders = {"LLMREC_DATA": self.data, "LLMREC_CACHE": self.cache, "LLMREC_RUNS": self.runs}
        own = {name: str(folder) for name, folder in folders.items()}
        return {**inherited, **own, "OMP_NUM_THREADS": "1", **self.variables}

    def typed(self, module: str, *arguments: str) -> Done:
        """`python -m module arguments`, as a user types it, in a fresh interpreter."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=self.root, env=self.environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    def start(self, module: str, *arguments: str) -> Started:
        """The same in a process that is forked where the imports are done already: seconds faster."""
        log = self.root / f"{time.monotonic_ns()}.log"
        # `python -m` puts the folder that it runs in first.
        request = ForkRequest(module, arguments, self.environment(), str(self.root), [str(self.root), *sys.path])
        return Started(fork_server().fork(request, log), log)

    def run(self, module: str, *arguments: str) -> Done:
        """Starts the command and waits for its end."""
        return self.start(module, *arguments).wait()

    def train(self, *overrides: str) -> Done:
        """A run of scale debug that logs to curves.csv alone, unless the overrides say otherwise; it must succeed."""
        done = self.run("llmrec.run", *DEBUG, "logger=csv", *overrides)
        assert done.status == 0, done.output
        return done
