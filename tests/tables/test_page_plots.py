"""The plots inside the HTML page: what they show, how they are chosen, and that they follow the theme."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from llmrec.tables.page.plots import page_plots
from tests.tables.browsing import Open, Said, table_of
from tests.tables.page_sample import rename_row, sample_report, sample_table

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TABLES = [table["name"] for table in sample_report()["tables"]]
PAINTS = """() => [...document.querySelectorAll(".board :is(path, use, rect, text):not(defs *)")].map((node) => {
  const style = getComputedStyle(node);
  return [style.fill, style.stroke].map((paint) => (paint.startsWith("rgb") ? paint : null));
})"""
"""Fill and stroke of everything in the plots, null for no paint."""


def test_equal_reports_have_equal_plots(sample_plots: dict[str, str]) -> None:
    plots = page_plots(sample_table("msl_accuracy"))
    assert plots == {"msl_accuracy": sample_plots["msl_accuracy"]}


def test_ids_are_unique_and_all_references_are_to_one_of_them(sample_plots: dict[str, str]) -> None:
    text = "".join(sample_plots.values())
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) == set(ids)


def test_no_color_is_fixed_and_nothing_is_styled_beyond_a_plot(sample_plots: dict[str, str]) -> None:
    text = "".join(sample_plots.values())
    assert re.findall(r"(?<!\()#[0-9a-fA-F]{3,8}\b|rgb\(", re.sub(r'href="#[^"]*"', "", text)) == []
    for tag in ("<style", "<metadata", "<script", "xmlns", "font-family"):
        assert tag not in text


def test_a_plot_is_light(sample_plots: dict[str, str]) -> None:
    text = "".join(sample_plots.values())
    # Twelve curves of 48 points are most of it.
    assert len(text.encode()) / text.count("<svg") < 9_000


@pytest.mark.filterwarnings("ignore:Glyph 1")
def test_a_name_is_no_formula_and_characters_that_xml_cannot_hold_are_replaced() -> None:
    report = sample_table("msl_accuracy")
    rename_row(report, "MSL", "$x^2$ \x01 _")
    drawn = re.findall("<svg.*?</svg>", page_plots(report)["msl_accuracy"])
    assert any(">$x^2$ \ufffd _</text>" in svg for svg in drawn)
    assert not any("\x01" in svg for svg in drawn)


@pytest.mark.browser
@pytest.mark.parametrize("name", TABLES)
def test_gains_are_drawn_in_their_order_with_their_values(sample: "Page", name: str) -> None:
    table = table_of(sample_report(), name)
    plot = _plot(sample, name, "Gain over SFT")
    assert plot.locator("option").all_inner_texts() == [m["name"] for m in table["metrics"] if m["gains"]]
    for metric in plot.locator("option").all_inner_texts():
        plot.locator("select").select_option(label=metric)
        for dataset in table["datasets"]:
            cells = {row["name"]: row["cells"][dataset][metric] for row in table["rows"][1:]}
            gains = [cell["gain"] for cell in reversed(cells.values()) if cell]
            panel = plot.locator("figure:visible", has_text=dataset)
            centres = [float(x) for x in _attributes(panel.locator("[data-row] use"), "x")]
            assert sorted(range(len(gains)), key=gains.__getitem__) == _order(centres)
            texts = panel.locator("text").all_text_contents()
            for row, cell in cells.items():
                assert row in texts
                assert (f"{cell['gain']:+.1f} %" + "*" * cell["significant"] if cell else "not compared") in texts
            titles = set(panel.locator("title").all_text_contents())
            assert titles == {_gain_title(row, cell) for row, cell in cells.items() if cell}


@pytest.mark.browser
def test_curves_are_drawn_one_line_a_run_and_rows_can_be_hidden(show: Open) -> None:
    rows = table_of(sample_report(), "msl_accuracy")["rows"]
    plot = _plot(show(sample_report()), "msl_accuracy", "Training curves")
    assert plot.locator("option").all_inner_texts() == ["train/loss", "valid/ndcg@10"]
    for curve in ("train/loss", "valid/ndcg@10"):
        plot.locator("select").select_option(label=curve)
        assert plot.locator("figure:visible").count() == 2
        for dataset in ("games-sim", "office-sim"):
            lines = plot.locator("figure:visible", has_text=dataset).locator("[data-row] title")
            expected = [f"{row['name']}, seed {n + 1}" for row in rows for n in range(len(row["runs"][dataset]))]
            assert lines.all_text_contents() == expected
    # Three validations a run are marked.
    panel = plot.locator("figure:visible").first
    assert panel.locator("[data-row] use").count() == 10 * 3
    paints = panel.locator("[data-row] > path").evaluate_all("all => all.map(e => getComputedStyle(e).stroke)")
    assert len(set(paints)) == len(rows)
    key = plot.locator("button.key", has_text="SASRec")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    assert panel.locator("[data-row]:visible").count() == 10 - 3
    plot.locator("select").select_option(label="train/loss")
    assert plot.locator("figure:visible").first.locator("[data-row]:visible").count() == 10 - 3
    key.click()
    assert plot.locator("figure:visible").first.locator("[data-row]:visible").count() == 10


@pytest.mark.browser
def test_counts_of_users_are_listed_below_their_histograms(show: Open) -> None:
    report = sample_report()
    plot = _plot(show(report), "msl_accuracy", "Gain by user")
    plot.locator("select").select_option(label="HR@10")
    gains = [g for g in report["gains"] if g["table"] == "msl_accuracy" and g["metric"] == "HR@10"]
    for dataset in ("games-sim", "office-sim"):
        panel = plot.locator("figure:visible", has_text=dataset)
        expected = [
            f"{g['row']}: {g['better']} better, {g['worse']} worse, {g['same']} same of 400 users"
            for g in gains
            if g["dataset"] == dataset
        ]
        assert panel.locator("li").all_inner_texts() == expected
        assert panel.locator("title").all_text_contents() == expected
    plot.locator("button.key", has_text="MSL").first.click()
    assert plot.locator("figure:visible li:visible").all_inner_texts() == [
        text for text in plot.locator("figure:visible li").all_text_contents() if not text.startswith("MSL:")
    ]


@pytest.mark.browser
def test_bias_shows_the_mean_share_of_each_row_beside_the_histories(sample: "Page") -> None:
    report = sample_report()
    table = table_of(report, "gdrt_fairness")
    plot = _plot(sample, "gdrt_fairness", "Popularity and relevance bias")
    plot.locator("select").select_option(label="relevance")
    titles = plot.locator("figure:visible", has_text="office-sim").locator("title").all_text_contents()
    expected = [f"histories: {share:.1f} %" for share in (30, 25, 20, 15, 10)]
    for row in table["rows"]:
        lists = [report["runs"][run]["fairness"]["relevance"]["gp"] for run in row["runs"]["office-sim"]]
        means = [f"{100 * sum(shares) / 3:.1f} %" for shares in zip(*lists, strict=True)]
        expected.append(f"{row['name']}: {', '.join(means)}")
    assert titles == expected


@pytest.mark.browser
def test_bins_of_different_reference_models_are_not_drawn_together(show: Open) -> None:
    report = sample_table("gdrt_fairness")
    table = table_of(report, "gdrt_fairness")
    for name in table["rows"][1]["runs"]["office-sim"]:
        report["runs"][name]["reference"]["relevance"]["weights"] = "fedcba9876543210"
    plot = _plot(show(report, plots=page_plots(report)), "gdrt_fairness", "Popularity and relevance bias")
    plot.locator("select").select_option(label="relevance")
    assert plot.locator("figcaption:visible").all_inner_texts() == ["games-sim"]
    plot.locator("select").select_option(label="popularity")
    assert plot.locator("figcaption:visible").all_inner_texts() == table["datasets"]


@pytest.mark.browser
def test_users_of_whom_none_differs_are_counted(show: Open, said: Said) -> None:
    report = sample_table("msl_accuracy")
    report["gains"] = [report["gains"][0] | {"better": 0, "worse": 0, "same": 400, "counts": [0] * 21}]
    panel = _plot(show(report, plots=page_plots(report)), "msl_accuracy", "Gain by user").locator("figure")
    assert panel.locator("li").all_inner_texts() == ["MSL: 0 better, 0 worse, 400 same of 400 users"]
    assert said["pageerror"] == []


@pytest.mark.browser
def test_every_paint_in_the_plots_differs_between_light_and_dark(show: Open) -> None:
    page = show(sample_report(), scheme="light")
    light = page.evaluate(PAINTS)
    page.locator("button.theme").click()
    dark = page.evaluate(PAINTS)
    assert len(light) == len(dark) > 500
    for before, after in zip(light, dark, strict=True):
        for one, other in zip(before, after, strict=True):
            assert (one is None) == (other is None)
            assert one is None or one != other


def _plot(page: "Page", table: str, title: str) -> "Locator":
    return page.locator(f"#{table} .plots", has=page.locator(f"h3:text-is('{title}')"))


def _gain_title(row: str, cell: dict[str, Any]) -> str:
    low, high = cell["gain_interval"]
    star = "*" if cell["significant"] else ""
    return f"{row}: {cell['gain']:+.1f} %{star}, 95 % interval {low:+.1f} to {high:+.1f} %"


def _attributes(nodes: "Locator", name: str) -> list[str]:
    found: list[str] = nodes.evaluate_all("(all, name) => all.map(e => e.getAttribute(name))", name)
    return found


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)
