"""A long evaluation is kept in parts: an interrupted one goes on, and ranks as one that is not divided."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llmrec.datasets.dataset import Rows
from llmrec.tasks.catalogue_ranker import ModelRanker
from llmrec.training.run_configuration import run_configuration
from tests.training.small import composed

USERS, PART = 8, 3


class Interrupted(Exception):
    """Ends an evaluation."""


def evaluate(root: Path, cache: Path) -> pa.Table:
    """Evaluates a model that is not tuned, on USERS test rows; returns its ranking."""
    with composed(root, f"paths.cache={cache}", "trainer.epochs=0", "evaluation.splits=[test]") as config:
        run_configuration(config)
    (file,) = root.glob("runs/**/ranking.parquet")
    return pq.read_table(file)


def watched(monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> list[int]:
    """Returns the number of rows of each call of the ranker, which fails at one of the calls."""
    sizes: list[int] = []
    rank: Callable[..., Any] = ModelRanker.rank

    def call(ranker: ModelRanker, rows: Rows, *others: Any) -> Any:
        if len(sizes) == fails_at:
            raise Interrupted
        sizes.append(len(rows))
        return rank(ranker, rows, *others)

    monkeypatch.setattr(ModelRanker, "rank", call)
    return sizes


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_evaluation_goes_on_after_its_finished_parts(
    damaged: bool, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(tmp_path / "whole", cache)
    monkeypatch.setattr("llmrec.tasks.parts.PART_ROWS", PART)
    root = tmp_path / "parts"
    with monkeypatch.context() as patch:
        watched(patch, fails_at=1)
        with pytest.raises(Interrupted):
            evaluate(root, cache)
    (kept,) = root.glob("runs/**/*.parquet")
    assert kept.name == "0.parquet"
    if damaged:
        kept.write_bytes(kept.read_bytes()[:-9])
    sizes = watched(monkeypatch)
    ranking = evaluate(root, cache)
    assert sizes == ([PART] if damaged else []) + [PART, USERS - 2 * PART]
    assert not list(root.glob("runs/**/parts"))
    # Batches of other rows round differently.
    scores = [np.concatenate(table["scores"].to_pylist()) for table in (whole, ranking)]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    assert ranking.drop_columns("scores").equals(whole.drop_columns("scores"))
