"""The decoder of task rerank: greedy decoding of a permutation of the candidates."""

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.permutations import Permutations
from llmrec.decoding.decoder import ListDecoder, Progress
from llmrec.decoding.rank_lists import rank_lists
from llmrec.prompts.prompts import Prompts
from llmrec.settings.types import PositiveInt, Seed


class PermutationDecoder(ListDecoder):
    """Greedy decoding over the unused identifiers.

    Args:
        bootstrap: See `ListDecoder`.
        seed: See `ListDecoder`.
    """

    def __init__(self, bootstrap: PositiveInt = 1, seed: Seed = 0) -> None:
        self.bootstrap, self.seed = bootstrap, seed

    def rank(
        self, backbone: Backbone, trie: Permutations, prompts: Prompts, progress: Progress = lambda done: None
    ) -> np.ndarray:
        return rank_lists(backbone, trie, prompts, progress)
