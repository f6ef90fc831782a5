"""Table YAMLs: those that ship can be used, others are refused with the key that is wrong."""

import re
from pathlib import Path
from statistics import mean

import pytest

from llmrec.compose import shipped_config
from llmrec.conf_dir import tables_dir
from llmrec.errors import InputError
from llmrec.tables.definition import Metric, Table
from llmrec.tables.planned_runs import table_positions
from llmrec.tables.read_table import SCALES, SHIPPED, read_table, shipped_table
from llmrec.training.plan import plan_job
from tests.tables.small_table import RERANK, TABLE, small_table

FILES = sorted(Path(tables_dir()).glob("*.yaml"))


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: shipped_table(name) for name in SHIPPED}


def test_all_yamls_of_the_folder_are_tables_but_the_scales() -> None:
    assert {file.name for file in FILES} == {*(f"{name}.yaml" for name in SHIPPED), SCALES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_first_line_holds_the_command_that_uses_the_file(file: Path) -> None:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    argument = "scale=smoke" if file.name == SCALES else f"tables={file.stem}"
    assert first == f"# python -m llmrec.report {argument}"


@pytest.mark.parametrize("name", SHIPPED)
def test_gains_are_over_sft_and_every_table_has_three_scales(name: str, tables: dict[str, Table]) -> None:
    table = tables[name]
    assert table.reference == "SFT"
    assert [scale for scale in table.presets if not scale.startswith("llm-")] == ["smoke", "cpu", "paper"]
    assert table.preset("paper").needs == "gpu"


def test_tables_of_a_task_share_their_cells_at_a_scale(tables: dict[str, Table]) -> None:
    sft = {
        position.overrides for table in tables.values() if table.task == "next_item"
        for position in table_positions(table, "smoke")
        if position.row.overrides == ("objective=sft",)
    }  # fmt: skip
    assert len(sft) == 2 * 3
    others = [table for name, table in tables.items() if name != "efficiency"]
    run_anyway = {position.overrides for table in others for position in table_positions(table, "smoke")}
    assert {position.overrides for position in table_positions(tables["efficiency"], "smoke")} <= run_anyway


def test_smoke_never_depends_on_what_lies_in_the_data_folder(tables: dict[str, Table]) -> None:
    for table in tables.values():
        assert "dataset.source=simulated" in table.preset("smoke").overrides
        for scale in ("cpu", "paper"):
            assert "dataset.source=real" in table.preset(scale).overrides
        assert table.preset("paper").needs == "gpu"


@pytest.mark.slow
def test_every_row_of_every_shipped_table_can_be_planned(tables: dict[str, Table]) -> None:
    planned = {}
    with shipped_config():
        for table in tables.values():
            for row in table.rows:
                position = next(position for position in table_positions(table, "smoke") if position.row == row)
                if position.overrides not in planned:
                    planned[position.overrides] = plan_job(position.overrides)
                folder = planned[position.overrides].run.folder
                assert folder.parts[-5] == f"{position.dataset}-sim"
                assert folder.parts[-4] == table.task
    assert len({job.record for job in planned.values()}) == len(planned)


def test_published_gain_of_msl_is_the_headline_of_its_paper(tables: dict[str, Table]) -> None:
    # arXiv 2504.04178: over the better of LML and S-DPO, three backbones' recommenders and four sets, NDCG@10: 42.24 %.
    block = tables["msl_accuracy"].published[0]
    gains = [
        block.figures[f"{base} + MSL"][name]["NDCG@10"]
        / max(block.figures[f"{base} + {other}"][name]["NDCG@10"] for other in ("LML", "S-DPO"))
        - 1
        for base in ("BIGRec", "LLaRA", "A-LLMRec")
        for name in block.datasets
    ]
    assert len(gains) == 12
    assert 100 * mean(gains) == pytest.approx(42.24, abs=0.005)


def test_published_figures_stand_where_their_source_has_them(tables: dict[str, Table]) -> None:
    table5, table3, trie, replication, d3 = tables["msl_accuracy"].published
    # arXiv 2504.04178v4, Table 5: Office, SASRec; Books, LLaRA + MSL.
    assert list(table5.figures["SASRec"]["office"].values()) == [0.0132, 0.0183, 0.0260, 0.0421]
    assert list(table5.figures["LLaRA + MSL"]["books"].values()) == [0.0135, 0.0175, 0.0244, 0.0365]
    # Table 3: S-DPO on Books, mean and spread.
    assert list(table3.figures["S-DPO"]["books"].values()) == [0.0124, 0.0019]
    # The README of its code: Books with trie scores.
    assert list(trie.figures["MSL (tau 1)"]["books"].values()) == [0.0106, 0.0138, 0.0171, 0.0269]
    assert replication.figures["MSL"]["toys"]["HR@10"] == 0.0327
    # The README of DecodingMatters: games, HR@10 first.
    assert d3.figures["D3"]["games"] == {"HR@10": 0.085, "NDCG@10": 0.052}
    assert [block.scores for block in tables["msl_accuracy"].published] == ["vocab", None, "trie", "trie", None]
    # Table 6: what MSL + ATS has there are the figures of BIGRec + MSL in Table 5.
    (table6,) = tables["msl_ablation"].published
    for name in table6.datasets:
        assert table6.figures["MSL + ATS"][name]["NDCG@10"] == table5.figures["BIGRec + MSL"][name]["NDCG@10"]
    # The abstract of arXiv 2510.10978; R2ec's table.
    assert list(tables["gdrt_fairness"].published[0].figures["GDRT"]["sets not known"].values()) == [24.29, -37.43]
    assert tables["rosepo_harm"].published[0].figures["RosePO"]["goodreads"] == {"NDCG@5": 0.0215, "HR@5": 0.0300}
    assert tables["alro_rerank"].published == ()


def test_a_table_adds_to_a_scale_and_takes_other_seeds(tmp_path: Path) -> None:
    own = "smoke: {datasets: [games], seeds: [7], overrides: [trainer.epochs=1], scores: vocab}"
    preset = small_table(tmp_path, TABLE.replace("smoke: {datasets: [games]}", own)).preset("smoke")
    assert preset.overrides == ("scale=debug", "dataset.source=simulated", "trainer.epochs=1")
    assert (preset.seeds, preset.scores, preset.seconds) == ((7,), "vocab", 60)


def test_a_scale_that_a_table_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scale=cpu: table small has smoke"):
        small_table(tmp_path).preset("cpu")


def test_a_table_that_does_not_exist() -> None:
    with pytest.raises(InputError, match=r"tables=nothing: there is no such table. Choose from msl_accuracy"):
        shipped_table("nothing")


BAD = {
    "task: next_item": ("task: ranking", "task: 'ranking' is not one of next_item, candidates, rerank"),
    "scores: trie": ("scores: null", "scores: null is not one of trie, vocab"),
    "reference: SFT": ("reference: LML", "reference: 'LML' is not one of SFT, MSL, popularity"),
    "tested: [NDCG@10]": ("tested: [epoch]", "tested: epoch cannot be tested by resampling users"),
    "[NDCG@10]\n    rows": ("[NDCG@5]\n    rows", "tested: 'NDCG@5' is not one of NDCG@10, MGU@5, epoch"),
    "by_title.ndcg@10,": ("ndcg@10,", "metrics.NDCG@10: metric_path 'ndcg@10' is no metric of a record"),
    "direction: lower}": ("direction: less}", "metrics.MGU@5.direction: 'less' is not one of higher, lower, null"),
    "digits: 1": ("decimals: 1", "metrics.epoch: unknown key decimals. Known keys: name, metric_path"),
    "[objective=msl]": ("objective=msl", "rows.MSL: expected a mapping of names to settings"),
    "[baseline=popularity]": ("baseline=popularity", "rows.popularity.overrides: expected a list of strings"),
    "smoke: {datasets: [games]}": ("large: {datasets: [games]}", "scales: 'large' is not one of smoke"),
    "datasets: [games]": ("seeds: [1]", "scales.smoke.datasets: expected a list of strings, got None"),
    "{datasets: [games]}": (
        "{datasets: [games], seeds: [one]}",
        "scales.smoke.seeds: expected a list of integers",
    ),
    "SFT: [.0101, .0220]": ("SFT: [.0101]", "published[0].rows.SFT: expected 2 datasets with 1 values each"),
    "[.0101, .0220]": ("[.0101, high]", "published[0].rows.SFT: 'high' is not a number"),
    "selection: on test": ("chosen: on test", "published[0]: unknown key chosen"),
    "about: Of little.": ("", "about is missing"),
    "title: A comparison": ("heading: A comparison", "unknown key heading"),
}
"""What of TABLE is replaced -> by what, and what the error says."""


@pytest.mark.parametrize("part", BAD)
def test_what_cannot_be_used_is_named(part: str, tmp_path: Path) -> None:
    other, message = BAD[part]
    assert part in TABLE
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'small.yaml'}: {message}")):
        small_table(tmp_path, TABLE.replace(part, other))


