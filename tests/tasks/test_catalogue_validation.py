"""The validation loss: the negative log-probability of the target among all titles."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.tasks.catalogue_validation import target_losses, validate_titles
from tests.invariants.world import ROWS, build_world


@pytest.mark.parametrize("case", [("sft",), ("msl",)])
def test_the_loss_is_minus_the_score_by_which_titles_are_ranked(case: tuple[str, ...], tmp_path: Path) -> None:
    """With as many beams as titles every title's trie score is known; those of all titles sum to 1."""
    world = build_world(case, tmp_path)
    rows = np.arange(len(ROWS))
    data, count = world.data, len(world.data.trie.leaf_title)
    titles, scores = rank_titles(world.backbone, data.trie, data.validation.prompts, BeamSearch(count))
    assert np.exp(scores).sum(1) == pytest.approx(1, abs=1e-4)
    expected = -scores[titles == data.target_titles(ROWS)[:, None]]
    assert target_losses(world.backbone, data, rows) == pytest.approx(expected, abs=1e-4)


def test_the_loss_of_a_model_that_knows_nothing(tmp_path: Path) -> None:
    """Each choice is one of its fan-out: the product of the path's fan-outs."""
    world = build_world(("msl",), tmp_path)
    with torch.no_grad():
        for weight in world.backbone.parameters():
            weight.zero_()
    title = int(world.data.dataset.items.title_of[ROWS.target[0]])
    start, end = world.data.titles.offsets[title : title + 2]
    expected = np.log(world.data.fan_out[start:end]).sum()
    found = validate_titles(world.backbone, world.data, np.array([0]), beams=3)
    assert found.values["loss"].tolist() == pytest.approx([expected], abs=1e-5)
