"""Packing of prompts and branches against hand-made rows."""

import numpy as np
import pytest
import torch

from llmrec.backbones.packing import pack, predictor_columns, unpack

PROMPTS = [np.array([10, 11]), np.array([10, 12, 13])]
BRANCHES = [[np.array([20, 21]), np.array([30])], [np.array([40])]]


def test_branches_stand_behind_their_prompt_and_restart_its_positions() -> None:
    packed, _ = pack(PROMPTS, BRANCHES)
    assert packed.tokens.tolist() == [[10, 11, 20, 21, 30], [10, 12, 13, 40, 0]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 2], [0, 1, 2, 3, 0]]
    assert packed.branch.tolist() == [[0, 0, 1, 1, 2], [0, 0, 0, 1, -1]]


def test_a_prompts_last_state_predicts_the_first_token_of_every_branch() -> None:
    _, starts = pack(PROMPTS, BRANCHES)
    assert [row.tolist() for row in starts] == [[[1, 2], [1, 4]], [[7, 8]]]
    assert predictor_columns(starts[0][0], np.array([0, 1, 2])).tolist() == [1, 2, 3]
    assert predictor_columns(starts[0][1], np.array([1])).tolist() == [4]


def test_a_token_sees_its_prompt_and_its_own_branch() -> None:
    visible = pack(PROMPTS, BRANCHES)[0].visible()
    assert visible is not None
    assert visible[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_shared_columns_ask_nothing_but_are_seen() -> None:
    visible = pack(PROMPTS, BRANCHES, shared_columns=1)[0].visible()
    assert visible is not None
    assert visible.shape == (2, 4, 5)
    assert visible[1, :3].int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]


def test_single_branches_need_no_mask() -> None:
    packed, _ = pack(PROMPTS, [[np.array([20])], []])
    assert packed.is_causal
    assert packed.visible() is None


def test_single_branches_behind_shared_columns_take_one_mask_for_all_rows() -> None:
    visible = pack(PROMPTS, [[np.array([20])], []], shared_columns=1)[0].visible()
    assert visible is not None
    assert visible.int().tolist() == [[[1, 1, 0], [1, 1, 1]]]


@pytest.mark.parametrize("shared", [0, 1])
def test_unpacked_every_branch_is_a_sequence_with_its_prompt(shared: int) -> None:
    packed, _ = pack([*PROMPTS, np.array([10])], [*BRANCHES, []], shared)
    tokens, lengths, index = unpack(packed)
    found = [row[:length].tolist() for row, length in zip(tokens, lengths.tolist(), strict=True)]
    assert found == [[10, 11, 20, 21], [10, 11, 30], [10, 12, 13, 40], [10]]
    assert index[0].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 2]]
    assert index[1, :4].tolist() == [[2, 0], [2, 1], [2, 2], [2, 3]]
    assert index[2, 0].tolist() == [3, 0]


def test_moving_to_a_device_keeps_the_layout() -> None:
    packed, _ = pack(PROMPTS, BRANCHES, shared_columns=1)
    moved = packed.to("cpu")
    assert torch.equal(moved.tokens, packed.tokens)
    assert (moved.is_causal, moved.shared_columns) == (False, 1)


def test_positions_of_single_branches_run_on_through_the_padding() -> None:
    packed, _ = pack([np.array([10, 11]), np.array([10])], [[np.array([20, 21, 22])], [np.array([30])]])
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert packed.branch.tolist() == [[0, 0, 1, 1, 1], [0, 1, -1, -1, -1]]
