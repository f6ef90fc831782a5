"""The file of item tokens in the config, and what keys hold of it."""

from pathlib import Path
from typing import Any

import pytest

from llmrec.catalogue.item_file import item_file, items_identity
from llmrec.errors import InputError


def tokens(file: Path | str) -> dict[str, Any]:
    return {"name": "tokens", "file": str(file)}


def test_titles_need_no_file() -> None:
    assert item_file({"name": "titles"}) is None
    assert items_identity({"name": "titles"}) == {"name": "titles"}


def test_the_content_of_the_file_counts_and_not_its_path(tmp_path: Path) -> None:
    for name, content in (("one", "{}"), ("same", "{}"), ("other", "{ }")):
        (tmp_path / name).write_text(content)
    one, same, other = (items_identity(tokens(tmp_path / name)) for name in ("one", "same", "other"))
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "tokens", "file": "???"}, r"items=tokens needs a file\. Set items\.file=FILE"),
        ({"name": "tokens", "file": None}, r"items=tokens needs a file"),
        ({"name": "ids"}, r"items\.name=ids: expected titles or tokens"),
        (tokens("nowhere.json"), r"items\.file=nowhere\.json cannot be read: No such file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        items_identity(settings)
