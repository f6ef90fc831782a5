"""The data module of task rerank builds batches that equal the plain texts of their lists."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.packing import unpack
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset
from llmrec.datasets.lists import Lists
from llmrec.errors import InputError
from llmrec.examples.rerank import RerankData
from llmrec.objectives.alro import ALRO
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Batch
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from llmrec.prompts.rerank import ListPrompts
from tests.catalogue.vocabularies import EOS, characters, spell
from tests.datasets.layouts import rows
from tests.examples.orders import positions
from tests.prompts.shipped import group

TITLES = ["Alien", "Brazil", "Diva", "Dune", "Eden", "Fargo", "Gilda", "Heat"]
ITEMS = Items(list("abcdefgh"), TITLES)
WORDING = {"item": "movie", "items": "movies", "verb": "watched"}
MARKS = [(" ", mark) for mark in "ABCD"]
TOKENIZER = characters(merges=MARKS)
UNEVEN = characters(merges=[*MARKS, ('"', ":"), ("a", '":'), ('a":', " A"), ('a":', " B")])
"""Merges some identifiers with some titles, so that orders of one list differ in length."""
LISTS = Lists(
    rows(("u", [0], 4, 1), ("v", [3, 1], 2, 2), ("w", [1, 7, 3], 6, 3), ("x", [2], 0, 4), ("y", [6, 5], 1, 5)),
    np.array([4, 3, 1, 2, 5, 3, 3, 4, 1], dtype=np.float32),
    np.array([[2, 3, 4, 5], [4, 2, 0, 5], [0, 5, 6, 2], [0, 1, 3, 7], [2, 1, 0, 3]], dtype=np.int32),
    np.array([[1, 2, 5, 3], [2, 5, 4, 1], [3, 3, 4, 1], [5, 3, 3, 3], [1, 5, 2, 2]], dtype=np.float32),
)
PAIRS = Lists(LISTS.rows, LISTS.history_rating, LISTS.candidates[:, :2], LISTS.relevance[:, :2])


CANDIDATES_FIRST = {
    "name": "candidates first",
    "rerank": "{{ items }}\n{% for candidate in candidates %}{{ candidate.title }}:{{ candidate.identifier }}\n"
    "{% endfor %}for{% for entry in history %} {{ entry.title }}{% endfor %}\n",
}
"""A prompt of which other orders of the candidates share only the first line."""


def module(
    objective: Objective,
    lists: Lists = LISTS,
    max_length: int = 700,
    checkpointing: bool = False,
    seed: int = 1,
    tokenizer: PreTrainedTokenizerFast = TOKENIZER,
    prompt: dict[str, str] | None = None,
) -> RerankData:
    given = lists.rows
    splits = {"sample": lists, "train": lists, "valid": lists, "test": lists}
    dataset = Dataset("small", True, ITEMS, given, given, given, given, "0", {}, lists=splits)
    config = OmegaConf.create(
        {
            "prompt": prompt or group("alpaca"),
            "task": {"candidates": lists.candidates.shape[1], "seed": 0},
            "backbone": {"max_length": max_length, "gradient_checkpointing": False},
            "dataset": {"wording": WORDING},
            "trainer": {"batch_size": 2, "micro_batch_size": None},
            "seed": seed,
        }
    )
    # Nothing here runs the model.
    data = RerankData(dataset, Backbone(torch.nn.Identity(), tokenizer), config)
    data.setup_training(objective, lists.take(np.array([0, 2])))
    data.checkpointing = checkpointing
    return data


def batch_of(data: RerankData, *numbers: int) -> Batch:
    return data.batch(np.array(numbers))


def text(tokens: Tensor | np.ndarray) -> str:
    return "".join(spell(TOKENIZER, tokens.tolist()))


def plain_texts(batch: Batch) -> list[list[str]]:
    """Returns the input tokens of each row and branch as one plain sequence."""
    tokens, lengths, _ = unpack(batch.packed)
    texts = [text(sequence[:length]) for sequence, length in zip(tokens, lengths, strict=True)]
    branches = int(batch.branch.max()) + 1
    return [texts[start : start + branches] for start in range(0, len(texts), branches)]


def responses(batch: Batch) -> list[list[str]]:
    """Returns the supervised tokens of each row and branch."""
    return [
        [
            text(batch.token[(batch.row == row) & (batch.branch == branch)])
            for branch in range(int(batch.branch.max()) + 1)
        ]
        for row in range(len(batch.example))
    ]


def shown(prompt: str, lists: Lists, row: int) -> dict[str, float]:
    """Returns the relevance, by identifier, of the title that a prompt shows with it."""
    lines = prompt.split("The candidates are:\n")[1].split("\n \n\n")[0].split("\n")
    pairs = [line.rsplit(":", 1) for line in lines]
    relevance = {TITLES[item]: of for item, of in zip(lists.candidates[row], lists.relevance[row], strict=True)}
    return {mark: relevance[title.strip('"')] for title, mark in pairs}


def test_a_row_is_its_prompt_and_what_must_be_read_of_its_ranking() -> None:
    data = module(SFT())
    batch = batch_of(data, 1, 0)
    # The second list, best first: Diva, Alien, Eden, Fargo. EOS is predicted and never read.
    prompts = [text(data.list_prompts.prompts.of(row)) for row in (1, 0)]
    assert '"Eden": A\n"Diva": B\n"Alien": C\n"Fargo": D\n' in prompts[0]
    assert plain_texts(batch) == [[prompts[0] + " B C A D"], [prompts[1] + " C D B A"]]
    assert responses(batch) == [[" B C A D" + EOS], [" C D B A" + EOS]]
    assert batch.row.tolist() == [0] * 5 + [1] * 5
    assert batch.branch.tolist() == [0] * 10
    assert batch.example.tolist() == [1, 0]
    assert int(batch.response_tokens) == 10
    assert batch.packed.is_causal


def test_what_msl_supervises_are_the_slots_with_a_choice() -> None:
    data = module(MSL())
    batch = batch_of(data, 1, 0)
    assert responses(batch) == [[" B C A"], [" C D B"]]
    # What follows the last choice is not read.
    assert [texts[0].rsplit("\n", 1)[1] for texts in plain_texts(batch)] == [" B C", " C D"]
    assert data.trie.fan_out_at(batch.node).tolist() == [4, 3, 2] * 2
    assert int(batch.response_tokens) == 10


def test_alro_asks_the_slots_of_a_second_order() -> None:
    data = module(ALRO())
    batch = batch_of(data, 0, 1, 2)
    assert [[len(one) for one in row] for row in responses(batch)] == [[8 + len(EOS), 8]] * 3
    assert positions(data, batch).shape == (3, 2, 4)
    assert int(batch.response_tokens) == 30
    assert not batch.packed.is_causal


def test_alro_without_its_second_loss_runs_one_order() -> None:
    batch, sft = batch_of(module(ALRO(beta=0)), 0, 1), batch_of(module(SFT()), 0, 1)
    for name in ("state_index", "token", "node", "row", "branch"):
        assert torch.equal(getattr(batch, name), getattr(sft, name))
    assert torch.equal(batch.packed.tokens, sft.packed.tokens)


@pytest.mark.parametrize("objective", [SFT(), MSL(), ALRO()])
@pytest.mark.parametrize(("lists", "tokenizer"), [(LISTS, TOKENIZER), (PAIRS, TOKENIZER), (LISTS, UNEVEN)])
def test_the_state_asked_stands_before_the_token_in_its_own_sequence(
    objective: Objective, lists: Lists, tokenizer: PreTrainedTokenizerFast
) -> None:
    # With two candidates, some of the second orders equal the stored one.
    data = module(objective, lists, tokenizer=tokenizer)
    batch = batch_of(data, 4, 0, 2, 1, 3)
    tokens, lengths, index = unpack(batch.packed)
    columns = batch.packed.tokens.shape[1]
    place = positions(data, batch)
    branches, size = place.shape[1:]
    slot = torch.tensor([size - node.bit_count() for node in batch.node.tolist()])
    for n in range(len(batch.state_index)):
        row, branch = int(batch.row[n]), int(batch.branch[n])
        sequence = row * branches + branch
        prompt = len(
            data.list_prompts.reordered(batch.example[[row]].numpy(), place[row, [branch]].argsort(1).numpy())[0]
        )
        position = prompt - 1 + int(slot[n])
        at_row, column = divmod(int(batch.state_index[n]), columns)
        assert at_row == row
        assert int(batch.packed.branch[row, column]) in (0, branch + 1)
        assert int(index[row, column, 1]) == int(batch.packed.positions[row, column]) == position
        assert batch.packed.tokens[row, column] == tokens[sequence, position]
        # The supervised token is the next input token, if there is one.
        assert position + 1 == lengths[sequence] or tokens[sequence, position + 1] == batch.token[n]
    assert len(set(zip(batch.row.tolist(), batch.branch.tolist(), slot.tolist(), strict=True))) == len(
        batch.state_index
    )


@pytest.mark.parametrize("lists", [LISTS, PAIRS])
def test_every_branch_ranks_what_its_own_prompt_shows(lists: Lists) -> None:
    batch = batch_of(module(ALRO(), lists), 3, 1, 0, 4, 2)
    for row, (texts, rankings) in enumerate(zip(plain_texts(batch), responses(batch), strict=True)):
        for prompt, ranking in zip(texts, rankings, strict=True):
            relevance = shown(prompt, lists, int(batch.example[row]))
            marks = [f" {mark}" for mark in ranking.removesuffix(EOS).split()]
            assert sorted(marks) == sorted(relevance)
            ranked = [relevance[mark] for mark in marks]
            assert ranked == sorted(ranked, reverse=True)
        assert rankings[0].endswith(EOS)


@pytest.mark.parametrize("prompt", [group("alpaca"), group("plain"), CANDIDATES_FIRST], ids=lambda own: own["name"])
def test_a_branch_is_the_prompt_of_the_list_shown_in_its_order(prompt: dict[str, str]) -> None:
    data = module(ALRO(), prompt=prompt)
    batch = batch_of(data, 0, 1, 2, 3, 4)
    place = positions(data, batch)
    assert place[:, 0].tolist() == [[0, 1, 2, 3]] * 5
    assert place[:, 1].tolist() != place[:, 0].tolist()
    for branch in (0, 1):
        lists = LISTS.reordered(place[:, branch].argsort(1).numpy())
        prompts = ListPrompts(data.prompt, data.identifiers, 700, lists, ITEMS).prompts
        for row, texts in enumerate(plain_texts(batch)):
            assert texts[branch].rsplit("\n", 1)[0] + "\n" == text(prompts.of(row))


def test_the_target_ranks_by_gains() -> None:
    data = module(ALRO())
    assert text(data.identifier_tokens) == " A B C D"
    assert data.gains.dtype == np.float32
    assert data.gains[[2, 0, 4]].tolist() == [[7, 7, 15, 1], [1, 3, 31, 7], [1, 31, 3, 3]]
    assert (np.diff(np.take_along_axis(data.gains, data.target, 1), axis=1) <= 0).all()


def test_ties_are_asked_for_in_one_order_in_every_branch_and_epoch() -> None:
    data = module(ALRO())
    target = LISTS.target_order(0)[3]
    for epoch in (0, 1):
        data.epoch = epoch
        # The relevance of the candidates is 5, 3, 3, 3.
        for texts, rankings in zip(plain_texts(batch_of(data, 3)), responses(batch_of(data, 3)), strict=True):
            for prompt, ranking in zip(texts, rankings, strict=True):
                lines = prompt.split("The candidates are:\n")[1].split("\n \n\n")[0].split("\n")
                title = {line.rsplit(":", 1)[1]: line.rsplit(":", 1)[0] for line in lines}
                ranked = [title[f" {mark}"] for mark in ranking.removesuffix(EOS).split()]
                assert ranked == [f'"{TITLES[item]}"' for item in LISTS.candidates[3][target]]


def test_nodes_are_the_identifiers_left() -> None:
    data = module(ALRO())
    batch = batch_of(data, 0, 1, 2)
    # The first list is ranked C D B A.
    assert batch.node[:5].tolist() == [0b1111, 0b1011, 0b0011, 0b0001, 0]
    owner, edge = data.trie.children(batch.node)
    for n, (token, node) in enumerate(zip(batch.token.tolist(), batch.node.tolist(), strict=True)):
        valid = data.trie.edge_token[edge[owner == n]].tolist()
        assert token in valid
        same = (
            (batch.row == batch.row[n]) & (batch.branch == batch.branch[n]) & (torch.arange(len(batch.state_index)) < n)
        )
        left = set(data.identifier_tokens.tolist()) - set(batch.token[same].tolist())
        assert set(valid) == (left or {TOKENIZER.eos_token_id})
        assert node.bit_count() == len(left)


def places(data: RerankData, *numbers: int) -> list[list[int]]:
    shown: list[list[int]] = positions(data, batch_of(data, *numbers))[:, 1].tolist()
    return shown


def test_second_orders_are_of_the_epoch_the_row_and_the_seed_alone() -> None:
    data = module(ALRO())
    whole = places(data, 0, 1, 2, 3, 4)
    assert places(data, 3, 1) == [whole[3], whole[1]]
    assert len({tuple(place) for place in whole}) > 1
    assert [sorted(place) for place in whole] == [[0, 1, 2, 3]] * 5
    assert places(module(ALRO(), seed=2), 0, 1, 2, 3, 4) != whole
    data.epoch = 1
    later = places(data, 0, 1, 2, 3, 4)
    assert later != whole
    data.epoch = 0
    assert places(data, 0, 1, 2, 3, 4) == whole


def test_second_orders_of_a_row_are_all_orders_in_the_end() -> None:
    data = module(ALRO(), PAIRS)
    found = []
    for epoch in range(40):
        data.epoch = epoch
        found += places(data, 0)
    assert 10 <= found.count([0, 1]) <= 30
    assert found.count([0, 1]) + found.count([1, 0]) == 40


@pytest.mark.parametrize("objective", [SFT(), ALRO()])
def test_the_shared_start_is_common_to_all_rows(objective: Objective) -> None:
    data = module(objective)
    batch = batch_of(data, 0, 1, 2)
    # Histories begin with different titles.
    common = len(text(data.list_prompts.prompts.of(0)).split('"')[0])
    assert data.shared_columns == batch.packed.shared_columns == common + 1
    assert (
        batch.packed.tokens[:, : batch.packed.shared_columns] == batch.packed.tokens[0, : batch.packed.shared_columns]
    ).all()
    assert batch_of(module(objective, checkpointing=True), 0, 1, 2).packed.shared_columns == 0


def test_what_lies_before_the_first_difference_is_laid_out_once() -> None:
    data = module(ALRO())
    batch = batch_of(data, 1, 2, 3, 4)
    place = positions(data, batch)
    for row, texts in enumerate(plain_texts(batch)):
        assert place[row, 0].tolist() != place[row, 1].tolist()
        once = text(batch.packed.tokens[row][batch.packed.branch[row] == 0])
        assert once == _common_start(*texts)
        assert "The candidates are:\n" in once


def _common_start(one: str, other: str) -> str:
    return one[: next(at for at, (ours, theirs) in enumerate(zip(one, other, strict=False)) if ours != theirs)]


def test_a_second_order_that_is_the_stored_one_repeats_the_ranking_alone() -> None:
    data = module(ALRO(), PAIRS)
    stored = next(row for row in range(5) if places(data, row) == [[0, 1]])
    batch = batch_of(data, stored)
    assert text(batch.packed.tokens[0][batch.packed.branch[0] == 0]) == text(data.list_prompts.prompts.of(stored))
    first, second = plain_texts(batch)[0]
    assert first.startswith(second)


def test_a_list_alone_that_shares_all_but_its_candidates() -> None:
    # All rows are the same list, so that the shared prefix includes some of its candidates.
    lists = LISTS.take(np.array([0, 0, 0]))
    data = module(ALRO(), lists)
    batch = batch_of(data, 0, 1, 2)
    once = (batch.packed.branch == 0).sum(1)
    assert data.shared_columns > int(once.min())
    assert batch.packed.shared_columns == int(once.min()) - 1


def test_validation_lists_and_steps() -> None:
    data = module(SFT())
    assert (data.validation_rows, data.steps_per_epoch) == (2, 3)
    expected = [text(data.list_prompts.prompts.of(row)) for row in (0, 2)]
    assert [text(data.validation_prompts.of(row)) for row in (0, 1)] == expected


def test_a_prompt_gives_way_to_its_ranking() -> None:
    longest = int(module(SFT()).sample_prompts.lengths.max())
    assert [module(SFT(), max_length=longest + more).sample_prompts.truncated for more in (10, 9)] == [0, 1]
    cut = batch_of(module(ALRO(), max_length=longest), 0, 1, 2, 3, 4)
    assert int(cut.packed.positions.max()) < longest


def test_more_candidates_than_identifiers_are_refused() -> None:
    lists = Lists(LISTS.rows, LISTS.history_rating, np.tile(LISTS.candidates, 7), np.tile(LISTS.relevance, 7))
    with pytest.raises(InputError, match=r"task\.candidates=28: the tokenizer .* at most 26"):
        module(SFT(), lists)
