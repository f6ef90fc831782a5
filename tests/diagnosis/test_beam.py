"""The diagnosis of beam search on a small trie with given probabilities, worked out by hand."""

import csv
import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.catalogue_scores import CatalogueScorer
from llmrec.diagnosis import beam as module
from llmrec.diagnosis.beam import (
    NEVER,
    BeamRows,
    beam_figures,
    exact_order,
    lists_by_width,
    search_beams,
    title_nodes,
)
from llmrec.diagnosis.beam_files import (
    WIDTH_NOTE,
    beam_plot,
    depth_note,
    depth_table,
    shown_depths,
    width_table,
    write_beam_files,
)
from llmrec.prompts.prompts import Prompts
from tests.decoding.small import EOS, random_backbone, token_titles

START = 2
"""The last token of every prompt."""
GIVEN = {START: {3: 0.6, 4: 0.4}, 3: {5: 0.5, 6: 0.3, 7: 0.2}, 4: {8: 0.9, 9: 0.1}}
"""Probability of each token after another: those of the titles are .30, .18, .12, .36 and .04."""
TITLES = token_titles([(3, 5, EOS), (3, 6, EOS), (3, 7, EOS), (4, 8, EOS), (4, 9, EOS)])
TRIE, PATH = build_trie(TITLES)
TARGETS = np.array([3, 1, 0, 4])
"""Exact ranks 1, 3, 2, 5. One beam keeps the prefix 3 and finds title 0."""
PROMPTS = Prompts.joined([np.array([token, START], dtype=np.int32) for token in (20, 21, 22, 23)])


def bigram_backbone() -> Backbone:
    """Builds a model whose next token depends on the last one only, with the given probabilities."""
    backbone = random_backbone(seed=0)
    causal_lm: Any = backbone.causal_lm
    size = causal_lm.config.hidden_size
    logits = torch.full((size, size), -20.0)
    for token, following in GIVEN.items():
        for other, probability in following.items():
            logits[other, token] = math.log(probability)
    with torch.no_grad():
        for layer in causal_lm.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        # The norm scales a one-hot embedding by the square root of its size.
        causal_lm.model.embed_tokens.weight.copy_(torch.eye(size))
        causal_lm.lm_head.weight.copy_(logits / math.sqrt(size))
    return backbone


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    """The model with the given probabilities."""
    return bigram_backbone()


