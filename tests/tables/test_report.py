"""What a report says of finished, failed and missing cells, in every kind of file."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from llmrec.tables.latex import latex
from llmrec.tables.markdown import markdown, measured
from llmrec.tables.page import render
from llmrec.tables.page.plots import page_plots
from llmrec.tables.plot_files import write_plots
from llmrec.tables.report_data import report_data
from llmrec.tables.tidy_csv import tidy_csv
from tests.tables.fake_runs import USERS, hits, write_lists, write_run
from tests.tables.small_table import RERANK, SCALES, TABLE, jobs_of, small_table

NOVELTY = TABLE.replace(
    "    metrics:\n",
    "    own_metrics: [novelty]\n    metrics:\n      novelty: {metric_path: novelty.mean, direction: higher}\n",
)
NOVELTY = NOVELTY.replace("tested: [NDCG@10]", "tested: [NDCG@10, novelty]")
"""The small table with a metric of the user's own."""


@pytest.fixture
def report(root: Path) -> dict[str, Any]:
    """SFT with both seeds, MSL with one, whose other has failed; popularity was not run."""
    table = small_table(root / "tables")
    jobs = jobs_of(table)
    write_run(jobs["SFT", "games", 1], hits(1))
    write_run(jobs["SFT", "games", 2], hits(2))
    write_run(jobs["MSL", "games", 1], hits(3))
    failed = jobs["MSL", "games", 2].run
    failed.folder.mkdir(parents=True)
    failed.failure.write_text("python -m llmrec.run\nexit status 2\n")
    return report_data([table], "smoke")


def test_markdown_has_means_spreads_gains_and_what_is_missing(report: dict[str, Any]) -> None:
    text = measured(report["tables"][0])
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    # By hand: 1/8 and 2/8 of the rows, their standard deviation 0.0884; 3/8 is 200 % more than seed 1 of SFT.
    assert lines[0] == ["", "NDCG@10 ↑", "MGU@5 ↓", "epoch (s) ↓"]
    assert lines[2] == ["SFT", "0.1875 ± 0.0884", "0.0800 ± 0.0000", "15.0 ± 0.0"]
    assert lines[3][0] == "MSL"
    # One seed has no mark, however clear it is.
    assert lines[3][1] == "0.3750 (+200.0 %)"
    assert lines[4] == ["popularity", "not run", "-", "-"]
    assert "## A comparison (simulated data)" in text
    assert "- games-sim: MSL: not run: failed, see " in text
    assert "(seed 2)" in text
    assert "- games-sim: popularity: not run: not started" in text
    assert "- A note of its own." in text


def test_the_report_starts_with_what_is_done_running_and_left(report: dict[str, Any]) -> None:
    (table,) = report["tables"]
    reasons = ["1 failed", "1 not started"]
    assert table["summary"] == {"done": 3, "running": 0, "left": 2, "reasons": reasons}
    head, _, rest = markdown(report).partition("## A comparison")
    lines = [[part.strip() for part in line.strip("|").split("|")] for line in head.splitlines() if line[:1] == "|"]
    assert lines[0::2] == [["table", "done", "running", "left"], ["small", "3", "0", "2"]]
    assert "- small: 1 failed; 1 not started" in head
    assert rest


def test_a_run_that_a_process_works_on_is_running(root: Path) -> None:
    table = small_table(root / "tables")
    run = jobs_of(table)["MSL", "games", 2].run
    with run.lock():
        (shown,) = report_data([table], "smoke")["tables"]
    assert shown["summary"] == {"done": 0, "running": 1, "left": 4, "reasons": ["not started"]}
    assert shown["rows"][1]["missing"]["games-sim"] == "not run: not started (seed 1); running now (seed 2)"
    (shown,) = report_data([table], "smoke")["tables"]
    assert shown["summary"]["running"] == 0


def test_a_table_without_figures_is_a_line_and_no_grid(root: Path) -> None:
    gpu = SCALES.replace("seconds: 60", "seconds: 60\n      needs: gpu")
    text = markdown(report_data([small_table(root / "tables", TABLE, gpu)], "smoke"))
    own, _, published = text.partition("## Published figures")
    assert "Nothing is measured yet." in own
    assert "- games-sim: SFT; MSL; popularity: not run: needs a GPU" in own
    assert "- small: not run: needs a GPU" in own
    assert "NDCG@10" not in own
    assert "NDCG@10" in published


def test_published_figures_stand_apart_with_their_source(report: dict[str, Any]) -> None:
    _, _, published = markdown(report).partition("### Published, not measured here: A paper, Table 1")
    assert "Backbone: a model" in published
    assert "Selection: on test" in published
    assert "Not comparable: language models use vocab scores here, trie in this table." in published
    assert published.splitlines()[-1].split() == ["|", "SFT", "|", "0.0101", "|", "0.0220", "|"]


def test_csv_has_a_line_for_every_figure(report: dict[str, Any]) -> None:
    (table,) = report["tables"]
    lines = list(csv.DictReader(io.StringIO(tidy_csv(table))))
    measured = [line for line in lines if line["source"] == "measured"]
    assert len(measured) == len(table["rows"]) * len(table["metrics"])
    for line in measured:
        row = next(row for row in table["rows"] if row["name"] == line["row"])
        cell = row["cells"][line["dataset"]][line["metric"]] or {}
        assert line["mean"] == str(cell.get("mean", ""))
        assert line["reason"] == row["missing"].get(line["dataset"], "")
        assert line["simulated"] == "True"
    assert [line["mean"] for line in lines if line["source"] == "A paper, Table 1"] == ["0.0101", "0.022"]


