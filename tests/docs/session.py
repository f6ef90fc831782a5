"""Types the commands of README.md and docs/, at scale=debug and in one folder with shared runs."""

import re
import shlex
import subprocess
from pathlib import Path

from docs.scripts.commands import Command, commands, shown_files
from tests.cli.commands import DEBUG, Done, Workplace

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [DOCS / "tutorial.md", *sorted(set(DOCS.rglob("*.md")) - {DOCS / "tutorial.md"}), REPOSITORY / "README.md"]
"""The tutorial comes first, because it makes the dataset that the page on data uses."""
GUIDES_ON_COMPONENTS = {"baselines", "metrics", "models", "objectives", "prompts", "semantic_ids", "wandb"}
COMPONENTS = [page for page in PAGES if page.parent == DOCS / "objectives" or page.stem in GUIDES_ON_COMPONENTS]
"""Pages on objectives and other components. The other pages take about as long; each half has a folder of its own, so
that two workers of pytest share the work."""
ASSIGNMENT = re.compile(r"(?P<name>[A-Z]+)=\$\(.*\)$")
PROGRAM = re.compile(
    r"(?:(?P<command>llmrec)|python -m (?P<module>[\w.]+)|python (?P<script>\w+)\.py)(?P<arguments> .*)?"
)


class Session:
    """A shell in which commands are typed one after the other; what it has run once is not run again."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.top = self.place = Workplace(root, cache)
        self.variables: dict[str, str] = {}
        self.done: set[tuple[Path, str]] = set()

    def write_files(self, page: Path) -> None:
        """Writes the files that a page shows."""
        for name, content in shown_files(page).items():
            (self.top.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top.root / name).write_text(content, encoding="utf-8")

    def type_page(self, page: Path) -> None:
        """Runs the commands of a page that are to be run, in the session's folder; each must succeed."""
        self.place = self.top
        for command in commands(page):
            if command.reason is None:
                self.type(command)

    def type(self, command: Command) -> None:
        """Runs a command, which must succeed."""
        assignment = ASSIGNMENT.match(command.line)
        if assignment is not None:
            self.variables[assignment["name"]] = self.shell(f'{command.line}; echo "${assignment["name"]}"').strip()
            return
        line = command.line
        for name, value in self.variables.items():
            line = re.sub(rf"\${name}\b", value, line)
        if line.startswith("cd "):
            self.place = Workplace(self.place.root / line[3:], self.top.cache)
        elif (self.place.root, line) not in self.done:
            self.done.add((self.place.root, line))
            done = self.run(line)
            assert done.status == 0, f"{line}\n{done.output}"

    def run(self, line: str) -> Done:
        """Runs a line; a command of llmrec is made small and needs no model to download."""
        program = PROGRAM.fullmatch(line)
        assert program is not None, f"neither a command of llmrec nor a program: {line}"
        module = program["command"] or program["module"] or program["script"]
        arguments = shlex.split(program["arguments"] or "", comments=True)
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
