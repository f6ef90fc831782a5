"""Validation of task rerank, by which the checkpoint is selected."""

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.list_decoder import PermutationDecoder
from llmrec.evaluation.graded import graded_ndcg
from llmrec.examples.rerank import RerankData

VALUES = ("ndcg@10",)
"""Names of the values of `validate_lists`."""


def validate_lists(backbone: Backbone, data: RerankData, rows: np.ndarray) -> dict[str, Tensor]:
    """Computes NDCG@10 of each validation list in its stored order, float64 [rows]; `rows`: int [rows]."""
    lists = data.validation.take(rows)
    order = PermutationDecoder().rank(backbone, data.trie, data.validation_prompts.take(rows))
    return {"ndcg@10": torch.from_numpy(graded_ndcg(order, lists.gains, 10))}
