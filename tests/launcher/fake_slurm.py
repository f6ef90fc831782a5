"""sbatch, srun, sacct, scancel and scontrol of a cluster of one node: this machine. Standard library only.

`install` puts them into a folder; each is this file with the tool's name as its first argument. A job is a folder
<state>/<job id> that holds its script, its process (pid) and how it ended (state).
"""

import contextlib
import itertools
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOOLS = ("sbatch", "srun", "sacct", "scancel", "scontrol")


def install(folder: Path) -> dict[str, str]:
    """Writes the tools and returns the environment in which they are found."""
    state, binaries = folder / "jobs", folder / "bin"
    state.mkdir(parents=True)
    binaries.mkdir()
    for tool in TOOLS:
        command = shlex.join([sys.executable, "-S", str(Path(__file__).resolve()), tool])
        (binaries / tool).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (binaries / tool).chmod(0o755)
    return {"PATH": f"{binaries}:{os.environ['PATH']}", "FAKE_SLURM": str(state)}


def submissions(folder: Path) -> list[int]:
    """How many jobs each call of sbatch has submitted, in order."""
    log = folder / "jobs" / "submissions"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def states(folder: Path) -> set[str]:
    """How the jobs stand: a job is RUNNING until all of its tasks have ended."""
    return {file.read_text() for file in (folder / "jobs").glob("*/state")}


def sbatch(script: str) -> int:
    """Starts the jobs of a script, an array of them or one, and comes back at once."""
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", text, re.MULTILINE))
    if options.get("partition") == "none-such":
        print("sbatch: error: invalid partition specified: none-such", file=sys.stderr)
        return 1
    count = int(re.fullmatch(r"0-(\d+)%\d+", options["array"])[1]) + 1 if "array" in options else None
    first = new_id()
    for number in range(count or 1):
        job = first if count is None else f"{first}_{number}"
        tasks = options.get("ntasks-per-node", "1")
        variables = {
            "SLURM_JOB_ID": first if number == 0 else new_id(), "SLURM_JOB_NAME": options["job-name"],
            "SLURM_NTASKS": tasks, "SLURM_NTASKS_PER_NODE": tasks, "SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1",
            "SLURM_NODELIST": "localhost", "SLURM_JOB_NODELIST": "localhost", "SLURM_NODEID": "0",
            "SLURM_CPUS_PER_TASK": options["cpus-per-task"], "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
            **({} if count is None else {"SLURM_ARRAY_JOB_ID": first, "SLURM_ARRAY_TASK_ID": str(number)}),
        }  # fmt: skip
        folder = state() / job
        folder.mkdir()
        (folder / "state").write_text("RUNNING")
        (folder / "script").write_text(text)
        output = options["output"].replace("%A", first).replace("%a", str(number)).replace("%j", first)
        subprocess.Popen(
            [sys.executable, "-S", __file__, "job", job, output], env={**os.environ, **variables},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    with open(state() / "submissions", "a") as log:
        log.write(f"{count or 1}\n")
    print(f"Submitted batch job {first}")
    return 0


def job(name: str, output: str) -> int:
    """Runs a job's script, again where it is put back into the queue meanwhile, and notes how it ended."""
    folder = state() / name
    (folder / "pid").write_text(str(os.getpid()))
    # submitit makes the folder of the output once it knows the job's id.
    while not Path(output).parent.is_dir():
        time.sleep(0.02)
    while True:
        with open(output, "ab") as log:
            status = subprocess.run(["bash", folder / "script"], stdout=log, stderr=log, check=False).returncode
        if not (folder / "requeued").exists():
            break
        (folder / "requeued").unlink()
    (folder / "state").write_text("FAILED" if status else "COMPLETED")
    return 0


def srun(*arguments: str) -> int:
    """Starts the tasks of a step and waits for them; with --kill-on-bad-exit=1 one that fails ends the others."""
    options = [text for text in arguments if text.startswith("--")]
    rest = [text for text in arguments if not text.startswith("--")]
    # srun --unbuffered --output <file> <options> <command>
    output, command = rest[0], arguments[arguments.index(rest[1]) :]
    number = os.environ.get("SLURM_ARRAY_TASK_ID", "")
    output = output.replace("%A", os.environ.get("SLURM_ARRAY_JOB_ID", "")).replace("%a", number)
    tasks = []
    for task in range(int(os.environ["SLURM_NTASKS"])):
        log = open(output.replace("%j", os.environ["SLURM_JOB_ID"]).replace("%t", str(task)), "ab")  # noqa: SIM115
        variables = {
            "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task), "SLURM_STEP_NUM_TASKS": os.environ["SLURM_NTASKS"],
            "SLURM_STEP_NODELIST": "localhost", "SLURM_STEPID": "0",
        }  # fmt: skip
        tasks.append(subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log))
    while any(task.poll() is None for task in tasks):
        if any(task.poll() for task in tasks) and "--kill-on-bad-exit=1" in options:
            for task in tasks:
                task.kill()
        time.sleep(0.02)
    return max(abs(task.returncode) for task in tasks)


def sacct(*arguments: str) -> int:
    """The states of jobs and of those of their arrays."""
    print("JobID|State|NodeList")
    for before, name in itertools.pairwise(arguments):
        for folder in state().glob(f"{name}*") if before == "-j" else ():
            print(f"{folder.name}|{(folder / 'state').read_text()}|localhost")
    return 0


def scancel(name: str, *options: str) -> int:
    """Ends a job and all that it has started; with --signal <name> it only signals the tasks and what they started."""
    folder = state() / name
    levels = generations(int((folder / "pid").read_text()))
    if options:
        # Below the job, its script and srun.
        send(levels[3:], signal.Signals[f"SIG{options[1]}"])
        return 0
    send(levels, signal.SIGKILL)
    (folder / "state").write_text("CANCELLED")
    return 0


def scontrol(what: str, name: str) -> int:
    """Puts a job back into the queue."""
    assert what == "requeue"
    (state() / name / "requeued").touch()
    return 0


def generations(process: int) -> list[list[int]]:
    """A process, its children, their children and so on, which may have sessions of their own."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = [[int(word) for word in line.split()] for line in listed.splitlines()]
    found = [[process]]
    while below := [child for child, parent in parents if parent in found[-1]]:
        found.append(below)
    return found


def send(levels: list[list[int]], number: int) -> None:
    """Signals processes that have not ended."""
    for process in (process for level in levels for process in level):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def state() -> Path:
    """Where jobs lie."""
    return Path(os.environ["FAKE_SLURM"])


def new_id() -> str:
    """A job id whose last digits, from which Lightning makes a port, are of a free one."""
    while True:
        number = random.randrange(10_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", 15_000 + number))
            return f"7{number:04d}"


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
