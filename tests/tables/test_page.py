"""The HTML page in a real browser: what it shows of a report, and that it names no address."""

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from llmrec.tables.page import render
from llmrec.tables.page.plots import page_plots
from tests.tables.browsing import Open, Said, cell_of, table_of
from tests.tables.page_sample import empty_report, rename_row, sample_report, sample_table

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TABLES = [table["name"] for table in sample_report()["tables"]]


def test_the_file_refers_to_nothing_outside(sample_plots: dict[str, str]) -> None:
    text = render(sample_report(), sample_plots)
    assert "//" not in re.sub(r"(?m)^ *// .*", "", text)
    references = re.findall(r"""(?:href|src)="([^"]*)"|url\(([^)]*)\)""", text)
    assert references
    assert {one for pair in references for one in pair if one and not one.startswith("#")} == {"data:,"}


def test_a_number_that_is_none_is_refused() -> None:
    report = sample_report()
    report["tables"][0]["rows"][0]["cells"]["games-sim"]["NDCG@10"]["mean"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        render(report, {})


@pytest.mark.browser
def test_header_says_where_the_figures_are_from(sample: "Page") -> None:
    head = sample.locator("header.top").inner_text()
    for part in ("scale smoke", "2026-11-24 20:15 UTC", "0123456789ab", "x86_64", "gpus none"):
        assert part in head


@pytest.mark.browser
@pytest.mark.parametrize("name", TABLES)
def test_the_table_holds_every_figure(sample: "Page", name: str) -> None:
    report = sample_report()
    table = table_of(report, name)
    section = sample.locator(f"#{name}")
    rows = section.locator("table.results tbody tr").all()
    assert [row.locator("th").evaluate("e => e.firstChild.data") for row in rows] == [r["name"] for r in table["rows"]]
    for shown, row in zip(rows, table["rows"], strict=True):
        expected = [text for dataset in table["datasets"] for text in _cell_texts(table, row, dataset)]
        assert [_plain(cell) for cell in shown.locator("td").all()] == expected


@pytest.mark.browser
def test_best_of_a_column_is_marked_by_the_metrics_own_direction(sample: "Page") -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    for place, (dataset, metric) in enumerate(_columns(table)):
        means = {row["name"]: row["cells"][dataset][metric["name"]]["mean"] for row in table["rows"]}
        best = (min if metric["direction"] == "lower" else max)(means, key=means.__getitem__)
        marked = sample.locator(f"#gdrt_fairness .results tr:has(td:nth-child({place + 2}).best) th")
        assert marked.evaluate_all("all => all.map(e => e.firstChild.data)") == [best]
    assert sample.locator("#msl_accuracy .results td:nth-child(4).best").count() == 0  # training has no better end


@pytest.mark.browser
def test_only_significant_gains_have_a_mark_and_a_tone(sample: "Page") -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    cells = [(m, row["cells"][d][m["name"]]) for row in table["rows"][1:] for d, m in _columns(table)]
    sure = [(metric, cell) for metric, cell in cells if cell["significant"]]
    better = [cell for metric, cell in sure if (cell["gain"] > 0) == (metric["direction"] == "higher")]
    gains = sample.locator("#gdrt_fairness .results .gain")
    assert 0 < len(better) < len(sure) < len(cells)
    assert gains.count() == len(cells)
    assert sum("*" in text for text in gains.all_inner_texts()) == len(sure)
    assert gains.locator("xpath=self::*[contains(@class, 'better')]").count() == len(better)
    assert gains.locator("xpath=self::*[contains(@class, 'worse')]").count() == len(sure) - len(better)


@pytest.mark.browser
def test_what_was_not_run_says_why(sample: "Page") -> None:
    sasrec = sample.locator("#msl_accuracy .results tr:has(th:text-is('SASRec'))")
    assert sasrec.locator("td[colspan='3']").inner_text() == "not run: failed"
    incomplete = sample.locator("#msl_accuracy .results .dagger")
    assert incomplete.count() == 3
    assert incomplete.first.get_attribute("title") == "seeds 2, 3 not run: left"


@pytest.mark.browser
def test_what_was_left_out_says_so(show: Open) -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    row = table["rows"][1]
    row["cells"]["games-sim"]["coverage"] = None
    row["left_out"] = {"games-sim": ["coverage"]}
    page = show(report)
    missing = page.locator(f"#gdrt_fairness .results tr:has(th:text-is('{row['name']}')) td.missing")
    assert missing.all_text_contents() == ["\u2013left out"]


@pytest.mark.browser
def test_runs_are_counted_by_table_above_all(sample: "Page") -> None:
    first = sample.locator("main > section").first
    rows = [row.locator("th, td").all_inner_texts() for row in first.locator("tbody tr").all()]
    assert rows == [
        ["Accuracy of MSL", "20", "0", "4", "3 not started; 1 failed"],
        ["Fairness of GDRT", "24", "0", "0", "\u2013"],
    ]


@pytest.mark.browser
def test_plots_of_ones_own_figures_come_before_published_figures(sample: "Page") -> None:
    order = sample.locator("#msl_accuracy > .scroll, #msl_accuracy > .plots, #msl_accuracy > .published")
    classes = order.evaluate_all("all => all.map(e => e.className)")
    assert classes == ["scroll", *["plots"] * 3, "published"]


@pytest.mark.browser
def test_published_figures_stand_apart_and_fold_away(show: Open) -> None:
    page = show(sample_report())
    block = page.locator("#msl_accuracy .published")
    said = block.inner_text()
    for part in ("not measured here", "a made-up paper, for this test", "LLaMA3-8B", "best epoch on test (NDCG@5)"):
        assert part in said
    cells = block.locator("tbody tr").nth(0).locator("td").all_inner_texts()
    assert cells == ["0.1234", "0.2340", "0.1111", "\u2013"]
    assert page.locator("#msl_accuracy .results", has_text="0.1234").count() == 0
    block.locator("summary").click()
    assert not block.locator("table").is_visible()
    assert page.locator("#gdrt_fairness .published").count() == 0


@pytest.mark.browser
def test_text_of_the_report_never_becomes_markup(show: Open) -> None:
    evil = (
        "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
        '" onload="window.broken = 1 </title></svg></template> $\\frac$ &lt; <!-- \u2028 {{report}} {reference}'
    )
    report = sample_table("msl_accuracy")
    report |= {"title": evil, "revision": evil}
    table = report["tables"][0]
    table |= {"title": evil, "about": evil, "notes": [evil]}
    rename_row(report, "MSL", evil)
    for run in report["runs"].values():
        run["command"] = evil
    page = show(report, plots=page_plots(report))
    cell_of(page, "SFT", 0).click()
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert page.locator("#msl_accuracy h2").text_content() == evil
    assert page.locator("#provenance code").first.text_content() == evil
    assert page.title() == f"llmrec: {evil}"
    held = page.locator("#report").text_content() or ""
    assert json.loads(held)["tables"] == report["tables"]
    svg = page.locator("#msl_accuracy svg").first
    assert evil in svg.locator("text").all_text_contents()
    assert evil in (svg.get_attribute("aria-label") or "")
    assert any(text.startswith(f"{evil}: ") for text in svg.locator("title").all_text_contents())


@pytest.mark.browser
def test_only_simulated_tables_have_the_banner(show: Open) -> None:
    report = sample_report()
    report["tables"][1]["simulated"] = False
    page = show(report)
    assert "Simulated data" in page.locator("#msl_accuracy .banner").inner_text()
    assert page.locator("#gdrt_fairness .banner").count() == 0


@pytest.mark.browser
def test_a_table_without_any_run_says_so_and_draws_nothing(show: Open, said: Said) -> None:
    page = show(empty_report(), plots=page_plots(empty_report()))
    assert page.locator(".unmeasured").inner_text() == "Nothing is measured yet. not run: left"
    assert page.locator(".results").count() == 0
    assert page.locator("main svg").count() == 0
    assert page.locator("header.top dd").all_inner_texts()[1:] == ["unknown", "unknown"]
    told = page.locator("main").inner_text()
    for part in ("No gains:", "No gains by user:", "No popularity and relevance bias:", "No training curves:"):
        assert part in told
    assert said["pageerror"] == []


@pytest.mark.browser
def test_one_seed_has_no_spread(show: Open) -> None:
    report = sample_report()
    report["tables"] = report["tables"][1:]
    for row in report["tables"][0]["rows"]:
        for cell in (cell for cells in row["cells"].values() for cell in cells.values()):
            cell |= {"std": None, "seeds": 1}
    page = show(report)
    assert "\u00b1" not in page.locator("main").inner_text()
    assert "Mean over 1 seed." in page.locator(".legend").inner_text()


@pytest.mark.browser
def test_a_report_without_tables(show: Open, said: Said) -> None:
    page = show(sample_report() | {"tables": []})
    assert page.locator("main").inner_text() == "This report has no tables."
    assert said["pageerror"] == []


def _columns(table: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(dataset, metric) for dataset in table["datasets"] for metric in table["metrics"]]


def _cell_texts(table: dict[str, Any], row: dict[str, Any], dataset: str) -> list[str]:
    """What the cells of a row on a dataset should say."""
    cells = [(metric["digits"], row["cells"][dataset][metric["name"]]) for metric in table["metrics"]]
    if not any(cell for _, cell in cells):
        return [row["missing"][dataset]]
    dagger = "\u2020" if dataset in row["missing"] else ""
    return [_cell_text(cell, digits, dagger) if cell else "\u2013" for digits, cell in cells]


def _cell_text(cell: dict[str, Any], digits: int, dagger: str) -> str:
    text = f"{cell['mean']:.{digits}f}"
    if cell["std"] is not None:
        text += f" \u00b1 {cell['std']:.{digits}f}"
    text += dagger
    if cell["gain"] is not None:
        text += f"{cell['gain']:+.1f} %" + ("*" if cell["significant"] else "")
    return text


def _plain(cell: "Locator") -> str:
    """The text of a cell without what is for screen readers alone."""
    said: str = cell.evaluate(
        "e => { const copy = e.cloneNode(true);"
        " copy.querySelectorAll('.hidden').forEach(node => node.remove()); return copy.textContent; }"
    )
    return said.replace("\u00a0", " ").replace("\u2212", "-")
