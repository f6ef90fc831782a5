"""A server forks processes that behave as ones that were started afresh, and end with the one that asked for them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from llmrec.processes import fork_server
from llmrec.processes.fork_server import LOST_STATUS, ForkedProcess, ForkRequest, ForkServer, start_preloaded
from llmrec.processes.process import stop_processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")

MODULES = {
    "tell": """
import atexit, os, sys, threading, time
atexit.register(print, "at exit")
print(sys.argv[1:], os.environ["WHO"], os.getcwd(), "PATH" in os.environ, sys.path[0], flush=True)
threading.Thread(target=lambda: (time.sleep(0.1), print("from a thread"))).start()
sys.exit(3)
""",
    "sleep_long": "import os, time\nprint(os.getppid(), flush=True)\ntime.sleep(600)",
    "ask": """
import os
from pathlib import Path
from llmrec.processes.fork_server import start_preloaded
process = start_preloaded("sleep_long", [], {}, Path("asked.log"))
Path("asked").write_text(f"{process.pid} {os.getppid()}")
process.wait()
""",
    "start": """
from llmrec.processes import fork_server
fork_server.RUN_IMPORTS = "json"
exec(open("ask.py").read())
""",
}
"""Modules that are run, by their names."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with MODULES, the working directory."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """A server with next to no imports."""
    started = ForkServer.start(["json"], {"PYTHONPATH": os.pathsep.join(sys.path)})
    yield started
    started.channel.close()


def fork(server: ForkServer, folder: Path, module: str, arguments: Sequence[str] = ()) -> ForkedProcess:
    """Starts one of MODULES with an environment of its own."""
    request = ForkRequest(module, arguments, {"WHO": "fork"}, str(folder), [str(folder), *sys.path])
    return server.fork(request, folder / "log")


def test_fork_behaves_as_a_fresh_interpreter(server: ForkServer, folder: Path) -> None:
    assert fork(server, folder, "tell", ["a", "b c"]).wait() == 3
    told, *ending = (folder / "log").read_text().splitlines()
    assert told == f"{['a', 'b c']} fork {folder} False {folder}"
    assert ending == ["from a thread", "at exit"]


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit('nothing to do')", 1, "nothing to do"),
        ("raise ValueError('no number')", 1, "ValueError: no number"),
        ("sys.stdout.close()", 0, ""),
    ],
)
def test_status_is_that_of_a_fresh_interpreter(
    ending: str, status: int, said: str, server: ForkServer, folder: Path
) -> None:
    (folder / "end.py").write_text(f"import atexit, sys\natexit.register(sys.stderr.write, 'at exit')\n{ending}\n")
    assert fork(server, folder, "end").wait() == status
    log = (folder / "log").read_text()
    assert said in log
    assert "at exit" in log
    fresh = subprocess.run([sys.executable, "-m", "end"], capture_output=True, text=True, check=False)
    assert fresh.returncode == status


def test_output_goes_where_that_of_the_requester_goes(
    server: ForkServer, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    request = ForkRequest("tell", [], {"WHO": "fork"}, str(folder), [str(folder), *sys.path])
    assert server.fork(request).wait() == 3
    assert "at exit" in capfd.readouterr().out


def test_statuses_of_several_forks(server: ForkServer, folder: Path) -> None:
    killed, interrupted = fork(server, folder, "sleep_long"), fork(server, folder, "sleep_long")
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(timeout=0.05)
    assert (killed.poll(), interrupted.poll()) == (None, None)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert fork(server, folder, "no_such_module").wait() == 1
    stop_processes([killed, interrupted])
    # As Python ends when nobody catches Ctrl-C.
    assert interrupted.poll() == -signal.SIGINT


def test_fork_starts_others_through_its_own_server_and_they_end_with_it(server: ForkServer, folder: Path) -> None:
    asking = fork(server, folder, "ask")
    asked, parent = pair(folder / "asked")
    until(lambda: (folder / "asked.log").read_text().strip() == str(parent))
    os.kill(asking.pid, signal.SIGKILL)
    assert asking.wait() == -signal.SIGKILL
    until(lambda: not is_running(asked))
    assert is_running(parent)


def test_server_and_forks_end_with_the_process_that_started_them(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    starter = subprocess.Popen([sys.executable, "-m", "start"], cwd=folder, env=environment)
    asked, _ = pair(folder / "asked")
    until(lambda: bool((folder / "asked.log").read_text().strip()))
    server = int((folder / "asked.log").read_text())
    starter.kill()
    starter.wait()
    until(lambda: not is_running(asked) and not is_running(server))


def test_lost_server_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_server", None)
    monkeypatch.setattr(fork_server, "RUN_IMPORTS", "json")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(str(folder))
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = start_preloaded("sleep_long", [], environment, folder / "log")
    until(lambda: bool((folder / "log").read_text().strip()))
    os.kill(int((folder / "log").read_text()), signal.SIGKILL)
    assert process.wait() == LOST_STATUS
    until(lambda: not is_running(process.pid))
    again = start_preloaded("tell", [], environment | {"WHO": "again"}, folder / "log")
    assert again.wait() == 3


def test_server_that_cannot_import_is_named(folder: Path) -> None:
    server = ForkServer.start(["no_such_module"], {"PYTHONPATH": os.pathsep.join(sys.path)})
    with pytest.raises(RuntimeError, match="the process that forks tell has ended, see what it printed"):
        fork(server, folder, "tell")


def pair(file: Path) -> tuple[int, int]:
    """The two numbers that a process leaves in a file."""
    until(lambda: file.exists() and " " in file.read_text())
    first, second = file.read_text().split()
    return int(first), int(second)


def until(holds: Callable[[], bool]) -> None:
    """Waits until `holds` is true. Fails when that takes a minute."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
