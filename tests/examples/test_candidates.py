"""Training rows of task candidates: candidates in every prompt of a row, responses in the trie of all titles."""

import pytest

from llmrec.examples.next_item import NextItemData
from llmrec.objectives.cft import CFT
from llmrec.objectives.sft import SFT
from llmrec.prompts.text import Entry
from tests.invariants.world import ROWS, TITLES, random_backbone, title_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> NextItemData:
    """Rows with a random model's tokens, set up for CFT."""
    return title_data(
        random_backbone(task="candidates"), tmp_path_factory.mktemp("cache"), CFT(SFT()), task="candidates"
    )


def entries(items: list[int]) -> list[Entry]:
    return [{"title": TITLES[item]} for item in items]


def tokens(data: NextItemData, history: list[int], shown: list[int]) -> list[int]:
    """The tokens of a prompt, rendered by hand."""
    return data.prompt.encode([data.prompt.render(entries(history), entries(shown))])[0]


def test_each_prompt_shows_its_own_candidates(data: NextItemData) -> None:
    for row in range(len(ROWS)):
        shown = data.sample.rows.candidates_of(row).tolist()
        assert ROWS.target[row] in shown
        example = data.example(row)
        history = ROWS.history_of(row).tolist()
        assert example.prompt.tolist() == tokens(data, history, shown)
        assert example.prompt_for([]).tolist() == tokens(data, [], shown)
        assert example.prompt_for([TITLES[4]]).tolist() == tokens(data, [4], shown)


def test_the_history_free_prompt_has_no_candidates_and_is_that_of_all_rows(data: NextItemData) -> None:
    assert data.history_free_prompt().tolist() == tokens(data, [], [])


def test_responses_are_in_the_trie_of_all_titles(data: NextItemData) -> None:
    for row in range(len(ROWS)):
        # Titles have eight first words, and a prompt shows four candidates.
        assert data.trie.fan_out.numpy()[data.example(row).target.nodes].max() == 8
        assert len(data.sample.rows.candidates_of(row)) == 4
