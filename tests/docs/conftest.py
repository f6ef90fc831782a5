"""The fixtures of the commands' tests."""

import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.conftest import shared, trained  # noqa: F401
from tests.docs.session import PAGES, Session


@pytest.fixture(scope="module")
def session(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> Session:  # noqa: F811
    """A folder with every file that the pages show."""
    session = Session(tmp_path_factory.mktemp("docs"), trained[0].cache)
    for page in PAGES:
        session.write_files(page)
    return session
