"""How the HTML page answers in a real browser: sorting, opening, copying, by mouse, finger and keyboard."""

import pytest

from tests.tables.browsing import Open, Said, cell_of, row_names, table_of
from tests.tables.page_sample import sample_report


@pytest.mark.browser
def test_whatever_is_touched_nothing_fails_and_nothing_is_fetched(show: Open, said: Said) -> None:
    page = show(sample_report())
    page.locator("select").evaluate_all(
        "all => all.forEach(select => [...select.options].forEach(option => {"
        "  select.value = option.value; select.dispatchEvent(new Event('change')); }))"
    )
    page.locator("button.key, button.sort, button.theme, button.cell, summary").evaluate_all(
        "all => [...all, ...all].forEach(node => node.click())"
    )
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert said["console"] == []
    assert said["pageerror"] == []
    assert said["request"]
    assert {url.split(":")[0] for url in said["request"]} == {"file"}


@pytest.mark.browser
def test_sorting_ascends_then_descends_with_what_is_missing_last(show: Open) -> None:
    table = table_of(sample_report(), "msl_accuracy")
    page = show(sample_report())
    means = {row["name"]: row["cells"]["games-sim"]["HR@10"] for row in table["rows"]}
    upwards = sorted((name for name in means if means[name]), key=lambda name: means[name]["mean"])
    head = page.locator("#msl_accuracy .results thead tr").last.locator("th").nth(1)
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert row_names(page) == [*upwards, "SASRec"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert row_names(page) == [*reversed(upwards), "SASRec"]
    assert head.get_attribute("aria-sort") == "descending"


@pytest.mark.browser
def test_sorting_by_keyboard_and_by_name(show: Open) -> None:
    page = show(sample_report())
    page.locator("#msl_accuracy .sort", has_text="NDCG@10").first.click()
    page.locator("#msl_accuracy .sort", has_text="method").focus()
    page.keyboard.press("Enter")
    assert row_names(page) == ["MSL", "MSL, fixed temperature", "SASRec", "SFT"]
    sorts = page.locator("#msl_accuracy [aria-sort]").evaluate_all("all => all.map(e => e.ariaSort)")
    assert sorts == ["ascending", *["none"] * 6]


@pytest.mark.browser
@pytest.mark.parametrize("way", ["click", "keyboard", "touch"])
def test_a_cell_opens_its_runs_and_escape_closes_them(show: Open, way: str) -> None:
    report = sample_report()
    row = table_of(report, "msl_accuracy")["rows"][1]
    page = show(report)
    cell, sheet = cell_of(page, "MSL", 0), page.locator("#provenance")
    if way == "keyboard":
        cell.focus()
        page.keyboard.press("Enter")
    else:
        cell.click() if way == "click" else cell.tap()
    assert sheet.is_visible()
    runs = [report["runs"][name] for name in row["runs"]["games-sim"]]
    assert sheet.locator("code").all_text_contents() == [run["command"] for run in runs]
    told = sheet.text_content() or ""
    for part in ("95 % interval", "p = 0.004, significant", "0123456789ab", "torch 2.13.0", "training 87.1"):
        assert part in told
    first, *others = row["runs"]["games-sim"]
    assert f"{first} in records/ours.tar.gz" in told
    for name in others:
        assert name in told
        assert f"{name} in " not in told
    page.keyboard.press("Escape")
    assert not sheet.is_visible()
    if way != "touch":
        assert cell.evaluate("e => e === document.activeElement")


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1600])
def test_the_runs_of_every_cell_lie_within_the_window(show: Open, width: int) -> None:
    page = show(sample_report(), width)
    outside = page.locator("button.cell").evaluate_all(
        """all => all.filter((cell) => {
          cell.scrollIntoView({ block: "nearest" });
          cell.click();
          const box = document.getElementById("provenance").getBoundingClientRect();
          return box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight || !box.width;
        }).length"""
    )
    assert outside == 0


@pytest.mark.browser
def test_a_command_is_copied_or_where_that_is_refused_selected(show: Open) -> None:
    page = show(sample_report())
    cell_of(page, "MSL", 0).click()
    command = page.locator("#provenance code").first.inner_text()
    page.locator("#provenance .command button").first.click()
    page.locator("#provenance .command button", has_text="copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == command
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    page.locator("#provenance .command button").first.click()
    page.locator("#provenance .command button", has_text="selected").wait_for()
    assert page.evaluate("getSelection().toString()") == command