def test_latex_escapes_and_closes_what_it_opens(report: dict[str, Any]) -> None:
    (table,) = report["tables"]
    text = latex(table | {"title": "50 % of a_b & c"})
    assert r"\caption{50 \% of a\_b \& c. " in text
    assert r"SFT & 0.1875 $\pm$ 0.0884 & " in text
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 2


def test_text_of_records_never_becomes_markup(report: dict[str, Any]) -> None:
    evil = "<script>x</script> | `a` [b](c) *d* _e_ # & \\\n\n# f"
    (table,) = report["tables"]
    report |= {"revision": evil, "hardware": {"machine": evil}, "title": evil}
    table["rows"][0]["name"] = table["reference"] = evil
    table["rows"][2]["missing"] = {"games-sim": evil}
    table["datasets"] = [evil]
    for row in table["rows"]:
        row["cells"], row["left_out"] = {evil: row["cells"]["games-sim"]}, {evil: []}
    table["notes"] = [evil]
    shown = r"&lt;script&gt;x&lt;/script&gt; \| \`a\` \[b\](c) \*d* \_e_ \# &amp; \\ \# f"
    text = markdown(report)
    assert "<script>" not in text
    assert text.count(shown) == text.count("script&gt; \\|") == 8
    # A row of the table has its columns and no more.
    row = next(line for line in text.splitlines() if line.startswith(f"| {shown}"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 2 + len(table["metrics"])
    assert "# f" not in text.splitlines()
    assert next(csv.DictReader(io.StringIO(tidy_csv(table))))["row"] == evil
    assert "<script>x" not in render(report, page_plots(report))


def test_latex_keeps_text_of_records_in_its_place(report: dict[str, Any]) -> None:
    (table,) = report["tables"]
    table["rows"][0]["name"] = "[2em] `a` | <b>\n\n\\input{c}"
    text = latex(table)
    assert (
        "\n{[}2em{]} \\textasciigrave{}a\\textasciigrave{} \\textbar{} $<$b$>$ \\textbackslash{}input\\{c\\} & " in text
    )


def test_plots_are_drawn_of_what_is_compared(report: dict[str, Any], tmp_path: Path) -> None:
    written = write_plots(report, tmp_path / "plots")
    assert {file.name for file in written} == {f"small_{what}.png" for what in ("gain", "users", "curves", "bias")}
    for file in written:
        assert file.read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in file.with_suffix(".svg").read_text()
    files = {file: file.read_bytes() for file in (tmp_path / "plots").iterdir()}
    write_plots(report, tmp_path / "plots")
    assert {file: file.read_bytes() for file in (tmp_path / "plots").iterdir()} == files


def test_what_rounds_to_0_has_no_sign(report: dict[str, Any]) -> None:
    (table,) = report["tables"]
    table["rows"][0]["cells"]["games-sim"]["NDCG@10"]["mean"] = -0.00001
    assert " 0.0000 ± 0.0884 " in markdown(report)


def test_a_metric_of_ones_own_is_compared_row_by_row_and_rendered(root: Path) -> None:
    table = small_table(root / "tables", NOVELTY)
    jobs = jobs_of(table)
    base, more = [0.5] * len(USERS), [0.5, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0]
    for seed in (1, 2):
        write_run(jobs["SFT", "games", seed], hits(1), own={"novelty": base})
        write_run(jobs["MSL", "games", seed], hits(1), own={"novelty": more})
    report = report_data([table], "smoke")
    sft, msl, popularity = (row["cells"]["games-sim"] for row in report["tables"][0]["rows"])
    assert (sft["novelty"]["mean"], sft["novelty"]["std"], popularity["novelty"]) == (0.5, 0, None)
    # Two of eight rows are 0.25 and 0.5 higher: 0.75 / 8, in percent of 0.5.
    assert msl["novelty"]["gain"] == pytest.approx(100 * 0.09375 / 0.5)
    low, high = msl["novelty"]["gain_interval"]
    assert low < 100 * 0.09375 / 0.5 < high
    assert 0 < msl["novelty"]["p"] < 1
    text = measured(report["tables"][0])
    heading = next(line for line in text.splitlines() if line.startswith("|"))
    assert [part.strip() for part in heading.strip("|").split("|")][:3] == ["", "novelty ↑", "NDCG@10 ↑"]
    assert "0.5938 ± 0.0000 (+18.8 %)" in text
    assert "novelty" in latex(report["tables"][0])
    lines = csv.DictReader(io.StringIO(tidy_csv(report["tables"][0])))
    (line,) = (line for line in lines if (line["row"], line["metric"]) == ("MSL", "novelty"))
    assert float(line["mean"]) == pytest.approx(0.59375)
    assert "novelty" in render(report, page_plots(report))


def test_a_rerank_table_says_where_a_row_cannot_be(root: Path) -> None:
    text = markdown(report_data([small_table(root / "tables", RERANK)], "smoke"))
    assert "- games-sim: mean rating: not run: games has no ratings" in text


def test_a_figure_next_to_0_has_no_gain_in_percent(root: Path) -> None:
    metric = "order std: {metric_path: position.ndcg_std, direction: lower"
    table = small_table(root / "tables", RERANK.replace(metric, f"{metric}, gains: false"))
    jobs = jobs_of(table)
    for row in ("SFT", "mean rating"):
        write_lists(jobs[row, "movielens_100k", 1], [0.5] * len(USERS))
    cells = report_data([table], "smoke")["tables"][0]["rows"][1]["cells"]["movielens_100k-sim"]
    assert (cells["NDCG@10"]["gain"], cells["NDCG@10"]["p"]) == (0, 1)
    assert (cells["order std"]["gain"], cells["order std"]["gain_interval"], cells["order std"]["p"]) == (None, None, 1)
