"""The commands of README.md, the tutorial and the guides work as they are printed."""

from pathlib import Path

import pytest

from tests.docs.session import COMPONENTS, PAGES, REPOSITORY, Session


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page not in COMPONENTS], ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_commands_of_a_page_run(page: Path, session: Session) -> None:
    session.type_page(page)
