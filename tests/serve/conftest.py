"""Two small runs, a tuned model and a baseline, that all tests of the server share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from llmrec.serve.app import build_app
from llmrec.serve.served_run import ServedRun
from llmrec.serve.server import Settings, bound_socket, http_server, run_configs
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.tables.conftest import browser  # noqa: F401
from tests.training.small import composed

K = 5


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, cache and runs of its own."""
    return tmp_path_factory.mktemp("serve")


@contextmanager
def environment(workplace: Path) -> Iterator[None]:
    """Has opened runs look for data, cache and other runs in the workplace."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("data", "cache", "runs"):
            patch.setenv(f"LLMREC_{name.upper()}", str(workplace / name))
        yield


@pytest.fixture(autouse=True)
def in_workplace(workplace: Path) -> Iterator[None]:
    with environment(workplace):
        yield


@pytest.fixture(scope="session")
def folders(workplace: Path) -> list[Path]:
    """The folders of the runs: MSL, then the popularity baseline."""
    found = []
    for method in ("objective=msl", "baseline=popularity"):
        with environment(workplace), composed(workplace, method, "trainer.epochs=1") as config:
            run_configuration(config)
            found.append(workplace / "runs" / run_path(config))
    return found


@pytest.fixture(scope="session")
def runs(workplace: Path, folders: list[Path]) -> list[ServedRun]:
    """The opened runs, with room for 40 waiting requests each."""
    settings = Settings.read({"run": ",".join(map(str, folders)), "k": str(K)})
    with environment(workplace):
        return [ServedRun(config, RunFolder(folder), 40) for folder, config in run_configs(settings, [], None).items()]


@pytest.fixture
def client(runs: list[ServedRun]) -> TestClient:
    """A client of the application. Its lifespan is not run, since closing would end the shared queues."""
    return TestClient(build_app(runs, K, timeout_s=60))


@pytest.fixture
def titles(runs: list[ServedRun]) -> list[str]:
    """The titles of the catalogue."""
    return runs[0].titles.titles


@pytest.fixture(scope="module")
def address(runs: list[ServedRun]) -> Iterator[str]:
    """The address of a server of the runs in a thread of this process."""
    with served(runs) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def served(runs: list[ServedRun]) -> Iterator[int]:
    """Serves runs in a thread of this process and gives the port."""
    server = http_server(build_app(runs, K, timeout_s=60), timeout_s=60)
    # The lifespan would close the shared queues.
    server.config.lifespan = "off"
    listener = bound_socket("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
