"""The tables that ship: they are read, and carry over what was published as it was printed."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.tables.read_table import SHIPPED, read_table, shipped_table


@pytest.mark.parametrize("name", SHIPPED)
def test_gains_are_over_sft_and_scales_are_three(name: str) -> None:
    table = shipped_table(name)
    assert table.reference == "SFT"
    assert list(table.presets) == ["smoke", "cpu", "paper"]
    assert "dataset.source=simulated" in table.preset("smoke").overrides
    assert table.preset("paper").needs == "gpu"
    assert set(table.tested) <= {metric.name for metric in table.metrics}
    assert all(block.source and block.backbone and block.selection for block in table.published)


def test_published_figures_are_those_that_were_printed() -> None:
    # arXiv 2504.04178v4, Table 5.
    figures = shipped_table("msl_accuracy").published[0].figures
    assert figures["BIGRec + MSL"]["office"] == {"NDCG@5": 0.0402, "NDCG@10": 0.0438, "HR@5": 0.0556, "HR@10": 0.0665}
    assert figures["LLaRA + S-DPO"]["clothing"]["HR@10"] == 0.0206


def test_what_is_wrong_in_a_table_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "scales.yaml").write_text("smoke: {seeds: [1], overrides: []}\n")
    (tmp_path / "mine.yaml").write_text("title: A table\n")
    with pytest.raises(InputError, match=r"mine\.yaml"):
        read_table(tmp_path / "mine.yaml")
    with pytest.raises(InputError, match=r"there is no such table; choose from msl_accuracy"):
        shipped_table("none")
