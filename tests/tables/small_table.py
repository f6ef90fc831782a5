"""A table of three rows on one simulated set, so that planning it takes moments."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from llmrec.tables import records
from llmrec.tables.definition import Table
from llmrec.tables.planned_runs import plan_runs, table_positions
from llmrec.tables.read_table import read_table
from llmrec.training.plan import Job

SCALES = """
    smoke:
      seeds: [1, 2]
      overrides: [scale=debug, dataset.source=simulated]
      seconds: 60
"""
TABLE = """
    title: A comparison
    about: Of little.
    task: next_item
    scores: trie
    reference: SFT
    metrics:
      NDCG@10: {metric_path: by_title.ndcg@10, direction: higher}
      MGU@5: {metric_path: fairness.popularity.mgu@5, direction: lower}
      epoch: {metric_path: cost.seconds_per_epoch, direction: lower, digits: 1, unit: s}
    tested: [NDCG@10]
    rows:
      SFT: [objective=sft]
      MSL: [objective=msl]
      popularity: {overrides: [baseline=popularity], once: true}
    scales:
      smoke: {datasets: [games]}
    notes: [A note of its own.]
    published:
      - source: A paper, Table 1
        backbone: a model
        selection: on test
        scores: vocab
        metrics: [NDCG@10]
        datasets: [toys, books]
        rows: {SFT: [.0101, .0220]}
"""
RERANK = """
    title: Re-ranking
    about: Of lists.
    task: rerank
    scores: null
    reference: SFT
    metrics:
      NDCG@10: {metric_path: by_list.ndcg@10, direction: higher}
      order std: {metric_path: position.ndcg_std, direction: lower}
      ranking: {metric_path: cost.lists_per_second, direction: higher, digits: 0, unit: lists/s}
    tested: [NDCG@10, order std]
    rows:
      SFT: [objective=sft, task=rerank]
      mean rating:
        overrides: [baseline=mean_rating, task=rerank]
        once: true
        excluded_datasets: {games: games has no ratings}
    scales:
      smoke: {datasets: [movielens_100k, games], seeds: [1]}
"""
Jobs = Mapping[tuple[str, str, int], Job]
"""By row, set and seed."""


def small_table(folder: Path, text: str = TABLE, scales: str = SCALES, name: str = "small") -> Table:
    """The table that a YAML of this text is, with this scales.yaml beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "scales.yaml").write_text(dedent(scales))
    (folder / f"{name}.yaml").write_text(dedent(text))
    return read_table(folder / f"{name}.yaml")


def jobs_of(table: Table) -> Jobs:
    """The jobs of its cells at scale smoke."""
    cells = plan_runs([table], "smoke")
    planned = {
        (position.row.name, position.dataset, position.seed): cells[position.overrides].job
        for position in table_positions(table, "smoke")
    }
    return {place: job for place, job in planned.items() if job}


def use_folders(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Data, cache and runs below a folder, and experiments/ with its records."""
    for name in ("DATA", "CACHE", "RUNS"):
        monkeypatch.setenv(f"LLMREC_{name}", str(root / name.lower()))
    monkeypatch.setattr(records, "tables_dir", lambda: str(root / "experiments"))
