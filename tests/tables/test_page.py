"""The HTML page in a real browser: what it shows of a report, and that it names no address."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from llmrec.tables.page import render
from tests.tables.browsing import DRAWN, Open, Said, cell_of, table_of
from tests.tables.page_sample import empty_report, sample_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

TABLES = [table["name"] for table in sample_report()["tables"]]


@pytest.fixture(scope="module")
def sample(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator["Page"]:
    """The sample report, wide and light, for tests that only look and choose."""
    file = tmp_path_factory.mktemp("page") / "sample.html"
    file.write_text(render(sample_report()), encoding="utf-8")
    shown = browser.new_page(viewport={"width": 1600, "height": 900}, color_scheme="light")
    shown.goto(file.as_uri())
    shown.wait_for_function(DRAWN)
    yield shown
    shown.close()


def test_the_file_names_no_address_to_fetch_from() -> None:
    assert set(re.findall(r"https?://[^\"'\s]+", render(sample_report()))) == {"http://www.w3.org/2000/svg"}


def test_a_number_that_is_none_is_refused() -> None:
    report = sample_report()
    report["tables"][0]["rows"][0]["cells"]["games-sim"]["NDCG@10"]["mean"] = float("nan")
    with pytest.raises(ValueError, match="JSON"):
        render(report)


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
        best = (min if metric["better"] == "lower" else max)(means, key=means.__getitem__)
        marked = sample.locator(f"#gdrt_fairness .results tr:has(td:nth-child({place + 2}).best) th")
        assert marked.evaluate_all("all => all.map(e => e.firstChild.data)") == [best]
    assert sample.locator("#msl_accuracy .results td:nth-child(4).best").count() == 0  # training has no better end


@pytest.mark.browser
def test_only_significant_gains_have_a_mark_and_a_tone(sample: "Page") -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    cells = [(m, row["cells"][d][m["name"]]) for row in table["rows"][1:] for d, m in _columns(table)]
    sure = [(metric, cell) for metric, cell in cells if cell["significant"]]
    better = [cell for metric, cell in sure if (cell["gain"] > 0) == (metric["better"] == "higher")]
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
def test_what_was_left_out_says_so_and_its_bins_are_not_drawn(show: Open) -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    row = table["rows"][1]
    row["cells"]["games-sim"]["coverage"] = None
    row["left_out"] = {"games-sim": ["coverage"]}
    for name in row["runs"]["office-sim"]:
        report["runs"][name]["reference"]["relevance"]["weights"] = "fedcba9876543210"
    page = show(report)
    missing = page.locator(f"#gdrt_fairness .results tr:has(th:text-is('{row['name']}')) td.missing")
    assert missing.all_text_contents() == ["\u2013left out"]
    plot = _plot(page, "gdrt_fairness", "Popularity and relevance bias")
    plot.locator("select").select_option("relevance")
    assert plot.locator("figcaption").all_inner_texts() == [d for d in table["datasets"] if d != "office-sim"]
    plot.locator("select").select_option("popularity")
    assert plot.locator("figcaption").all_inner_texts() == table["datasets"]


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
@pytest.mark.parametrize("name", TABLES)
def test_gains_are_drawn_one_mark_each_in_their_order(sample: "Page", name: str) -> None:
    report = sample_report()
    table = table_of(report, name)
    plot = _plot(sample, name, "Gain over SFT")
    choices = plot.locator("option").all_inner_texts()
    assert choices == [m["name"] for m in table["metrics"] if m["name"] != "training"]
    for metric in choices:
        plot.locator("select").select_option(metric)
        for dataset in table["datasets"]:
            cells = [row["cells"][dataset][metric] for row in table["rows"][1:]]
            gains = [cell["gain"] for cell in cells if cell]
            panel = plot.locator("figure", has_text=dataset)
            centres = _numbers(panel.locator("circle"), "cx")
            assert len(centres) == len(gains)
            assert _order(centres) == _order(gains)
            starts, ends = (_numbers(panel.locator("line.interval"), end) for end in ("x1", "x2"))
            # The sample's intervals reach as far down as up.
            assert [(a + b) / 2 for a, b in zip(starts, ends, strict=True)] == pytest.approx(centres)
            assert panel.locator("circle.sure").count() == sum(cell["significant"] for cell in cells if cell)


@pytest.mark.browser
def test_curves_are_drawn_one_line_a_run_and_rows_can_be_hidden(show: Open) -> None:
    report = sample_report()
    runs = table_of(report, "msl_accuracy")["rows"]
    plot = _plot(show(report), "msl_accuracy", "Training curves")
    assert plot.locator("option").all_inner_texts() == ["train/loss", "valid/ndcg@10", "train/learning_rate"]
    for curve in ("train/loss", "valid/ndcg@10"):
        plot.locator("select").select_option(curve)
        for dataset in ("games-sim", "office-sim"):
            lines = plot.locator("figure", has_text=dataset).locator(".curve path")
            assert lines.count() == sum(len(row["runs"][dataset]) for row in runs)
    assert plot.locator("figure").nth(0).locator(".curve circle").count() == 10 * 3
    colours = plot.locator("figure").nth(0).locator(".curve path").evaluate_all("all => all.map(e => e.style.stroke)")
    assert len(set(colours)) == len(runs)
    key = plot.locator("button.key", has_text="SASRec")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert plot.locator("figure").nth(0).locator(".curve path").count() == 10 - 3


@pytest.mark.browser
def test_each_comparison_has_its_histogram_of_users(sample: "Page") -> None:
    report = sample_report()
    plot = _plot(sample, "msl_accuracy", "Gain by user")
    plot.locator("select").select_option("HR@10")
    gains = [g for g in report["gains"] if g["table"] == "msl_accuracy" and g["metric"] == "HR@10"]
    panels = plot.locator("figure").all()
    assert len(panels) == len(gains) == 4
    order = sorted(gains, key=lambda gain: gain["dataset"])
    for panel, gain in zip(panels, order, strict=True):
        assert panel.locator("figcaption").inner_text() == gain["row"]
        assert _counted(panel) == [gain["worse"], gain["same"], gain["better"], 400]
        heights = _numbers(panel.locator("rect.bar"), "height")
        highest = max(gain["counts"])
        assert [height / max(heights) for height in heights] == pytest.approx([n / highest for n in gain["counts"]])
        widths = _numbers(panel.locator("rect.share"), "width")
        assert [w / sum(widths) for w in widths] == pytest.approx([gain[s] / 400 for s in ("worse", "same", "better")])


@pytest.mark.browser
def test_bias_shows_the_mean_share_of_each_row_beside_the_histories(sample: "Page") -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    plot = _plot(sample, "gdrt_fairness", "Popularity and relevance bias")
    plot.locator("select").select_option("relevance")
    panel = plot.locator("figure", has_text="office-sim")
    titles = panel.locator("circle title").all_text_contents()
    expected = []
    for row in table["rows"]:
        lists = [report["runs"][run]["fairness"]["relevance"]["gp"] for run in row["runs"]["office-sim"]]
        expected += [f"{row['name']}: {100 * sum(shares) / 3:.1f} %" for shares in zip(*lists, strict=True)]
    assert titles == expected
    heights = _numbers(panel.locator("rect.histories"), "height")
    assert [height / sum(heights) for height in heights] == pytest.approx([0.3, 0.25, 0.2, 0.15, 0.1])


@pytest.mark.browser
def test_text_of_the_report_never_becomes_markup(show: Open) -> None:
    evil = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'><!-- \u2028 {{report}}"
    report = sample_report()
    report |= {"scale": evil, "revision": evil}
    table = report["tables"][0]
    table |= {"title": evil, "about": evil, "notes": [evil]}
    table["rows"][1]["name"] = evil
    for run in report["runs"].values():
        run["command"] = evil
    page = show(report)
    cell_of(page, "SFT", 0).click()
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert page.locator("#msl_accuracy h2").text_content() == evil
    assert page.locator("#provenance code").first.text_content() == evil
    assert page.title() == f"llmrec results, scale {evil}"
    held = page.locator("#report").text_content() or ""
    assert json.loads(held) == report


@pytest.mark.browser
def test_only_simulated_tables_have_the_banner(show: Open) -> None:
    report = sample_report()
    report["tables"][1]["simulated"] = False
    page = show(report)
    assert "Simulated data" in page.locator("#msl_accuracy .banner").inner_text()
    assert page.locator("#gdrt_fairness .banner").count() == 0


@pytest.mark.browser
def test_a_table_without_any_run_says_so_and_draws_nothing(show: Open, said: Said) -> None:
    page = show(empty_report())
    assert page.locator(".results td").all_inner_texts() == ["not run: left"] * 8
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
            cell |= {"spread": None, "seeds": 1}
    page = show(report)
    assert "\u00b1" not in page.locator("main").inner_text()
    assert "Mean over 1 seed." in page.locator(".legend").inner_text()


@pytest.mark.browser
def test_a_report_without_tables(show: Open, said: Said) -> None:
    page = show(sample_report() | {"tables": []})
    assert page.locator("main").inner_text() == "This report has no tables."
    assert said["pageerror"] == []


@pytest.mark.browser
def test_users_of_whom_none_differs_have_no_histogram(show: Open, said: Said) -> None:
    report = sample_report()
    report["gains"] = [report["gains"][0] | {"better": 0, "worse": 0, "same": 400, "counts": [0] * 21}]
    page = show(report)
    panel = _plot(page, "msl_accuracy", "Gain by user").locator("figure")
    assert _counted(panel) == [0, 400, 0, 400]
    assert panel.locator("rect.bar").count() == 0
    assert said["pageerror"] == []


def _columns(table: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(dataset, metric) for dataset in table["datasets"] for metric in table["metrics"]]


def _cell_texts(table: dict[str, Any], row: dict[str, Any], dataset: str) -> list[str]:
    """What the cells of a row on a dataset should say."""
    cells = [(metric["digits"], row["cells"][dataset][metric["name"]]) for metric in table["metrics"]]
    if not any(cell for _, cell in cells):
        return [row["why"][dataset]]
    dagger = "\u2020" if dataset in row["why"] else ""
    return [_cell_text(cell, digits, dagger) if cell else "\u2013" for digits, cell in cells]


def _cell_text(cell: dict[str, Any], digits: int, dagger: str) -> str:
    text = f"{cell['mean']:.{digits}f}"
    if cell["spread"] is not None:
        text += f" \u00b1 {cell['spread']:.{digits}f}"
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


def _plot(page: "Page", table: str, title: str) -> "Locator":
    return page.locator(f"#{table} .plots", has=page.locator(f"h3:text-is('{title}')"))


def _numbers(nodes: "Locator", attribute: str) -> list[float]:
    found: list[float] = nodes.evaluate_all("(all, name) => all.map(e => Number(e.getAttribute(name)))", attribute)
    return found


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _counted(panel: "Locator") -> list[int]:
    return [int(n) for n in re.findall(r"\d+", panel.locator(".shares p").inner_text())]
