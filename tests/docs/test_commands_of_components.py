"""The commands of the pages on objectives and other components work as they are printed; those of any page that are not
run have known settings."""

import re
import shlex
from pathlib import Path

import pytest

from docs.scripts.commands import commands
from tests.docs.session import COMPONENTS, PAGES, REPOSITORY, Session

RUN = re.compile(r"(?:[A-Z_]+=\S+ )?python -m llmrec\.run (?P<arguments>.*)")


@pytest.mark.slow
@pytest.mark.parametrize("page", COMPONENTS, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_of_a_page_run(page: Path, session: Session) -> None:
    session.type_page(page)


@pytest.mark.slow
def test_settings_of_commands_that_are_not_run_are_known(session: Session) -> None:
    skipped = {command.line for page in PAGES for command in commands(page) if command.reason is not None}
    checked = 0
    for line in sorted(skipped):
        match = RUN.fullmatch(line)
        if match is None or "interval(" in line:
            continue
        # Of a sweep, the first job.
        overrides = [
            re.sub(r"^([\w./]+=[^\[{,]+),.*", r"\1", word) for word in shlex.split(match["arguments"]) if word != "-m"
        ]
        done = session.top.run("llmrec.run", *overrides, "--cfg", "job")
        assert done.status == 0, f"{line}\n{done.output}"
        checked += 1
    assert checked >= 10
