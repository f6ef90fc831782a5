"""What the tests of the report's page have in common."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

Open = Callable[..., "Page"]
"""Opens a report in the browser."""
Said = dict[str, list[str]]
"""What a page has said and asked for, by event."""


def row_names(page: "Page") -> list[str]:
    heads = page.locator("#msl_accuracy .results tbody th")
    names: list[str] = heads.evaluate_all("all => all.map(e => e.firstChild.data)")
    return names


def cell_of(page: "Page", row: str, place: int) -> "Locator":
    names = [name.strip() for name in row_names(page)]
    return page.locator("#msl_accuracy .results tbody tr").nth(names.index(row)).locator("button.cell").nth(place)


def table_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    (table,) = (table for table in report["tables"] if table["name"] == name)
    return dict(table)
