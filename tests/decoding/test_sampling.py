"""Sampling titles without replacement: the noise, the distribution of what is drawn, and its limits."""

import numpy as np
import pytest
import torch

from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.gumbel_noise import _mixed, gumbel, perturbed, row_seeds
from llmrec.decoding.session import SharedPrefix
from tests.decoding.small import QUOTE, random_backbone, random_prompts, random_titles

DRAWS, COUNT = 4000, 9


def test_the_generator_is_splitmix64() -> None:
    # The first outputs of the reference implementation for the seeds 0 and 1234567.
    outputs = [value % (1 << 64) for value in _mixed(torch.tensor([0, 1234567])).tolist()]
    assert outputs == [0xE220A8397B1DCDAF, 6457827717110365317]


def test_the_noise_is_standard_gumbel() -> None:
    noise = gumbel(torch.from_numpy(row_seeds(1, 0, range(500)))[:, None], torch.arange(400)[None])
    # Of 200,000 independent values, the standard error of the mean is .003 and that of the variance .009.
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.012)
    assert noise.var().item() == pytest.approx(np.pi**2 / 6, abs=0.04)
    for axis in (0, 1):
        neighbors = torch.stack([noise.narrow(axis, 0, 399).flatten(), noise.narrow(axis, 1, 399).flatten()])
        assert torch.corrcoef(neighbors)[0, 1].abs() < 0.012
    assert noise.isfinite().all()


def test_the_largest_score_of_a_prefix_is_its_own() -> None:
    total = torch.tensor([[-1.0, -2.0, -0.5, -3.0, float("-inf")]])
    child, parent = torch.arange(1, 6)[None], torch.tensor([[0, 0, 1, 1, 0]])
    own = torch.tensor([[-0.3, 1.7]])
    score = perturbed(total, child, parent, own, torch.tensor([5]))
    assert score[0, :2].max().item() == pytest.approx(-0.3)
    assert score[0, 2:4].max().item() == pytest.approx(1.7)
    assert score[0, 4] == float("-inf")
    assert (score[0, :4].sort().values[:2] < own.max()).all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_draws_have_the_probabilities_of_sampling_without_replacement(temperature: float) -> None:
    backbone, titles = random_backbone(5), random_titles(COUNT, 1, QUOTE)
    trie, prompt = build_trie(titles)[0], random_prompts()[0]
    settings = BeamSearch(2, "trie", temperature=temperature)
    seeds = torch.from_numpy(row_seeds(3, 0, range(DRAWS)))
    leaves, _ = search(backbone, trie, [prompt] * DRAWS, SharedPrefix(backbone, prompt[:0]), settings, seeds=seeds)
    drawn = trie.leaf_title[leaves].numpy()
    every = BeamSearch(COUNT, "trie", temperature=temperature)
    best, scores = search(backbone, trie, [prompt], SharedPrefix(backbone, prompt[:0]), every)
    p = np.zeros(COUNT)
    p[trie.leaf_title[best[0]].numpy()] = scores[0].exp().numpy()
    assert p.sum() == pytest.approx(1, abs=1e-5)
    expected = p[:, None] * p[None] / (1 - p[:, None])
    np.fill_diagonal(expected, 0)
    counts = np.zeros((COUNT, COUNT))
    np.add.at(counts, (drawn[:, 0], drawn[:, 1]), 1)
    error = np.abs(counts / DRAWS - expected)
    # Four standard errors of a share, for 72 pairs.
    assert (error < 4 * np.sqrt(expected * (1 - expected) / DRAWS) + 1 / DRAWS).all()


def test_a_sample_of_the_whole_catalogue_has_every_title_once() -> None:
    backbone, titles = random_backbone(5), random_titles(COUNT, 1, QUOTE)
    trie, prompts = build_trie(titles)[0], random_prompts()
    seeds = torch.from_numpy(row_seeds(3, 0, range(4)))
    shared = SharedPrefix(backbone, prompts[0][:4])
    leaves, _ = search(backbone, trie, prompts, shared, BeamSearch(COUNT), seeds=seeds)
    assert leaves.sort(dim=1).values.tolist() == [list(range(COUNT))] * 4
