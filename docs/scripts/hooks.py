"""Hooks of mkdocs: pages generated from conf/ and from the commands, formulas as MathML, links to files of the repository."""

import re
import sys
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(Path(__file__).parent)]

from pages import commands_page, config_page  # noqa: E402

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
OUTSIDE = re.compile(
    r"\]\(((?:\.\./)+)((?:experiments|conf|llmrec|tests|README|ARCHITECTURE|PAPERS|CHANGELOG|LICENSE)[^)]*)\)"
)
"""A link out of docs/ to a file of the repository."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are generated from the YAML files and the commands."""
    generated = {"reference/config.md": config_page(REPOSITORY / "conf"), "reference/commands.md": commands_page()}
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replaces links to files outside of docs/ by their paths, since the site does not hold these files.

    Raises:
        FileNotFoundError: A file that a link names does not exist.
    """
    for path in {match[2].partition("#")[0] for match in OUTSIDE.finditer(markdown)}:
        if not (REPOSITORY / path).exists():
            raise FileNotFoundError(f"docs link to {path}, which does not exist")
    return re.sub(
        r"\[([^\]]+)\]\((?:\.\./)+((?:experiments|conf|llmrec|tests)/[^)]*|[A-Z]+\.md[^)]*)\)", _plain, markdown
    )


def on_page_content(html: str, **_: object) -> str:
    """Renders formulas as MathML, which browsers display without a script."""
    return FORMULA.sub(lambda match: _mathml(match[2], match[1] == "div"), html)


def _plain(match: re.Match[str]) -> str:
    text, path = match[1], match[2]
    return text if text.strip("`") == path else f"{text} (`{path}`)"


def _mathml(latex: str, block: bool) -> str:
    unescaped = latex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return convert(unescaped, display="block" if block else "inline")
