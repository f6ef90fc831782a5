"""The commands of the pages on objectives and other components work as they are printed."""

from pathlib import Path

import pytest

from tests.docs.session import COMPONENTS, REPOSITORY, Session


@pytest.mark.slow
@pytest.mark.parametrize("page", COMPONENTS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_of_a_page_run(page: Path, session: Session) -> None:
    session.type_page(page)