@pytest.fixture
def rows(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> BeamRows:
    """The four rows after a search with one beam, compared at one and two beams."""
    monkeypatch.setattr(module, "WIDTHS", (1, 2))
    nodes = title_nodes(TRIE, TITLES, PATH, TARGETS)
    depth, beam_rank = search_beams(backbone, TRIE, PROMPTS, BeamSearch(1), TARGETS, nodes, None)
    found = lists_by_width(backbone, TRIE, PROMPTS, BeamSearch(1), None)
    order = exact_order(CatalogueScorer(TRIE, TITLES, PATH).scores(backbone, PROMPTS.of(0)), np.arange(5))
    exact_rank = np.array([order.tolist().index(target) + 1 for target in TARGETS])
    return BeamRows(TARGETS, depth, beam_rank, exact_rank, found, np.tile(order[:2], (4, 1)))


def test_model_has_the_given_probabilities(backbone: Backbone) -> None:
    found = CatalogueScorer(TRIE, TITLES, PATH).scores(backbone, PROMPTS.of(1))
    np.testing.assert_allclose(np.exp(found), [0.3, 0.18, 0.12, 0.36, 0.04], rtol=1e-4)


def test_targets_leave_the_search_where_their_prefix_is_pruned(rows: BeamRows) -> None:
    """One beam drops the prefix 4 at the first token; title 1 is complete at the second, but title 0 is better."""
    assert rows.pruned_depth.tolist() == [1, 2, NEVER, 1]
    assert rows.beam_rank.tolist() == [NEVER, NEVER, 1, NEVER]
    assert rows.exact_rank.tolist() == [1, 3, 2, 5]
    assert rows.found[1].tolist() == [[0]] * 4
    assert rows.found[2].tolist() == [[3, 0]] * 4


def test_figures_of_one_beam(rows: BeamRows) -> None:
    assert beam_figures(rows, 1) == {
        "beams": 1,
        "rows": 4,
        "kept": 1,
        "pruned": {"rows": [2, 1], "in_exact_list": [1, 0]},
        "same_rank": 0,
        "exact_in_list": 1,
        "median_exact_rank": 2.5,
        "widths": {
            "1": {"recall": 0.0, "hr": 0.25, "exact_hr": 0.25},
            "2": {"recall": 1.0, "hr": 0.5, "exact_hr": 0.5},
        },
    }


def test_two_beams_prune_nothing_that_belongs_in_the_list(backbone: Backbone) -> None:
    nodes = title_nodes(TRIE, TITLES, PATH, TARGETS)
    depth, beam_rank = search_beams(backbone, TRIE, PROMPTS, BeamSearch(2), TARGETS, nodes, None)
    assert depth.tolist() == [NEVER, 2, NEVER, 2]
    assert beam_rank.tolist() == [1, NEVER, 2, NEVER]


def test_excluded_target_leaves_the_search_where_no_other_title_has_its_prefix(backbone: Backbone) -> None:
    """Without title 3, the prefix 4 leads to title 4 only, of probability .4: two beams find it and title 0."""
    nodes = title_nodes(TRIE, TITLES, PATH, TARGETS)
    excluded = np.full((4, 1), TRIE.title_leaf[3])
    depth, beam_rank = search_beams(backbone, TRIE, PROMPTS, BeamSearch(2), TARGETS, nodes, excluded)
    assert depth.tolist() == [2, 2, NEVER, NEVER]
    assert beam_rank.tolist() == [NEVER, NEVER, 2, 1]


def test_title_nodes_are_those_that_the_trie_walks_to() -> None:
    nodes = title_nodes(TRIE, TITLES, PATH, np.array([4, 0]))
    for row, title in enumerate((4, 0)):
        assert nodes[row].tolist() == [TRIE.walk(TITLES.of(title)[:length]) for length in (1, 2, 3)]


def test_shorter_titles_are_padded() -> None:
    titles = token_titles([(3, EOS), (4, 5, EOS)])
    trie, path = build_trie(titles)
    assert (title_nodes(trie, titles, path, np.array([0, 1])) == -1).tolist() == [[False, False, True], [False] * 3]


def test_exact_order_leaves_out_excluded_titles_and_repetitions_and_keeps_the_order_of_equal_scores() -> None:
    scores = np.array([-2.0, -1.0, -np.inf, -1.0, -2.0, -0.5])
    first = np.array([0, 1, 2, 3, 0, 5])
    assert exact_order(scores, first).tolist() == [5, 1, 3, 0]


def test_rows_without_a_rank_do_not_count_in_its_median() -> None:
    none = np.zeros((2, 1), dtype=np.int64) - 1
    rows = BeamRows(np.array([0, 1]), np.array([3, 3]), np.zeros(2), np.array([NEVER, 7]), {1: none}, none)
    figures = beam_figures(rows, 1)
    assert figures["median_exact_rank"] == 7
    assert figures["widths"]["1"] == {"recall": 0.0, "hr": 0.0, "exact_hr": 0.0}
    assert figures["pruned"]["rows"] == [0, 0, 2]


def record_of(rows: BeamRows, **changes: Any) -> dict[str, Any]:
    """Returns the record that a diagnosis of these rows has."""
    return {
        "dataset": "games-sim", "objective": "msl", "sample": {"split": "valid"}, "titles": 5,
        **beam_figures(rows, 1),
        "by_row": {"user": ["u", "v", "w", "x"], "exact_rank": [1, 3, 2, 5], "beam_rank": [None, None, 1, None]},
        **changes,
    }  # fmt: skip


def test_tables_show_the_figures_within_80_columns(rows: BeamRows) -> None:
    console = Console(file=StringIO(), width=80)
    record = record_of(rows)
    console.print(depth_table(record), depth_note(record), width_table(record), WIDTH_NOTE, sep="\n")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "2", "0.500", "1"] in lines
    assert ["2", "1", "0.250", "0"] in lines
    assert ["not", "pruned", "1", "0.250"] in lines
    assert ["2", "1.0000", "0.5000", "0.5000"] in lines
    assert "Median exact rank of the target: 2.5 of 5 titles." in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_depths_beyond_ten_share_a_line(rows: BeamRows) -> None:
    pruned = {"rows": list(range(12)), "in_exact_list": [0] * 10 + [1, 2]}
    lines = shown_depths(record_of(rows, pruned=pruned))
    assert lines[9:] == [("10", 9, 0), ("11+", 21, 3)]


def test_files_hold_a_line_for_each_row_and_the_plot(rows: BeamRows, tmp_path: Path) -> None:
    record = record_of(rows)
    write_beam_files(tmp_path, record)
    assert list(csv.reader((tmp_path / "beam.csv").open(encoding="utf-8"))) == [
        ["user", "exact_rank", "beam_rank"], ["u", "1", ""], ["v", "3", ""], ["w", "2", "1"], ["x", "5", ""],
    ]  # fmt: skip
    assert sorted(file.name for file in tmp_path.iterdir()) == ["beam.csv", "beam.png", "beam.svg"]
    (axis,) = beam_plot(record).axes
    assert [bar.get_height() for bar in axis.patches] == [0.25, 0, 0.25, 0.25]
    json.dumps(record, allow_nan=False)
