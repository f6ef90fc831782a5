"""Equal-frequency groups: bin edges, the rule for ties, and the summary in the record."""

from pathlib import Path

import numpy as np
import pytest

from llmrec.errors import InputError
from llmrec.objectives.groups import (
    SupervisedTokens,
    assign_groups,
    describe_groups,
    equal_frequency,
    supervised_tokens,
)
from tests.invariants.world import build_world


def test_bins_hold_equal_weight() -> None:
    values = np.array([0.9, 0.1, 0.5, 0.3])
    assert equal_frequency(values, np.ones(4), 2).tolist() == [1, 0, 1, 0]
    # The first value has 6 of 12 rows, so the three others share the upper bin.
    assert equal_frequency(values, np.array([2, 6, 2, 2]), 2).tolist() == [1, 0, 1, 1]


def test_equal_values_are_never_divided() -> None:
    values = np.array([0.2, 0.2, 0.2, 0.2, 0.7, 0.8])
    # The four equal values cover [0, 4) of 6. Their middle, 2, is in the first half. Splitting them would move one up.
    assert equal_frequency(values, np.ones(6), 2).tolist() == [0, 0, 0, 0, 1, 1]


def test_a_value_that_outweighs_a_bin_leaves_another_empty() -> None:
    # The first value covers [0, 8) of 10 in bins of 2.5: its middle, 4, is in bin 1; 8.5 and 9.5 are in bin 3.
    assert equal_frequency(np.array([0.1, 0.2, 0.3]), np.array([8, 1, 1]), 4).tolist() == [1, 3, 3]


def test_one_bin_holds_all() -> None:
    assert equal_frequency(np.array([0.1, 0.9]), np.ones(2), 1).tolist() == [0, 0]


TOKENS = SupervisedTokens(
    edge=np.array([3, 4, 7]),
    rows=np.array([6, 2, 2]),
    position=np.array([0, 1, 2]),
    relevance=np.array([0.9, 0.5, 0.1]),
)


def test_kinds_order_by_their_own_value() -> None:
    assert assign_groups(TOKENS, "relevance", 2, seed=0).tolist() == [1, 0, 0]
    assert assign_groups(TOKENS, "position", 2, seed=0).tolist() == [0, 1, 1]
    assert assign_groups(TOKENS, "random", 2, seed=0).tolist() == assign_groups(TOKENS, "random", 2, seed=0).tolist()
    many = SupervisedTokens(np.arange(99), np.ones(99, int), np.zeros(99, int), np.zeros(99))
    assert assign_groups(many, "random", 2, seed=0).tolist() != assign_groups(many, "random", 2, seed=1).tolist()


@pytest.mark.parametrize("kind", ["relevance", "position"])
def test_more_groups_than_values_are_refused(kind: str) -> None:
    with pytest.raises(InputError, match=rf"group_count=4.*only 3 different values of {kind}"):
        assign_groups(TOKENS, kind, 4, seed=0)  # type: ignore[arg-type]


def test_the_record_describes_each_group() -> None:
    assert describe_groups(TOKENS, np.array([1, 0, 0]), 3) == [
        {
            "group": 0, "tokens": 4, "relevance": [0.1, 0.5], "mean_relevance": pytest.approx((2 * 0.5 + 2 * 0.1) / 4),
            "mean_position": pytest.approx((2 * 1 + 2 * 2) / 4),
        },
        {"group": 1, "tokens": 6, "relevance": [0.9, 0.9], "mean_relevance": pytest.approx(0.9), "mean_position": 0.0},
        {"group": 2, "tokens": 0},
    ]  # fmt: skip


@pytest.mark.parametrize("underneath", ["sft", "msl"])
def test_supervised_tokens_are_those_of_the_token_loss(underneath: str, tmp_path: Path) -> None:
    world = build_world(("gdrt", f"objective/token_loss={underneath}", "objective.group_count=2"), tmp_path)
    data = world.data
    titles = np.unique(data.sample_titles)
    made_up = [np.log(np.linspace(0.1, 0.9, len(data.titles.of(title)))) for title in titles]
    tokens = supervised_tokens(data, titles, made_up)
    # Row by row, over every target of the sample.
    rows: dict[int, int] = {}
    for title in data.sample_titles:
        node = 0
        for token in data.titles.of(title):
            low, high = int(data.trie.first_edge[node]), int(data.trie.first_edge[node + 1])
            edge = low + data.trie.edge_token[low:high].tolist().index(token)
            if underneath == "sft" or high - low > 1:
                rows[edge] = rows.get(edge, 0) + 1
            node = edge + 1
    assert dict(zip(tokens.edge.tolist(), tokens.rows.tolist(), strict=True)) == rows
    assert tokens.rows.sum() == sum(len(world.data.batch(np.array([row])).state_index) for row in range(8))
