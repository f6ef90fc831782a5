"""The report's page has no grave fault of accessibility, logs nothing and asks for nothing but itself."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from tests.accessibility import violations
from tests.tables.browsing import Open, Said, cell_of
from tests.tables.page_sample import comparison_report, empty_report, rerank_report, sample_report
from tests.tiers import rest_slow

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("report", "width", "scheme"),
    rest_slow(
        product([sample_report, comparison_report, rerank_report, empty_report], [400, 1280], ["light", "dark"]), kept=2
    ),
)
def test_axe_finds_no_serious_fault(
    show: Open, said: Said, report: Callable[[], dict[str, Any]], width: int, scheme: str
) -> None:
    page = show(report(), width, scheme)
    assert violations(page) == []
    if report is sample_report:
        cell_of(page, "MSL", 0).click()
        assert violations(page) == []
    assert said["console"] == said["pageerror"] == []
    assert [url for url in said["request"] if not url.startswith(("file:", "data:"))] == []


def test_a_fault_would_be_found(show: Open) -> None:
    page = show(empty_report())
    page.evaluate("document.querySelector('h1').style.color = '#ddd'")
    page.evaluate("document.querySelector('.theme').textContent = ''")
    assert [fault.partition(":")[0] for fault in violations(page)] == ["button-name", "color-contrast"]
