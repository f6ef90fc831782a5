"""One trained run and one cache for all tests of the commands, made once even where pytest runs several workers."""

import fcntl
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.cli.commands import DEBUG, Done, Workplace

Made = TypeVar("Made")
SHORT = (*DEBUG, "logger=csv", "evaluation.users=5", "dataset.reference=null")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of this pytest run share."""
    own = tmp_path_factory.getbasetemp()
    return own if worker_id == "master" else own.parent


@pytest.fixture(scope="session")
def trained(shared: Path) -> tuple[Workplace, Done]:
    """The issue's main job as a user types it, at scale debug: where it ran and what it said."""
    place = Workplace(shared / "trained", shared / "cache")

    def train() -> Done:
        place.root.mkdir()
        done = place.typed("llmrec.run", "objective=msl", "dataset=games", *DEBUG, "logger=csv")
        assert done.status == 0, done.output
        return done

    return place, once(shared / "trained.pickle", train)


@pytest.fixture(scope="session")
def swept(shared: Path, trained: tuple[Workplace, Done]) -> tuple[Workplace, Done]:
    """A sweep over the preference objectives."""
    place = Workplace(shared / "swept", trained[0].cache)

    def sweep() -> Done:
        place.root.mkdir()
        # The other worker may be waiting for it.
        sweep = ("-m", "objective=dpo,rosepo", "dataset=games", "launcher.jobs=2")
        return place.run("llmrec.run", *sweep, *SHORT)

    return place, once(shared / "swept.pickle", sweep)


@pytest.fixture
def place(trained: tuple[Workplace, Done], tmp_path: Path) -> Workplace:
    """A workplace of the test's own; only the cache, with the pretrained backbone, is shared."""
    return Workplace(tmp_path, trained[0].cache)


def once(file: Path, make: Callable[[], Made]) -> Made:
    """What `make` gives, made by the first worker that comes; the others wait and read it."""
    with open(file.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_bytes(pickle.dumps(make()))
        made: Made = pickle.loads(file.read_bytes())
        return made
