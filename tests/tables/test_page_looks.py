"""How the HTML page looks in a real browser: it fits its window, has light and dark, and can be read in both."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmrec.tables.page import render
from tests.tables.browsing import Open, cell_of
from tests.tables.page_sample import sample_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CONTRASTS = """() => {
  const rgb = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => rgb(colour).slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    const colour = getComputedStyle(node).backgroundColor;
    return rgb(colour)[3] === 0 && node.parentElement ? ground(node.parentElement) : colour;
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const texts = [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility() &&
    [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()) &&
    !["SCRIPT", "title", "OPTION"].includes(node.tagName));
  return texts.map((node) => {
    const style = getComputedStyle(node);
    const ink = node instanceof SVGElement ? style.fill : style.color;
    const name = `${node.tagName}.${node.getAttribute("class")} ${node.textContent}`;
    return [ratio(light(ink), light(ground(node))), name];
  });
}"""
"""Contrast of every visible text with what is behind it, by the definition of WCAG 2.2."""


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_never_scrolls_sideways(show: Open, width: int) -> None:
    report = sample_report()
    report["tables"][0]["title"] = "Averyverylongtitlewithoutanyspace" * 4
    report["tables"][1]["rows"][1]["name"] = "Averyverylongnamewithoutanyspace" * 3
    report["tables"][0]["published"][0]["source"] = "https://example.org/" + "x" * 200
    page = show(report, width)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
    inside = page.locator("#msl_accuracy .scroll").first
    assert inside.evaluate("e => e.scrollWidth > e.clientWidth") == (width == 400)


@pytest.mark.browser
def test_the_first_column_stays_where_the_table_scrolls(show: Open) -> None:
    page = show(sample_report(), 400)
    first = page.locator("#msl_accuracy .results tbody th").first
    before = first.bounding_box()
    page.locator("#msl_accuracy .scroll").first.evaluate("e => e.scrollBy(200, 0)")
    assert first.bounding_box() == before


@pytest.mark.browser
def test_dark_follows_the_system_until_the_reader_chooses(show: Open) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = show(sample_report(), scheme="light")
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark
    page.locator("button.theme").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    page.locator("button.theme").click()
    assert page.evaluate(ground) == dark
    page.emulate_media(media="print")
    assert page.evaluate(ground) == light


@pytest.mark.browser
def test_without_storage_the_choice_is_just_not_remembered(
    browser: "Browser", sample_plots: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(render(sample_report(), sample_plots), encoding="utf-8")
    page = browser.new_page(color_scheme="light")
    errors: list[Any] = []
    page.on("pageerror", lambda error: errors.append(error))
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } })")
    page.goto(file.as_uri())
    page.locator("button.theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert errors == []
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(show: Open, scheme: str) -> None:
    page = show(sample_report(), scheme=scheme)
    cell_of(page, "MSL", 0).click()
    found = page.evaluate(CONTRASTS)
    assert len(found) > 300
    assert [text for ratio, text in found if ratio < 4.5] == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_rows_and_tones_stand_out(show: Open, scheme: str) -> None:
    page = show(sample_report(), scheme=scheme)
    names = ["row-reference", *(f"row-{place}" for place in range(1, 7)), "better", "worse", "same"]
    page.locator("main").evaluate(
        "(main, names) => main.replaceChildren(...names.map(name => Object.assign(document.createElement('p'),"
        " { textContent: name, style: `color: var(--${name}); background: var(--surface)` })))",
        names,
    )
    found = page.evaluate(CONTRASTS)
    told = {text.split()[-1]: ratio for ratio, text in found}
    assert {name: told[name] for name in names if told[name] < 3} == {}
