"""Reads off a batch of task rerank in which order each branch shows the candidates."""

import numpy as np
import torch
from torch import Tensor

from llmrec.examples.rerank import RerankData
from llmrec.objectives.batch import Batch


def positions(data: RerankData, batch: Batch) -> Tensor:
    """Returns where each branch shows each candidate, int64 [rows, branches, m].

    The identifiers of a ranking name these positions in the order of the target. Of a ranking whose last identifier is
    not supervised, that one is what is left.
    """
    identifiers, branches = data.identifiers.tokens.tolist(), int(batch.branch.max()) + 1
    shown = np.zeros((len(batch.example), branches, data.size), dtype=np.int64)
    for row, example in enumerate(batch.example.tolist()):
        for branch in range(branches):
            tokens = batch.token[(batch.row == row) & (batch.branch == branch)][: data.size].tolist()
            named = [identifiers.index(token) for token in tokens]
            named += sorted(set(range(data.size)) - set(named))
            shown[row, branch, data.target[example]] = named
    return torch.from_numpy(shown)
