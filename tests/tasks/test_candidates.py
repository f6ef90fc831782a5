"""Task candidates: HR@1, answers in generated texts and the record, worked out by hand; what is ranked and how."""

from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from math import log2
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from llmrec.baselines.popularity import Popularity
from llmrec.baselines.random import Random
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.decoding.candidates_decoder import TitleScoreDecoder
from llmrec.errors import InputError
from llmrec.evaluation.accuracy import hit, title_ranks
from llmrec.evaluation.record import read_part, write_part
from llmrec.tasks.base import Progress, build_task
from llmrec.tasks.candidates_ranker import BaselineCandidateRanker, ModelCandidateRanker
from llmrec.tasks.candidates_validation import validate_candidates
from tests.evaluation.small import DATASET, TEST
from tests.invariants.world import ROWS, random_backbone, title_data
from tests.tasks.given import ranked_parts, record_of_parts, run_config

# Distinct titles: 0 Anno (items a and d), 1 Braid, 2 Civ, 3 Doom, 4 Elite. Targets of test: d, c, f, b.
# Targets of train: Anno 2, Civ 2, Braid 1.
SHOWN = np.array([[5, 3, 4], [2, 5, 1], [3, 5, 2], [4, 2, 1]], dtype=np.int32)
"""Candidates of the rows of test: Elite, Anno, Doom; Civ, Elite, Braid; Anno, Elite, Civ; Doom, Civ, Braid."""
RANKED = np.array([[0, 4, 3], [4, 2, 1], [0, 2, 4], [1, 3, 2]])
"""The targets Anno, Civ, Elite and Braid are at 1, 2, 3 and 1."""
ANSWERS = [0, 4, -1, 1]
"""A text that is the target, one that is another candidate, one that is none, and a target again."""
TEXTS = ['"Anno"', '"Elite"', None, '"Braid"']
DATA = replace(DATASET, test=replace(TEST, candidates=SHOWN), report={"split_by": "time"})


class Given:
    """A ranker whose rankings and answers are given."""

    name = "model"
    decoder = TitleScoreDecoder()

    def __init__(self, ranked: np.ndarray = RANKED, answers: Sequence[int] = ANSWERS) -> None:
        self.ranked, self.given = ranked, answers

    def rank(self, rows: Rows, split: str, progress: Progress) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        return self.ranked, np.zeros(self.ranked.shape), {}

    def target_titles(self, rows: Rows) -> np.ndarray:
        return DATASET.items.title_of[rows.target]

    def answers(self, rows: Rows, progress: Progress) -> tuple[Sequence[str | None], np.ndarray]:
        return TEXTS, np.array(self.given)


def record_of(ranker: Given, dataset: Dataset = DATA, **evaluation: Any) -> tuple[dict[str, Any], pa.Table]:
    config = run_config("candidates", **evaluation)
    return record_of_parts(ranked_parts(ranker, dataset, "test", config), dataset, "test", config)


def test_the_record_by_hand() -> None:
    record, rows = record_of(Given(), unconstrained=True)
    by_title, popular = record["by_title"], record["popularity_baseline"]["by_title"]
    assert rows["by_title.hr@1"].to_pylist() == [1, 0, 0, 1]
    assert by_title["hr@1"] == 0.5
    # NDCG@5 and others have more places than there are candidates.
    assert by_title.keys() == {"hr@1"}
    assert rows["by_title.rank"].to_pylist() == [1, 2, 3, 1]
    # Popularity: Anno before Doom and Elite; Civ before Braid and Elite; Anno and Civ before Elite; Civ before Braid.
    assert popular["hr@1"] == 0.5
    assert record["random_order"] == {"hr@1": pytest.approx(1 / 3)}
    assert (record["rows"], record["candidates"], record["users"]) == (4, 3, 4)


def test_answers_by_hand() -> None:
    record, rows = record_of(Given(), unconstrained=True)
    # Two of four texts are the target, three of four are a candidate: two of the three valid ones are the target.
    assert record["unconstrained"] == {
        "hr@1": 0.5, "valid_ratio": 0.75, "hr@1_of_valid": pytest.approx(2 / 3), "rows": 4,
    }  # fmt: skip
    assert rows["unconstrained.hr@1"].to_pylist() == [1, 0, 0, 1]
    assert rows["unconstrained.valid_ratio"].to_pylist() == [1, 1, 0, 1]
    nothing, _ = record_of(Given(answers=[-1] * 4), unconstrained=True)
    assert nothing["unconstrained"] == {"hr@1": 0, "valid_ratio": 0, "rows": 4}
    assert "unconstrained" not in record_of(Given())[0]


def test_twenty_candidates_are_ranked_by_chance_at_one_in_twenty() -> None:
    rows = Rows(
        user=np.array([str(row) for row in range(4000)], dtype=object),
        history=np.zeros(0, dtype=np.int32), offsets=np.zeros(4001, dtype=np.int64),
        target=np.arange(4000, dtype=np.int32) % 20, timestamp=np.zeros(4000, dtype=np.int64),
        candidates=np.tile(np.arange(20, dtype=np.int32), (4000, 1)),
    )  # fmt: skip
    items = replace(DATASET.items, ids=[str(n) for n in range(20)], titles=[f"Title {n}" for n in range(20)])
    dataset = replace(DATASET, items=items, train=rows, test=rows)
    baseline = Random()
    baseline.fit(dataset, SimpleNamespace(seed=0))  # type: ignore[arg-type]
    titles, _, _ = BaselineCandidateRanker("random", baseline, dataset, TitleScoreDecoder()).rank(
        rows, "test", lambda done: None
    )
    first = hit(title_ranks(titles, rows.target), 1).mean()
    # Four standard errors of a share of .05 of 4,000 rows.
    assert first == pytest.approx(0.05, abs=4 * (0.05 * 0.95 / 4000) ** 0.5)


