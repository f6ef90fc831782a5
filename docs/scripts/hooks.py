"""Hooks of mkdocs: generated pages, notebooks, formulas as MathML, links to files of the repository."""

import re
import sys
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from docs.scripts.pages import commands_page, config_page  # noqa: E402

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+((?:experiments|conf|llmrec|tests)/[^)]+|[A-Z]+\.md)\)")
"""A link from a page to a file of the repository, which the site does not hold."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and a page for each notebook, which stays beside it for downloading."""
    docs = REPOSITORY / "docs"
    generated = {"reference/config.md": config_page(REPOSITORY / "conf"), "reference/commands.md": commands_page(docs)}
    for notebook in docs.rglob("*.ipynb"):
        generated[str(notebook.relative_to(docs).with_suffix(".md"))] = _notebook_page(notebook)
    for path, text in generated.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replaces links to files of the repository by their paths.

    Raises:
        FileNotFoundError: A link names a file that does not exist.
    """
    for _text, path in OUTSIDE.findall(markdown):
        if not (REPOSITORY / path).exists():
            raise FileNotFoundError(f"a page links to {path}, which does not exist")
    return OUTSIDE.sub(lambda match: _named(match[1], match[2]), markdown)


def on_page_content(html: str, **_: object) -> str:
    """Renders formulas as MathML, which browsers display without a script."""
    return FORMULA.sub(lambda match: _mathml(match[2], match[1] == "div"), html)


def on_post_page(output: str, **_: object) -> str:
    """Names the dialog of the search for screen readers, which the theme does not."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def _notebook_page(notebook: Path) -> str:
    """Returns a notebook with its saved outputs as Markdown, whose links mkdocs checks as those of other pages."""
    text, _ = MarkdownExporter().from_filename(str(notebook))
    # The theme displays tables without a class as those of other pages.
    heading, rest = text.replace('<table border="1" class="dataframe">', "<table>").strip().split("\n", 1)
    return f"{heading}\n\n[Download the notebook]({notebook.name})\n{rest}\n"


def _named(text: str, path: str) -> str:
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"


def _mathml(latex: str, is_block: bool) -> str:
    unescaped = latex.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if not is_block:
        return convert(unescaped, display="inline")
    # A wide formula scrolls, which needs the focus where there is no mouse.
    return convert(unescaped, display="block").replace("<math ", '<math tabindex="0" ', 1)
