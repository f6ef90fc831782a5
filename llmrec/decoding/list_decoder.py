"""The decoder of task rerank: greedy decoding of a permutation of the candidates."""

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.permutations import Permutations
from llmrec.decoding.decoder import ListDecoder, Progress
from llmrec.decoding.rank_lists import rank_lists
from llmrec.prompts.prompts import Prompts


class PermutationDecoder(ListDecoder):
    """Greedy decoding over the unused identifiers.

    Args:
        bootstrap: See `ListDecoder`.
        seed: See `ListDecoder`.

    Raises:
        ValueError: If an argument is no whole number, or too small.
    """

    def __init__(self, bootstrap: int = 1, seed: int = 0) -> None:
        for name, value, minimum in (("bootstrap", bootstrap, 1), ("seed", seed, 0)):
            if type(value) is not int or value < minimum:
                raise ValueError(f"decoding.{name}={value}: give a whole number of at least {minimum}")
        self.bootstrap, self.seed = bootstrap, seed

    def rank(
        self, backbone: Backbone, trie: Permutations, prompts: Prompts, progress: Progress = lambda done: None
    ) -> np.ndarray:
        return rank_lists(backbone, trie, prompts, progress)