def test_a_random_order_of_twenty_has_the_expected_figures() -> None:
    ranks = np.arange(1, 21)
    rows = Rows(
        user=np.array([f"u{rank}" for rank in ranks], dtype=object),
        history=np.zeros(0, dtype=np.int32), offsets=np.zeros(21, dtype=np.int64),
        target=np.arange(20, dtype=np.int32), timestamp=np.zeros(20, dtype=np.int64),
        candidates=np.tile(np.arange(20, dtype=np.int32), (20, 1)),
    )  # fmt: skip
    items = replace(DATASET.items, ids=[str(n) for n in range(20)], titles=[f"Title {n:02}" for n in range(20)])
    dataset = replace(DATA, items=items, test=rows, train=rows)
    config = run_config("candidates")
    ranker = Given(np.tile(np.arange(20), (20, 1)))
    ranker.target_titles = lambda rows: rows.target  # type: ignore[method-assign]
    record, _ = record_of_parts(ranked_parts(ranker, dataset, "test", config), dataset, "test", config)
    # Its targets are at all ranks once.
    expected = {name: value for name, value in record["by_title"].items() if name != "ndcg@10_se"}
    assert record["random_order"] == expected
    assert expected["hr@1"] == pytest.approx(0.05)
    assert expected["ndcg@5"] == pytest.approx(sum(1 / log2(1 + rank) for rank in range(1, 6)) / 20)


def test_a_ranking_that_was_written_gives_the_record_of_the_one_in_memory(tmp_path: Path) -> None:
    config = run_config("candidates", unconstrained=True)
    parts = ranked_parts(Given(), DATA, "test", config)
    assert list(parts) == ["ranking", "unconstrained"] == list(build_task(config).parts(config))
    assert parts["unconstrained"]["text"].to_pylist() == TEXTS
    assert parts["unconstrained"]["answer"].to_pylist() == ["Anno", "Elite", None, "Braid"]
    for part, table in parts.items():
        write_part(tmp_path, part, {"test": table})
    found = {part: (read_part(tmp_path, part) or {})["test"] for part in parts}
    assert record_of_parts(found, DATA, "test", config) == record_of_parts(parts, DATA, "test", config)


def test_a_ranking_of_other_candidates_is_refused() -> None:
    config = run_config("candidates")
    parts = ranked_parts(Given(), DATA, "test", config)
    other = replace(DATA, test=replace(TEST, candidates=SHOWN[:, ::-1].copy()))
    record_of_parts(parts, other, "test", config)
    changed = SHOWN.copy()
    changed[0, 0] = 1
    with pytest.raises(InputError, match=r"the test ranking is of other candidates than tiny-sim has now\. Point"):
        record_of_parts(parts, replace(DATA, test=replace(TEST, candidates=changed)), "test", config)


def test_popularity_ranks_the_candidates() -> None:
    baseline = Popularity()
    baseline.fit(DATA, SimpleNamespace(seed=0))  # type: ignore[arg-type]
    ranker = BaselineCandidateRanker("popularity", baseline, DATA, TitleScoreDecoder())
    titles, scores, _ = ranker.rank(DATA.test, "test", lambda done: None)
    # Equal counts are in the order of the catalogue.
    assert titles.tolist() == [[0, 3, 4], [2, 1, 4], [0, 2, 4], [2, 1, 3]]
    assert scores[0].tolist() == [2, 0, 0]


def test_a_model_ranks_by_the_scores_of_its_decoder_and_so_does_validation(tmp_path: Path) -> None:
    backbone = random_backbone(task="candidates")
    data = title_data(backbone, tmp_path, task="candidates")
    rows, items = data.sample.rows, data.dataset.items
    shown = rows.candidate_titles(items)
    ranker = ModelCandidateRanker(backbone, data, TitleScoreDecoder())
    titles, scores, _ = ranker.rank(rows, "valid", lambda done: None)
    given = TitleScoreDecoder().scores(backbone, data.trie, data.titles, data.sample.prompts, shown)
    for row in range(len(ROWS)):
        by_title = dict(zip(shown[row].tolist(), given[row].tolist(), strict=True))
        assert sorted(titles[row].tolist()) == sorted(by_title)
        assert [by_title[title] for title in titles[row].tolist()] == scores[row].tolist()
        assert (np.diff(scores[row]) <= 0).all()
    validated = validate_candidates(backbone, data, np.arange(len(ROWS)))
    assert validated.titles.tolist() == titles.tolist()
    first = titles[:, 0] == items.title_of[rows.target]
    assert validated.values["hr@1"].tolist() == first.astype(float).tolist()


def test_the_table_has_the_model_popularity_and_chance() -> None:
    config = run_config("candidates", unconstrained=True)
    task = build_task(config)
    record = {**record_of(Given(), unconstrained=True)[0], "recommender": "model"}
    (table,) = task.tables({"test": record}, task.metrics)
    console = Console(width=100, file=StringIO(), record=True)
    console.print(table)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["tiny-sim,", "3", "candidates", "a", "row,", "by", "title"] in lines
    assert ["test", "model", "0.5000", "0.5000", "0.7500"] in lines
    assert ["test", "popularity", "0.5000", "-", "-"] in lines
    assert ["test", "chance", "0.3333", "-", "-"] in lines


@pytest.mark.parametrize("command", ["recommend", "diagnose"])
def test_commands_without_candidates_are_refused(command: str) -> None:
    with pytest.raises(InputError, match=rf"which {command} does not support: .* Give a run of task=next_item"):
        build_task(run_config("candidates")).check_command(command, Path("run"))
