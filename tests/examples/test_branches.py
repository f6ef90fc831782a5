"""Branches with prompts of their own give what plain sequences give."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from llmrec.backbones.backbone import Encoded
from llmrec.backbones.packing import unpack
from llmrec.errors import InputError
from llmrec.examples.batches import build_batch
from llmrec.objectives.base import Objective, Part, Sums
from llmrec.objectives.batch import FREE_TEXT, Batch, Branch, Example, Response
from llmrec.objectives.msl import MSL
from tests.invariants.world import preparation_of


class Prompts(Objective):
    """The target after the row's own prompt, after the history-free one, after another history and after any text."""

    branch_count = prompt_count = 4

    def branches(self, example: Example) -> Sequence[Branch]:
        own, free, other = example.prompt, example.prompt_for([]), example.prompt_for(["Doom", "Go"])
        text = example.text_prompt("Recommend a game:\n### Response:\n")
        return [Branch(prompt, example.target) for prompt in (own, free, other, text)]

    def supervised(self, fan_out: Tensor) -> Tensor:
        return fan_out > 0

    def totals(self, batch: Batch) -> Sums:
        return {}

    def forward(self, encoded: Encoded, batch: Batch, totals: Mapping[str, Tensor]) -> Part:
        return Part(encoded.logits().sum())


class Text(Prompts):
    """The target, and a free text, after the row's own prompt."""

    branch_count, prompt_count = 2, 1

    def branches(self, example: Example) -> Sequence[Branch]:
        return [Branch(example.prompt, example.target), Branch(example.prompt, example.text_response("No idea"))]


@pytest.mark.parametrize("objective", [Prompts(), Text()])
def test_states_are_those_of_plain_sequences(objective: Objective, tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path, objective)
    backbone, batch = preparation.backbone, preparation.data.batch(np.arange(8))
    with torch.inference_mode():
        shared = backbone.encode(batch.packed, batch.state_index).logits()
        backbone.uses_plain_path = True
        plain = backbone.encode(batch.packed, batch.state_index).logits()
    torch.testing.assert_close(shared, plain, atol=1e-4, rtol=1e-4)


def test_each_branch_is_its_own_prompt_and_response(tmp_path: Path) -> None:
    data = preparation_of(tmp_path, Prompts()).data
    batch = data.batch(np.array([3, 1]))
    tokens, lengths, _ = unpack(batch.packed)
    expected = [
        np.concatenate([branch.prompt, branch.response.tokens[:-1]])
        for row in (3, 1)
        for branch in Prompts().branches(data.example(row))
    ]
    assert [tokens[n, : lengths[n]].tolist() for n in range(8)] == [sequence.tolist() for sequence in expected]
    targets = [data.example(row).target.tokens for row in (3, 1)]
    assert batch.token.tolist() == np.concatenate([np.tile(target, 4) for target in targets]).tolist()
    # The history-free prompt does not depend on the row.
    assert expected[1][: len(expected[1]) - 2].tolist()[:20] == expected[5].tolist()[:20]


def test_prompts_that_share_nothing_share_no_column() -> None:
    response = Response(np.array([7, 8, 1]), np.array([0, 1, 2]), np.array([True, True, True]))
    rows = [
        [Branch(np.array([3, 4, 5]), response), Branch(np.array([6, 4]), response)],
        [Branch(np.array([3, 4]), response)],
    ]
    batch = build_batch(np.arange(2), rows, shared_columns=2)
    assert batch.packed.shared_columns == 0
    tokens, lengths, _ = unpack(batch.packed)
    found = [tokens[n, : lengths[n]].tolist() for n in range(3)]
    assert found == [[3, 4, 5, 7, 8], [6, 4, 7, 8], [3, 4, 7, 8]]


def test_columns_are_shared_as_far_as_all_rows_agree() -> None:
    response = Response(np.array([7, 1]), np.array([0, 1]), np.array([True, True]))
    rows = [[Branch(np.array(prompt), response)] for prompt in ([3, 4, 5, 6], [3, 4, 9, 6], [3, 4, 5])]
    assert build_batch(np.arange(3), rows, shared_columns=3).packed.shared_columns == 2
    assert build_batch(np.arange(3), rows, shared_columns=1).packed.shared_columns == 1


def test_msl_refuses_free_text(tmp_path: Path) -> None:
    preparation = preparation_of(tmp_path, Text())
    batch = preparation.data.batch(np.arange(2))
    assert batch.has_free_text
    assert (batch.node == FREE_TEXT).sum() == (batch.branch == 1).sum()
    objective = MSL()
    objective.prepare(preparation)
    with pytest.raises(InputError, match="free text has none"):
        objective.token_losses(preparation.backbone.encode(batch.packed, batch.state_index), batch)


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_what_another_task_has_is_refused_by_name(task: str, tmp_path: Path) -> None:
    example = preparation_of(tmp_path, task=task).data.example(0)
    calls = {
        "next_item": [lambda: example.in_order(np.arange(4))],
        "rerank": [lambda: example.title(0), lambda: example.prompt_for([])],
    }[task]
    for call in calls:
        with pytest.raises(InputError, match="exists in task="):
            call()


def test_the_generator_is_of_the_row_and_the_epoch(tmp_path: Path) -> None:
    data = preparation_of(tmp_path).data
    first, again, other = (data.example(row).generator().random() for row in (0, 0, 1))
    data.epoch = 1
    assert first == again
    assert len({first, other, data.example(0).generator().random()}) == 3
