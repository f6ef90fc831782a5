"""What a report says of finished, failed and missing cells, in every kind of file."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from llmrec.errors import InputError
from llmrec.tables.latex import latex
from llmrec.tables.markdown import markdown, measured
from llmrec.tables.page import render
from llmrec.tables.page.plots import page_plots
from llmrec.tables.plans import FILE, _fits
from llmrec.tables.plot_files import write_plots
from llmrec.tables.plots import bias_panels
from llmrec.tables.report_data import report_data
from llmrec.tables.runs import Run
from llmrec.tables.tidy_csv import tidy_csv
from tests.tables.fake_runs import HISTORIES, TINY, USERS, write_lists, write_run
from tests.tables.small_table import RERANK, SCALES, TABLE, jobs_of, small_table, use_folders


def hits(count: int) -> list[int]:
    """The first rows have their target in the first place, the others nowhere."""
    return [int(row < count) for row in range(len(USERS))]


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


def test_records_of_another_score_mode_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    write_run(jobs_of(table)["SFT", "games", 1], hits(1), decoding={"scores": "vocab"})
    with pytest.raises(InputError, match=r"scores=vocab, table small of scores=trie: tables never mix"):
        report_data([table], "smoke")


def test_records_of_another_task_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    write_lists(jobs_of(table)["SFT", "games", 1], [0.5] * len(USERS))
    with pytest.raises(InputError, match=r"task=rerank, table small of task=next_item"):
        report_data([table], "smoke")


def test_real_and_simulated_sets_never_share_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    folder = tmp_path / "data" / "movielens_100k"
    folder.mkdir(parents=True)
    films = [f"{film}|Film {film}|01-Jan-1995||http://x|" + "|".join(["0"] * 18 + ["1"]) for film in range(1, 31)]
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    rated = [f"{user}\t{film}\t{1 + film % 5}\t{880000000 + 100 * film + user}"
             for user in range(1, 21) for film in range(1, 31)]  # fmt: skip
    (folder / "u.data").write_text("\n".join(rated) + "\n")
    scales = "smoke: {seeds: [1], overrides: [scale=debug]}"
    with pytest.raises(InputError, match=r"table small at scale=smoke has real and simulated sets"):
        report_data([small_table(tmp_path / "tables", RERANK, scales)], "smoke")


def test_records_of_another_set_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    job = jobs_of(table)["SFT", "games", 1]
    split = write_run(job, hits(1)).test | {"dataset": "games"}
    (job.record / "metrics.json").write_text(json.dumps(Run(job).record | {"splits": {"test": split}}))
    (job.record / "checksums.json").unlink()
    with pytest.raises(InputError, match=r"dataset=games, table small of dataset=games-sim: tables never mix"):
        report_data([table], "smoke")


def test_splits_by_time_and_leave_one_out_are_never_in_one_table(root: Path) -> None:
    mixed = TABLE.replace("MSL: [objective=msl]", "MSL: [objective=msl, dataset.split=leave_one_out]")
    table = small_table(root / "tables", mixed)
    jobs = jobs_of(table)
    write_run(jobs["SFT", "games", 1], hits(1))
    write_run(jobs["MSL", "games", 1], hits(2))
    message = r"dataset=games-leave-one-out-sim, table small of dataset=games-sim: tables never mix .* splits"
    with pytest.raises(InputError, match=message):
        report_data([table], "smoke")


def test_a_table_of_leave_one_out_says_so(root: Path) -> None:
    scales = SCALES.replace("dataset.source=simulated", "dataset.source=simulated, dataset.split=leave_one_out")
    table = small_table(root / "tables", TABLE, scales)
    write_run(jobs_of(table)["SFT", "games", 1], hits(1))
    report = report_data([table], "smoke")
    assert report["tables"][0]["datasets"] == ["games-leave-one-out-sim"]
    assert [run["dataset"] for run in report["runs"].values()] == ["games-leave-one-out-sim"]
    note = (
        "games-leave-one-out-sim: split leave_one_out: training rows of some users are later than test rows of others."
    )
    assert any(line.startswith(note) for line in report["tables"][0]["notes"])
    assert "- games-leave-one-out-sim: split leave" in markdown(report).replace("\\", "")


def test_few_test_users_are_a_note(root: Path) -> None:
    table = small_table(root / "tables")
    write_run(jobs_of(table)["SFT", "games", 1], hits(1))
    (shown,) = report_data([table], "smoke")["tables"]
    count = len(set(USERS))
    note = f"games-sim: test has {count} users, fewer than 100: standard errors and intervals are rough."
    assert shown["notes"].count(note) == 1


def test_only_more_than_one_seed_is_called_significant(root: Path) -> None:
    table = small_table(root / "tables", TABLE.replace("[NDCG@10]\n    rows", "[NDCG@10, MGU@5]\n    rows"))
    jobs = jobs_of(table)
    for seed in (1, 2):
        write_run(jobs["SFT", "games", seed], hits(2))
    write_run(jobs["MSL", "games", 1], hits(2), lists=HISTORIES)
    for seed, significant in ((1, False), (2, True)):
        if seed == 2:
            write_run(jobs["MSL", "games", seed], hits(2), lists=HISTORIES)
        cell = report_data([table], "smoke")["tables"][0]["rows"][1]["cells"]["games-sim"]["MGU@5"]
        # Every user's lists are as their history is.
        assert (cell["p"] < 0.001, cell["significant"]) == (True, significant)


NOVELTY = TABLE.replace(
    "    metrics:\n",
    "    own_metrics: [novelty]\n    metrics:\n      novelty: {metric_path: novelty.mean, direction: higher}\n",
)
NOVELTY = NOVELTY.replace("tested: [NDCG@10]", "tested: [NDCG@10, novelty]")
"""The small table with a metric of the user's own."""


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


