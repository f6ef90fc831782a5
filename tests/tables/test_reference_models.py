"""Values that depend on a reference model are only compared under the same one."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from llmrec.tables.markdown import markdown
from llmrec.tables.plots import bias_panels
from llmrec.tables.report_data import report_data
from llmrec.tables.tidy_csv import tidy_csv
from tests.tables.fake_runs import TINY, hits, write_run
from tests.tables.small_table import TABLE, jobs_of, small_table

BINS = "MGU@5: {metric_path: fairness.popularity.mgu@5, direction: lower}"
REFERRED = TABLE.replace(
    BINS,
    f"{BINS}\n      MGU@5 relevance: {{metric_path: fairness.relevance.mgu@5, direction: lower}}"
    "\n      hallucination: {metric_path: hallucination.semantic_share, direction: lower}",
).replace("tested: [NDCG@10]", "tested: [NDCG@10, MGU@5 relevance, hallucination]")
"""The small table with metrics that are made of relevance and of embeddings."""
OTHER = {"model": "other", "weights": "2" * 64}


def referred(root: Path, references: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """The report of a table whose runs, by row and seed, were measured with these reference models."""
    table = small_table(root / "tables", REFERRED)
    jobs = jobs_of(table)
    for (row, seed), reference in references.items():
        write_run(jobs[row, "games", seed], hits(seed), reference=reference)
    return report_data([table], "smoke")


def test_metrics_of_another_reference_model_are_left_out_by_name(root: Path) -> None:
    same, other = {"relevance": TINY, "embeddings": TINY}, {"relevance": OTHER, "embeddings": TINY}
    runs = {("SFT", 1): same, ("SFT", 2): same, ("MSL", 1): other, ("MSL", 2): other, ("popularity", 1): same}
    report = referred(root, runs)
    (table,) = report["tables"]
    sft, msl, popularity = (row["cells"]["games-sim"] for row in table["rows"])
    assert msl["MGU@5 relevance"] is None
    # What is made of embeddings, of which the model is one, or of no model is compared as ever.
    for metric in ("NDCG@10", "MGU@5", "hallucination"):
        assert msl[metric]["gain"] is not None
    assert sft["MGU@5 relevance"] is not None
    assert popularity["MGU@5 relevance"]["gain"] == 0
    # Of the two other rows one is tested, and Holm's correction is over that one.
    assert any("(NDCG@10 2, MGU@5 relevance 1, hallucination 2)" in line for line in table["notes"])
    note = "Left out: MGU@5 relevance of MSL on games-sim: runs have different reference models"
    assert [line for line in table["notes"] if "Left out" in line] == [f"{note} (other 22222222, tiny 11111111)."]
    assert note in markdown(report)
    lines = csv.DictReader(io.StringIO(tidy_csv(table)))
    (line,) = (line for line in lines if (line["row"], line["metric"]) == ("MSL", "MGU@5 relevance"))
    assert (line["mean"], line["p_holm"]) == ("", "")
    assert line["reason"] == "left out: runs have different reference models"


def test_seeds_of_different_reference_models_have_no_mean(root: Path) -> None:
    same, other = {"relevance": TINY, "embeddings": TINY}, {"relevance": TINY, "embeddings": OTHER}
    report = referred(root, {("SFT", 1): same, ("SFT", 2): same, ("MSL", 1): same, ("MSL", 2): other})
    (table,) = report["tables"]
    _, msl, popularity = (row["cells"]["games-sim"] for row in table["rows"])
    assert msl["hallucination"] is None
    assert msl["MGU@5 relevance"]["seeds"] == 2
    assert popularity["hallucination"] is None
    assert [line.split(":")[1] for line in table["notes"] if "Left out" in line] == [
        " hallucination of MSL on games-sim"
    ]


def test_a_copy_of_the_reference_model_is_the_same(root: Path) -> None:
    same, copied = ({"relevance": TINY | {"model": name}, "embeddings": None} for name in ("tiny", "a folder"))
    (table,) = referred(root, {("SFT", 1): same, ("MSL", 1): copied})["tables"]
    assert table["rows"][1]["cells"]["games-sim"]["MGU@5 relevance"]["gain"] == 0


def test_bins_of_different_reference_models_are_not_drawn_together(root: Path) -> None:
    same, other = {"relevance": TINY, "embeddings": TINY}, {"relevance": OTHER, "embeddings": TINY}
    for reference, dots in ((same, 2), (other, 0)):
        report = referred(root, {("SFT", 1): same, ("MSL", 1): reference})
        popularity, relevance = bias_panels(report, report["tables"][0])
        drawn = [
            [mark.row for mark in panel.draw(Figure().subplots()) if mark.row] for panel in (popularity, relevance)
        ]
        assert [len(rows) for rows in drawn] == [2, dots]
        shutil.rmtree(root / "runs")


def test_rows_without_their_reference_row_are_held_against_the_first(root: Path) -> None:
    same, other = {"relevance": TINY, "embeddings": TINY}, {"relevance": OTHER, "embeddings": OTHER}
    report = referred(root, {("MSL", 1): same, ("popularity", 1): other})
    _, msl, popularity = (row["cells"]["games-sim"] for row in report["tables"][0]["rows"])
    assert msl["MGU@5 relevance"] is not None
    assert popularity["MGU@5 relevance"] is None
    assert popularity["NDCG@10"] is not None
