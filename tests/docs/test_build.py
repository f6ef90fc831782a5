"""The site builds without a warning, asks nothing of the network, and names every key of the configuration."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from omegaconf import OmegaConf

from docs.scripts.pages import config_page
from docs.scripts.yaml_keys import Key, keys
from tests.accessibility import violations
from tests.tables.conftest import browser  # noqa: F401

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = (
    "index",
    "tutorial",
    "howto/serve",
    "objectives/msl",
    "reference/config",
    "reference/api",
    "notebooks/python_api",
    "research_log",
)
"""Pages with links, code in two languages, tables, formulas, a drawing and signatures."""
TABLES_ARE_READY = """() => [...document.querySelectorAll('.md-content table:not([class])')]
  .every((table) => table.closest('[tabindex]'))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_nothing_of_the_network(site: Path) -> None:
    pages = {file: file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    assert len(pages) > 25
    for file, html in pages.items():
        assert not re.findall(r"""<(?:script|img|iframe)[^>]+src=["']?https?:[^>]*>""", html), file
        assert not re.findall(
            r"""<link[^>]+rel=["']?(?:stylesheet|icon|preconnect)[^>]+href=["']?https?:[^>]*>""", html
        ), file
    formula = (site / "objectives/msl.html").read_text(encoding="utf-8")
    assert 'display="block"' in formula
    assert "arithmatex" not in formula


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_opened_from_disk_are_accessible_and_silent(
    browser: "Browser",  # noqa: F811
    site: Path,
    width: int,
    scheme: str,
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    logged, asked = list[str](), list[str]()
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    faults = {}
    for name in PAGES:
        page.goto((site / f"{name}.html").as_uri())
        # The theme's script wraps tables, and docs.js works on what it has wrapped.
        page.wait_for_function(TABLES_ARE_READY)
        faults[name] = violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width, name
    assert faults == {name: [] for name in PAGES}
    assert logged == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    page.close()


def test_every_key_of_conf_is_on_the_page() -> None:
    page = config_page(REPOSITORY / "conf")
    for file in (REPOSITORY / "conf").rglob("*.yaml"):
        if "hydra" in file.parts:
            continue
        names = {
            name
            for name in flat(OmegaConf.to_container(OmegaConf.load(file)))
            if not name.startswith(("defaults", "hydra"))
        }
        for name in names:
            assert re.search(rf"^\| `(?:[\w.]+\.)?{re.escape(name)}` \|", page, re.MULTILINE), (file, name)


def test_keys_have_the_comments_above_and_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "option.yaml"
    file.write_text(
        "# How to use it\ndefaults:\n  - other\n\nname: a  # beside\n# above\nlist: [1, 2]\n"
        "nested:            # of the mapping\n  inner: 5  # five\n                   # and more\n"
        "text: |\n  # no comment\n"
    )
    assert keys(file) == [
        Key("name", "a", "beside"),
        Key("list", "[1, 2]", "above"),
        Key("nested", "", "of the mapping"),
        Key("nested.inner", "5", "five and more"),
        Key("text", "(a text)", ""),
    ]


def flat(settings: Any, parent: str = "") -> Iterator[str]:
    """The full names of all keys, but for those inside of mappings that are written in one line."""
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield f"{parent}{key}"
            if key not in ("defaults", "wording", "titles", "shares", "pretraining", "columns", "space"):
                yield from flat(value, f"{parent}{key}.")