def test_the_protocol_of_each_dataset_is_named(root: Path) -> None:
    table = small_table(root / "tables")
    jobs = jobs_of(table)
    write_run(jobs["SFT", "games", 1], hits(1))
    assert "Protocol on games-sim: 80b2e4d7." in report_data([table], "smoke")["tables"][0]["notes"]
    write_run(jobs["MSL", "games", 1], hits(1), protocol="1f0a93cc")
    differing = "Protocols on games-sim differ, as in items, decoding or versions: 80b2e4d7 (SFT); 1f0a93cc (MSL)."
    assert differing in report_data([table], "smoke")["tables"][0]["notes"]


def test_edited_code_is_named(root: Path) -> None:
    table = small_table(root / "tables", REFERRED)
    job = jobs_of(table)["SFT", "games", 1]
    run = write_run(
        job, hits(1), code={"ranking": {"edited": {"decoding/rank.py": "0123"}}, "measuring": {"edited": {}}}
    )
    assert run.edited == ["decoding/rank.py"]
    report = report_data([table], "smoke")
    assert "Made with edited code: decoding/rank.py." in report["tables"][0]["notes"]
    assert [run["edited"] for run in report["runs"].values()] == [["decoding/rank.py"]]


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


def test_rows_without_their_reference_row_are_held_against_the_first(root: Path) -> None:
    same, other = {"relevance": TINY, "embeddings": TINY}, {"relevance": OTHER, "embeddings": OTHER}
    report = referred(root, {("MSL", 1): same, ("popularity", 1): other})
    _, msl, popularity = (row["cells"]["games-sim"] for row in report["tables"][0]["rows"])
    assert msl["MGU@5 relevance"] is not None
    assert popularity["MGU@5 relevance"] is None
    assert popularity["NDCG@10"] is not None


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


def test_plans_are_kept_until_what_they_follow_from_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    table = small_table(tmp_path / "tables", TABLE)
    first, kept = jobs_of(table), tmp_path / "cache" / FILE
    stamp = kept.stat().st_mtime_ns
    assert jobs_of(table) == first
    assert kept.stat().st_mtime_ns == stamp
    # Cut short, as by a full disk.
    kept.write_text(kept.read_text()[:100])
    assert jobs_of(table) == first
    monkeypatch.setenv("LLMREC_RUNS", str(tmp_path / "elsewhere"))
    moved = jobs_of(table)
    assert {str(job.run.folder).startswith(str(tmp_path / "elsewhere")) for job in moved.values()} == {True}


def test_a_plan_that_runs_something_else_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    table = small_table(tmp_path / "tables", TABLE)
    first, file = jobs_of(table), tmp_path / "cache" / FILE
    kept = json.loads(file.read_text())
    for plan in kept["plans"].values():
        plan["overrides"].append("objective._target_=torch.hub.load")
    file.write_text(json.dumps(kept))
    assert jobs_of(table) == first


@pytest.mark.parametrize(
    ("words", "fits"),
    [
        (["task=next_item", "seed=1", "stage=none", "objective=sft"], True),
        (["task=next_item", "seed=1", "stage=none", "baseline=sasrec", "baseline.patience=0"], True),
        (["objective=sft", "objective._target_=torch.hub.load"], False),
        (["--config-dir", "elsewhere"], False),
        (["task={_target_: torch.hub.load}"], False),
        (["hydra.searchpath=[elsewhere]"], False),
    ],
)
def test_a_kept_plan_has_stages_of_words_that_were_asked_for_or_ship(words: list[str], fits: bool) -> None:
    asked = ("objective=rosepo", "seed=1", 'stage.oracle=["baseline=sasrec","baseline.patience=0"]')
    plan = {"overrides": list(asked), "stages": [{"overrides": words, "stages": []}]}
    assert _fits(plan, asked) == fits
