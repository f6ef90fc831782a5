"""On a GPU: the same rankings as on the CPU in float32, and a training step in bfloat16."""

import numpy as np
import pytest
import torch

from llmrec.backbones.packing import pack
from llmrec.catalogue.trie import build_trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix
from tests.decoding.test_huggingface import random_backbone, random_titles

pytestmark = pytest.mark.gpu
START = np.array([5, 9, 7])
PROMPTS = [np.concatenate([START, np.random.default_rng(n).integers(3, 32, n)]) for n in (3, 9, 6)]


@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_ranks_as_on_the_cpu(scores: str) -> None:
    trie, _ = build_trie(random_titles(200, seed=0, quote=None))
    settings = BeamSearch(10, scores, 1.0)
    found = {}
    for device in ("cpu", "cuda"):
        backbone = random_backbone(seed=0).to(device)
        leaves, values = search(backbone, trie.to(device), PROMPTS, SharedPrefix(backbone, START), settings)
        found[device] = leaves.cpu(), values.cpu()
    assert torch.equal(found["cpu"][0], found["cuda"][0])
    torch.testing.assert_close(found["cpu"][1], found["cuda"][1], atol=1e-4, rtol=0)


def test_a_step_in_bfloat16_moves_the_weights() -> None:
    backbone = random_backbone(seed=0).to("cuda").train()
    before = backbone.causal_lm.lm_head.weight.detach().clone()
    packed, starts = pack(PROMPTS, [[np.array([4, 8])] for _ in PROMPTS], shared=2)
    at = torch.tensor([int(row[0, 0]) for row in starts], device="cuda")
    optimizer = torch.optim.AdamW(backbone.parameters(), 1e-2)
    with torch.autocast("cuda", torch.bfloat16):
        logits = backbone.encode(packed.to("cuda"), at).logits()
    assert logits.dtype == torch.float32
    torch.nn.functional.cross_entropy(logits, torch.full((3,), 4, device="cuda")).backward()
    optimizer.step()
    assert not torch.equal(before, backbone.causal_lm.lm_head.weight)
