"""The site builds without a warning, asks nothing of the network, and names every key of the configuration."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from omegaconf import OmegaConf

from docs.scripts.pages import config_page
from docs.scripts.yaml_keys import Key, keys

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_site_builds_strictly_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    pages = {file: file.read_text(encoding="utf-8") for file in tmp_path.rglob("*.html")}
    assert len(pages) > 25
    for file, html in pages.items():
        assert not re.findall(r"""<(?:script|img|iframe)[^>]+src=["']?https?:[^>]*>""", html), file
        assert not re.findall(
            r"""<link[^>]+rel=["']?(?:stylesheet|icon|preconnect)[^>]+href=["']?https?:[^>]*>""", html
        ), file
    formula = (tmp_path / "objectives/msl.html").read_text(encoding="utf-8")
    assert 'display="block"' in formula
    assert "arithmatex" not in formula


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
