"""Validation of task rerank, by which the checkpoint is selected."""

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.list_decoder import PermutationDecoder
from llmrec.evaluation.graded import graded_ndcg
from llmrec.examples.rerank import RerankData
from llmrec.tasks.base import Validated

VALUES = ("ndcg@10",)
"""Names of the values of `validate_lists`."""


def validate_lists(backbone: Backbone, data: RerankData, rows: np.ndarray) -> Validated:
    """Ranks validation lists (int [rows]) in their stored order and computes NDCG@10 of each."""
    lists = data.validation.take(rows)
    order = PermutationDecoder().rank(backbone, data.trie, data.validation_prompts.take(rows))
    ranked = np.take_along_axis(lists.candidates, order, axis=1)
    return Validated(
        {"ndcg@10": torch.from_numpy(graded_ndcg(order, lists.gains, 10))}, data.dataset.items.title_of[ranked]
    )