def test_the_direction_is_by_default_that_of_the_metric(tmp_path: Path) -> None:
    metrics = "NDCG@10: {metric_path: by_title.ndcg@10}\n      MGU@5: {metric_path: fairness.popularity.mgu@5}"
    text = TABLE.replace(", direction: higher}\n      MGU@5", "}\n      MGU@5").replace(", direction: lower}", "}")
    assert metrics in text
    directions = {metric.name: metric.direction for metric in small_table(tmp_path, text).metrics}
    # The time of an epoch states its own.
    assert directions == {"NDCG@10": "higher", "MGU@5": "lower", "epoch": "lower"}


def test_a_table_can_state_another_direction(tmp_path: Path) -> None:
    share = "MGU@5: {metric_path: fairness.head20_share"
    text = TABLE.replace("MGU@5: {metric_path: fairness.popularity.mgu@5", share)
    assert [metric.direction for metric in small_table(tmp_path, text).metrics] == ["higher", "lower", "lower"]
    (_, undirected, _) = small_table(tmp_path, text.replace(f"{share}, direction: lower}}", f"{share}}}")).metrics
    assert undirected.direction is None


OWN = TABLE.replace(
    "    metrics:\n", "    own_metrics: [novelty]\n    metrics:\n      novelty: {metric_path: novelty.mean}\n"
)


