"""The page in a real browser: titles are found by keyboard, each run answers beside the others."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import pytest

from llmrec.serve.served_run import ServedRun
from tests.accessibility import violations
from tests.serve.conftest import K
from tests.tables.test_page_looks import CONTRASTS
from tests.tiers import rest_slow

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

UNNAMED = """() => [...document.querySelectorAll("button, input, ul, ol, table, section, article")]
  .filter((node) => node.checkVisibility() && !(node.getAttribute("aria-label") || node.labels?.length ||
    node.querySelector("caption, h2") || node.textContent.trim())).map((node) => node.outerHTML)"""
"""Visible controls, lists and regions that a screen reader has no name for."""


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """The page at 1280 px. After the test, it must have logged nothing and asked for nothing but the server."""
    shown = browser.new_page(viewport={"width": 1280, "height": 900})
    logged, asked = list[str](), list[str]()
    shown.on("console", lambda message: logged.append(message.text))
    shown.on("pageerror", lambda error: logged.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(address)
    shown.locator("#simulated").wait_for()
    yield shown
    assert logged == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    shown.close()


@pytest.mark.browser
def test_titles_are_completed_and_chosen_by_keyboard(page: "Page", titles: list[str]) -> None:
    page.get_by_label("Add a title").fill(titles[5][:-1])
    page.get_by_role("option", name=titles[5], exact=True).wait_for()
    field = page.get_by_role("combobox")
    assert field.get_attribute("aria-expanded") == "true"
    field.press("ArrowDown")
    assert page.locator(f"#{field.get_attribute('aria-activedescendant')}").inner_text() == titles[5]
    field.press("Enter")
    assert page.locator("#history li span").all_inner_texts() == [titles[5]]
    assert field.input_value() == ""
    assert field.get_attribute("aria-expanded") == "false"
    page.get_by_role("button", name=f"Remove {titles[5]}").click()
    assert page.locator("#history li").count() == 0


@pytest.mark.browser
def test_each_run_answers_beside_the_other(page: "Page", runs: list[ServedRun], titles: list[str]) -> None:
    ask(page, titles[0])
    assert page.get_by_role("article").get_by_role("heading").all_inner_texts() == [run.name for run in runs]
    for card in page.get_by_role("article").all():
        assert card.locator("tbody tr").count() == K
        assert f"{K} titles in " in card.locator("caption").inner_text()
    left, right = (card.bounding_box() for card in page.get_by_role("article").all())
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert page.get_by_role("status").inner_text() == "Recommendations are shown"


@pytest.mark.browser
def test_a_similar_title_replaces_an_unknown_one(page: "Page", titles: list[str]) -> None:
    ask(page, titles[3] + "!")
    page.get_by_role("article").first.get_by_role("button", name=titles[3], exact=True).click()
    page.locator("#history").get_by_text(titles[3], exact=True).wait_for()
    page.locator("tbody").nth(1).wait_for()
    assert page.locator(".unknown").count() == 0
    assert page.locator("#history li span").all_inner_texts() == [titles[3]]


@pytest.mark.browser
def test_markup_in_a_title_stays_text(page: "Page") -> None:
    ask(page, "<img src=x onerror=alert(1)>")
    assert page.locator("img").count() == 0
    assert "<img src=x" in page.locator(".unknown").first.inner_text()


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), rest_slow(product([400, 1280, 1600], ["light", "dark"]), kept=2))
def test_the_page_fits_and_can_be_read(page: "Page", titles: list[str], width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_label("Add a title").fill("x" * 300)
    page.get_by_label("Add a title").press("Enter")
    ask(page, titles[3] + "!")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert [name for ratio, name in page.evaluate(CONTRASTS) if ratio < 4.5] == []
    assert page.evaluate(UNNAMED) == []
    assert violations(page) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_open_list_of_titles_is_accessible(page: "Page", titles: list[str], scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.get_by_label("Add a title").fill(titles[5][:3])
    page.get_by_role("option").first.wait_for()
    page.get_by_role("combobox").press("ArrowDown")
    assert violations(page) == []


def ask(page: "Page", title: str) -> None:
    """Adds a title as typed and waits for the answers of both runs."""
    page.get_by_label("Add a title").fill(title)
    page.get_by_role("button", name="Recommend").click()
    page.locator("tbody").nth(1).wait_for()
