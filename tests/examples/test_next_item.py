"""The data module of task next_item builds batches from rows of a dataset."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.objectives.base import Objective, TokenLoss
from llmrec.objectives.batch import Branch, Example
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from tests.catalogue.vocabularies import EOS, characters, spell
from tests.datasets.layouts import rows
from tests.prompts.shipped import group, render

ITEMS = Items(ids=list("abcde"), titles=["Go", "Gomoku", "Go", "Chess", "Café"])
"""Distinct titles: Go, Gomoku, Chess, Café. Items a and c share the title Go."""

ROWS = rows(("u", [3], 1, 1), ("v", [0, 1, 3], 2, 2), ("w", [1], 3, 3), ("x", [4, 3], 0, 4), ("y", [2], 1, 5))
WORDING = {"item": "game", "items": "games", "verb": "played"}


def module(
    cache: Path, objective: Objective, items: Items = ITEMS, max_length: int = 600, checkpointing: bool = False
) -> NextItemData:
    dataset = Dataset("small", True, items, ROWS, ROWS, ROWS, ROWS, "0", {})
    config = OmegaConf.create(
        {
            "prompt": group("alpaca"),
            "backbone": {"max_length": max_length, "gradient_checkpointing": False},
            "dataset": {"wording": WORDING},
            "trainer": {"batch_size": 2, "micro_batch_size": None},
            "seed": 1,
        }
    )
    # Nothing here runs the model.
    data = NextItemData(dataset, Backbone(torch.nn.Identity(), characters()), config, cache)
    data.setup_training(objective, ROWS.take(np.array([0, 2])))
    data.checkpointing = checkpointing
    return data


def words(tokens: Tensor) -> str:
    return "".join(spell(characters(), tokens.tolist()))


def test_a_row_is_its_prompt_and_what_must_be_read_of_its_target(tmp_path: Path) -> None:
    batch = module(tmp_path, SFT()).batch(np.array([1, 2]))
    row, other = (batch.packed.tokens[r][batch.packed.branch[r] >= 0] for r in (0, 1))
    # EOS is predicted and never read.
    assert words(row) == render(WORDING, ["Go", "Gomoku", "Chess"]) + '"Go"'
    assert words(other) == render(WORDING, ["Gomoku"]) + '"Chess"'


def test_the_response_is_what_sft_supervises(tmp_path: Path) -> None:
    batch = module(tmp_path, SFT()).batch(np.array([1, 2]))
    assert words(batch.token) == f'"Go"{EOS}"Chess"{EOS}'
    assert words(batch.packed.tokens.flatten()[batch.state_index]) == '\n"Go"\n"Chess"'
    assert batch.row.tolist() == [0] * 5 + [1] * 8
    assert batch.branch.tolist() == [0] * 13
    assert batch.example.tolist() == [1, 2]
    assert int(batch.response_tokens) == 13


def test_the_choices_are_what_msl_supervises(tmp_path: Path) -> None:
    # After the quote: G or C; after "G", o alone; after "Go": the closing quote or m; after "C": h or a.
    data = module(tmp_path, MSL())
    batch = data.batch(np.array([1, 2]))
    assert words(batch.token) == 'G"Ch'
    assert words(batch.packed.tokens.flatten()[batch.state_index]) == '"o"C'
    assert data.trie.fan_out[batch.node].tolist() == [2, 2, 2, 2]
    assert int(batch.response_tokens) == 13


def test_what_follows_the_last_choice_is_not_read(tmp_path: Path) -> None:
    batch = module(tmp_path, MSL()).batch(np.array([0, 2]))
    row, other = (batch.packed.tokens[r][batch.packed.branch[r] == 1] for r in (0, 1))
    assert (words(row), words(other)) == ('"Go', '"C')


def test_nodes_are_those_that_the_title_has_reached(tmp_path: Path) -> None:
    data = module(tmp_path, SFT())
    batch = data.batch(np.array([4]))
    title = data.titles.of(1)
    assert batch.node.tolist() == [data.trie.walk(title[:depth]) for depth in range(len(title))]


def test_the_shared_start_is_common_to_every_prompt_of_the_sample(tmp_path: Path) -> None:
    data = module(tmp_path, SFT())
    # Two histories begin with C, two with Go and one with Café, so that all share the first quote alone.
    assert data.shared_columns == len(render(WORDING, []).removesuffix("\n \n\n### Response:\n")) + 1
    assert data.batch(np.array([0, 1])).packed.shared_columns == data.shared_columns


def test_checkpointed_layers_share_nothing(tmp_path: Path) -> None:
    assert module(tmp_path, SFT(), checkpointing=True).shared_columns == 0


def test_items_with_one_title_have_one_target(tmp_path: Path) -> None:
    data = module(tmp_path, SFT())
    assert data.target_titles(ROWS).tolist() == [1, 0, 2, 0, 1]


def test_titles_that_the_tokenizer_makes_equal_have_one_target(tmp_path: Path) -> None:
    items = Items(ids=list("abcde"), titles=["Café", "Chess", "Cafè", "Go", "Gomoku"])
    data = module(tmp_path, SFT(), items)
    # The targets are b, c, d, a, b: Chess, Cafè, Go, Café, Chess.
    assert data.target_titles(ROWS).tolist() == [1, 0, 3, 0, 1]
    assert len(data.batch(np.array([1])).state_index) == 7


def test_steps_of_an_epoch(tmp_path: Path) -> None:
    assert module(tmp_path, SFT()).steps_per_epoch == 3


def test_the_validation_rows_are_those_given(tmp_path: Path) -> None:
    validation = module(tmp_path, SFT()).validation
    assert validation.rows.target.tolist() == [1, 3]
    assert words(torch.from_numpy(validation.prompts.of(1))) == render(WORDING, ["Gomoku"])


def test_a_prompt_gives_way_to_the_longest_title(tmp_path: Path) -> None:
    longest = len('"Gomoku"') + 1
    whole = len(render(WORDING, ["Go", "Gomoku", "Chess"]))
    fits = module(tmp_path, SFT(), max_length=whole + longest)
    cut = module(tmp_path, SFT(), max_length=whole + longest - 1)
    assert (fits.sample.prompts.truncated, cut.sample.prompts.truncated) == (0, 1)
    assert words(torch.from_numpy(cut.sample.prompts.of(1))) == render(WORDING, ["Gomoku", "Chess"])


def test_the_room_of_prompts_names_the_longest_title(tmp_path: Path) -> None:
    long = "Kettle " * 300
    data = module(tmp_path, SFT(), Items(list("abcde"), ["Go", "Gomoku", long, "Chess", "Café"]), max_length=5_000)
    # A token for each character, the two quotes and EOS: 5, 9, 2103, 8 and 7, of which 8 is the median.
    assert data.room == (
        f"backbone.max_length=5000 less 2103 tokens for the longest title ('{long[:77]}...'; half of the titles have "
        "at most 8)"
    )


def test_a_length_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"backbone\.max_length"):
        module(tmp_path, SFT(), max_length=100)


class Pairs(TokenLoss):
    """Has two branches per row: the target and title 0."""

    branch_count = 2

    def branches(self, example: Example) -> list[Branch]:
        return [Branch(example.prompt, response) for response in (example.target, example.title(0))]

    def token_losses(self, encoded: object, batch: object) -> tuple[Tensor, dict[str, Tensor]]:
        # Batches are built without a forward pass.
        raise AssertionError("asked for losses")


def test_an_objective_may_ask_for_several_branches(tmp_path: Path) -> None:
    batch = module(tmp_path, Pairs()).batch(np.array([2]))
    assert words(batch.packed.tokens[0]) == render(WORDING, ["Gomoku"]) + '"Chess""Go"'
    assert words(batch.token[batch.branch == 0]) == f'"Chess"{EOS}'
    assert words(batch.token[batch.branch == 1]) == f'"Go"{EOS}'
    # Both first tokens are predicted by the prompt's last.
    first = [batch.state_index[batch.branch == branch][0] for branch in (0, 1)]
    assert first[0] == first[1]
    assert not batch.packed.is_causal


def test_rows_with_equal_content_stay_apart(tmp_path: Path) -> None:
    batch = module(tmp_path, SFT()).batch(np.array([0, 0]))
    assert batch.example.tolist() == [0, 0]
    assert batch.row.unique().tolist() == [0, 1]


def test_a_split_of_other_rows_has_their_prompts(tmp_path: Path) -> None:
    data, other = module(tmp_path, SFT()), ROWS.take(np.array([3, 0]))
    split = data.split(other)
    assert isinstance(split.rows, Rows)
    assert [words(torch.from_numpy(split.prompts.of(r))) for r in (0, 1)] == [
        render(WORDING, ["Café", "Chess"]).replace("é", "<unk>"),
        render(WORDING, ["Chess"]),
    ]