def test_a_table_with_a_metric_of_ones_own(tmp_path: Path) -> None:
    table = small_table(tmp_path, OWN.replace("tested: [NDCG@10]", "tested: [novelty]"))
    assert table.own_metrics == ("novelty",)
    assert table.metrics[0] == Metric("novelty", "novelty.mean", direction=None)
    assert table.tested == ("novelty",)


@pytest.mark.parametrize(
    ("part", "other", "message"),
    [
        ("own_metrics: [novelty]", "", "metrics.novelty: metric_path 'novelty.mean' is no metric of a record"),
        ("own_metrics: [novelty]", "own_metrics: novelty", "own_metrics: expected a list of strings, got 'novelty'"),
        ("path: novelty.mean", "path: novel.mean", "metrics.novelty: metric_path 'novel.mean' is no metric"),
    ],
)
def test_metrics_of_ones_own_must_be_named(part: str, other: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        small_table(tmp_path, OWN.replace(part, other))


def test_only_means_over_rows_of_ones_own_metric_can_be_tested(tmp_path: Path) -> None:
    text = OWN.replace("novelty.mean", "novelty.median").replace("tested: [NDCG@10]", "tested: [novelty]")
    with pytest.raises(InputError, match="tested: novelty cannot be tested by resampling users"):
        small_table(tmp_path, text)


def test_a_rerank_table_has_no_scores(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="scores: 'trie' is not one of null"):
        small_table(tmp_path, RERANK.replace("scores: null", "scores: trie"))


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_table(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="is not valid YAML"):
        small_table(tmp_path, "title: [unclosed")
    with pytest.raises(InputError, match="expected keys such as title and rows, got list"):
        small_table(tmp_path, "- a\n- b\n")
