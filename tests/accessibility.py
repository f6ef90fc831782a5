"""Finds faults of accessibility on a page with axe-core."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMPACTS = ("serious", "critical")
"""Axe's two gravest kinds of violation."""


def violations(page: "Page") -> list[str]:
    """Returns the serious and critical violations of a page as "rule: element (why)"."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    # Preloading asks for the style sheets once more, which a page that is opened from disk reports as an error.
    options = {"resultTypes": ["violations"], "preload": False}
    found = axe.Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']}: {' '.join(map(str, node['target']))} ({node['failureSummary']})"
        for violation in found
        if violation["impact"] in IMPACTS
        for node in violation["nodes"]
    ]
